"""How good a detector is on labeled images, beside simple rivals."""
