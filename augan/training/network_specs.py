"""Specs of the networks of a training, derived from the settings and the data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from augan.choices import ARCHITECTURES, default_architecture
from augan.config import Config, require_resolved
from augan.data.modalities.base import Preprocessing
from augan.gan import keras
from augan.gan.networks.build import feature_blocks, network_spec
from augan.gan.networks.heads import concat_channels
from augan.seeding import child_seed

# Names in the seeds of the heads. They must not change, or the same seed gives other weights.
_HEAD_SEEDS = {"transformation_head": "heads", "localization_head": "places"}
_GAN_ROLES = ("generator", "discriminator", "encoder")  # of the architecture `gan.architecture`


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
    preprocessing : Preprocessing
        Preprocessing of the data.
    """

    config: Config
    shape: Sequence[int]
    num_classes: int
    preprocessing: Preprocessing

    def spec(self, name: str, *, role: str | None = None, **changes: Any) -> dict[str, Any]:
        """Return the spec of a network.

        Parameters
        ----------
        name : str
            Name of the network, which is part of the seed of its weights.
        role : str or None
            "generator", "discriminator", "encoder", "classifier", "translator" or
            "patch_discriminator"; None: as the name.
        **changes
            Arguments that replace those of the settings, such as `num_classes=0`.
        """
        role = role or name
        if role in _GAN_ROLES:
            entry = ARCHITECTURES.get(require_resolved(self.config.gan.architecture))
        else:
            entry = default_architecture(role, self.preprocessing.sample_type)
        arguments = {
            "image_shape": list(self.shape),
            **({} if role == "translator" else {"num_classes": self.num_classes}),
            "seed": child_seed(self.config.seed, name),
            **self._settings(role),
            **{
                key: value
                for key, value in self._optional_settings(role).items()
                if key in entry.arguments
            },
        }
        return network_spec(entry.name, role, **{**arguments, **changes})

    def _settings(self, role: str) -> dict[str, Any]:
        """Return the arguments of every network of a role that come from the settings."""
        translation = self.config.translation
        if role == "translator":
            return {"width": translation.width, "blocks": translation.blocks}
        if role == "patch_discriminator":
            return {"width": translation.discriminator_width}
        settings = {"width": getattr(self.config, role).width}
        if role in ("generator", "encoder"):
            settings["latent_dim"] = require_resolved(self.config.gan.latent_dim)
        return settings

    def _optional_settings(self, role: str) -> dict[str, Any]:
        """Return the arguments of a role that only some architectures take."""
        config = self.config
        if role == "generator":
            groups = self.preprocessing.groups
            return {
                "conditioning": config.generator.conditioning,
                **({"groups": list(groups)} if groups else {}),
            }
        if role == "discriminator":
            return {
                "norm": require_resolved(config.discriminator.norm),
                "dropout": config.discriminator.dropout,
                **({"weights": "he"} if config.gan.localization_head else {}),
            }
        return {}

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
            inputs = math.prod(blocks.outputs[-1].shape[1:])
        else:
            inputs = sum(concat_channels(blocks))
        architecture = default_architecture(role, self.preprocessing.sample_type).name
        seed = child_seed(self.config.seed, _HEAD_SEEDS[role])
        return network_spec(architecture, role, image_shape=[inputs], seed=seed)
