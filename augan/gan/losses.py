"""Adversarial losses, elementwise on logits `[N, 1]`.

A new loss is one entry in `LOSSES` and one row of constants in its test. Soft and noisy labels are
the same for all of them: a sample that counts as real by a share t costs t times the loss of "real"
and 1 - t times that of "fake" (for cross entropy this is exactly label smoothing).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any
Elementwise = Callable[[Tensor], Tensor]


class AdversarialLoss(NamedTuple):
    """What the two players minimise, for each logit."""

    real: Elementwise  # the discriminator's loss if the sample is to be called real
    fake: Elementwise  # ... if it is to be called fake
    generator: Elementwise  # the generator's loss on the logit of its sample
    border: float | None = 0.0  # logits above it mean "real"; None: only differences mean anything

    def discriminator(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        *,
        real_share: Any = 1.0,
        fake_share: Any = 0.0,
    ) -> Tensor:
        """Return the batch mean; the shares are how much each sample counts as real."""
        on_real = real_share * self.real(real_logits) + (1 - real_share) * self.fake(real_logits)
        on_fake = fake_share * self.real(fake_logits) + (1 - fake_share) * self.fake(fake_logits)
        return tf.reduce_mean(on_real) + tf.reduce_mean(on_fake)

    def middle(self, real_logits: Tensor, fake_logits: Tensor) -> Any:
        """Return the logit between "real" and "fake": the border, else midway between the means."""
        if self.border is not None:
            return self.border
        return (tf.reduce_mean(real_logits) + tf.reduce_mean(fake_logits)) / 2


def _says_real(logits: Tensor) -> Tensor:
    return tf.nn.softplus(-logits)  # -log sigmoid(x)


def _says_fake(logits: Tensor) -> Tensor:
    return tf.nn.softplus(logits)  # -log(1 - sigmoid(x))


def _saturating(logits: Tensor) -> Tensor:
    return -tf.nn.softplus(logits)  # log(1 - sigmoid(x))


def _near_one(logits: Tensor) -> Tensor:
    return 0.5 * tf.square(logits - 1)


def _near_zero(logits: Tensor) -> Tensor:
    return 0.5 * tf.square(logits)


def _above_one(logits: Tensor) -> Tensor:
    return tf.nn.relu(1.0 - logits)


def _below_minus_one(logits: Tensor) -> Tensor:
    return tf.nn.relu(1.0 + logits)


def _high(logits: Tensor) -> Tensor:
    return -logits


def _low(logits: Tensor) -> Tensor:
    return logits


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, eq. 1: the generator minimises log(1 - D(G(z)))
    "minimax": AdversarialLoss(_says_real, _says_fake, _saturating),
    # the same, section 3: it maximises log D(G(z)) instead
    "nonsaturating": AdversarialLoss(_says_real, _says_fake, _says_real),
    # Mao et al. 2017, eq. 2 with a = 0, b = c = 1
    "least_squares": AdversarialLoss(_near_one, _near_zero, _near_one, border=0.5),
    # Lim and Ye 2017, "Geometric GAN", eqs. 17 and 18
    "hinge": AdversarialLoss(_above_one, _below_minus_one, _high),
    # Arjovsky et al. 2017, algorithm 1; needs a Lipschitz discriminator (clip or gradient penalty)
    "wasserstein": AdversarialLoss(_high, _low, _high, border=None),
}
