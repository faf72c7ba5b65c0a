"""Network architectures; `registry` builds a network from its spec."""
