"""How samples are scored: one file for each method, and the parts that methods share."""
