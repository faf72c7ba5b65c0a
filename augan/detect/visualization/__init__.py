"""What a detection shows of images: places that stand out, in colour."""
