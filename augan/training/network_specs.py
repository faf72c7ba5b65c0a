"""Specs of the networks of a training, derived from the settings and the data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from augan.config import Config, require_resolved
from augan.data.modalities.registry import AnyPreprocessing
from augan.gan import keras
from augan.gan.networks.heads import concat_channels
from augan.gan.networks.registry import feature_blocks, network_spec
from augan.gan.self_supervision import NUM_ROTATIONS
from augan.seeding import child_seed

FEATURE_NETWORKS = ("classifier", "rotation")  # networks whose features measure fidelity
# Names in the seeds of the heads. They must not change, or the same seed gives other weights.
_HEAD_SEEDS = {"transformation_head": "heads", "localization_head": "places"}


@dataclass(frozen=True)
class NetworkSpecs:
    """Source of the specs of all networks, the input of `networks.registry.build_network`.

    Parameters
    ----------
    config : Config
        Resolved settings.
    shape : sequence of int
        Shape of a prepared sample: `(S, S, C)` or `(F,)`.
    num_classes : int
        0 without classes.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        Preprocessing of the data.
    """

    config: Config
    shape: Sequence[int]
    num_classes: int
    preprocessing: AnyPreprocessing

    def spec(self, role: str, **changes: Any) -> dict[str, Any]:
        """Return the spec of a network.

        Parameters
        ----------
        role : str
            "generator", "discriminator", "encoder", "classifier" or "rotation".
        **changes
            Arguments that replace those of the settings, such as `num_classes=0`.
        """
        if role in FEATURE_NETWORKS:
            kind = "classifier"
            architecture = "cnn" if self.preprocessing.sample_type == "image" else "mlp"
        else:
            kind, architecture = role, require_resolved(self.config.gan.architecture)
        common = {
            "image_shape": list(self.shape),
            "num_classes": self.num_classes,
            "seed": child_seed(self.config.seed, role),
        }
        return network_spec(architecture, kind, **{**common, **self._settings(role), **changes})

    def _settings(self, role: str) -> dict[str, Any]:
        """Return the arguments of a network that come from the settings of its role."""
        config = self.config
        if role == "generator":
            groups = self.preprocessing.groups
            return {
                "latent_dim": require_resolved(config.gan.latent_dim),
                "width": config.generator.width,
                "conditioning": config.generator.conditioning,
                **({"groups": list(groups)} if groups else {}),
            }
        if role == "discriminator":
            return {
                "width": config.discriminator.width,
                "norm": require_resolved(config.discriminator.norm),
                "dropout": config.discriminator.dropout,
                **({"weights": "he"} if config.gan.localization_head else {}),
            }
        if role == "encoder":
            latent_dim = require_resolved(config.gan.latent_dim)
            return {"latent_dim": latent_dim, "width": config.encoder.width}
        rotation = {"num_classes": NUM_ROTATIONS} if role == "rotation" else {}
        return {"width": config.classifier.width, **rotation}

    def head_spec(self, role: str, discriminator: keras.Model) -> dict[str, Any]:
        """Return the spec of an auxiliary head on the blocks of the discriminator.

        Parameters
        ----------
        role : {"transformation_head", "localization_head"}
            The transformation head predicts the transformation of an image, the localization head
            locates corruptions.
        discriminator : keras.Model
            Sets the number of inputs of the head.
        """
        blocks = feature_blocks(discriminator)
        if role == "transformation_head":
            architecture, inputs = "linear", math.prod(blocks.output_shape[-1][1:])
        else:
            architecture, inputs = "convolutional", sum(concat_channels(blocks))
        seed = child_seed(self.config.seed, _HEAD_SEEDS[role])
        return network_spec(architecture, role, image_shape=[inputs], seed=seed)
