"""Training of networks in stages: GAN, autoencoder, encoder, classifier, rotation classifier.

`augan.training.trainer.train_stages` runs the stages; `augan.training.loop` repeats the
steps of one stage.
"""
