"""Network architectures and the registry that builds a network from its spec."""
