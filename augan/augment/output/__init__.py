"""What is written: files, manifest, names, and what a half-made folder knows of itself."""
