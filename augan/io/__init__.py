"""Files: atomic writes, images, arrays, CSV; nothing here knows machine learning."""
