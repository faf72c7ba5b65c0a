"""Translation of images to the look of a new camera, with a trained translator."""
