"""Reports as HTML pages: one self-contained file for each result, in one style."""
