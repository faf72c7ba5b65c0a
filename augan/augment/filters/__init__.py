"""What keeps a candidate out: disagreement, implausibility, copies; and the count of it."""
