"""One step of each network beside the GAN."""
