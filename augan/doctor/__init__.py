"""Whether augan can work on this machine, and what to do where it cannot."""
