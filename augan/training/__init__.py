"""Training: one loop, and its five stages.

The stages are the GAN, the autoencoder, the encoder, the classifier and the rotation classifier.
"""
