"""Training: one loop, and the three things it trains (the GAN, the encoder, the classifier)."""
