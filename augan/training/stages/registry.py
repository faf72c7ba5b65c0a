"""Registry of the training stages; a new stage is one file here and one entry."""

from augan.training.stages.autoencoder import AUTOENCODER
from augan.training.stages.base import Stage
from augan.training.stages.classifier import CLASSIFIER
from augan.training.stages.encoder import ENCODER
from augan.training.stages.gan import GAN_STAGE
from augan.training.stages.rotation import ROTATION

STAGES: dict[str, Stage] = {
    stage.name: stage for stage in (GAN_STAGE, AUTOENCODER, ENCODER, CLASSIFIER, ROTATION)
}
