"""Reading and writing of files: atomic writes, images, arrays, CSV, digests, file names."""
