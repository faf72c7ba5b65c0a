"""Adversarial losses, elementwise on logits `[N, 1]`.

A new loss is one entry at the end of this file. Label smoothing and label noise are the same for
all losses: a sample with target t, the degree to which it counts as real, costs t times the loss of
"real" plus 1 - t times the loss of "fake". For cross entropy this is exactly label smoothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from augan.choices import LOSSES, Loss
from augan.gan.tensorflow import Tensor

Elementwise = Callable[[Tensor], Tensor]


class AdversarialLoss(NamedTuple):
    """Adversarial loss: losses of the discriminator and the generator, elementwise on logits.

    Attributes
    ----------
    real, fake : callable
        Logits -> losses of the discriminator for samples with the label "real" or "fake".
    generator : callable
        Logits of generated samples -> losses of the generator.
    decision_boundary : float or None
        Logits above it mean "real"; None if only differences of logits have a meaning.
    """

    real: Elementwise
    fake: Elementwise
    generator: Elementwise
    decision_boundary: float | None = 0.0

    def discriminator(
        self,
        real_logits: Tensor,
        fake_logits: Tensor,
        *,
        real_targets: Any = 1.0,
        fake_targets: Any = 0.0,
    ) -> Tensor:
        """Return the discriminator's loss on a real and a generated batch, a scalar.

        The result is the mean over the real batch plus the mean over the generated batch.

        Parameters
        ----------
        real_logits, fake_logits : Tensor [N, 1]
            Logits of real and of generated samples.
        real_targets, fake_targets : float or Tensor [N, 1]
            Degrees, 0 to 1, to which the samples count as real; label smoothing and label noise
            change the defaults 1 and 0.
        """
        on_real = real_targets * self.real(real_logits) + (1 - real_targets) * self.fake(
            real_logits
        )
        on_fake = fake_targets * self.real(fake_logits) + (1 - fake_targets) * self.fake(
            fake_logits
        )
        return tf.reduce_mean(on_real) + tf.reduce_mean(on_fake)

    def boundary_logit(self, real_logits: Tensor, fake_logits: Tensor) -> Any:
        """Return the logit above which a sample counts as classified "real".

        The result is `decision_boundary`, or the midpoint of the mean real and the mean generated
        logit if `decision_boundary` is None.
        """
        if self.decision_boundary is not None:
            return self.decision_boundary
        return (tf.reduce_mean(real_logits) + tf.reduce_mean(fake_logits)) / 2


def _softplus_real(logits: Tensor) -> Tensor:
    return tf.nn.softplus(-logits)  # -log sigmoid(x)


def _softplus_fake(logits: Tensor) -> Tensor:
    return tf.nn.softplus(logits)  # -log(1 - sigmoid(x))


def _saturating(logits: Tensor) -> Tensor:
    return -tf.nn.softplus(logits)  # log(1 - sigmoid(x))


def _squared_real(logits: Tensor) -> Tensor:
    return 0.5 * tf.square(logits - 1)


def _squared_fake(logits: Tensor) -> Tensor:
    return 0.5 * tf.square(logits)


def _hinge_real(logits: Tensor) -> Tensor:
    return tf.nn.relu(1.0 - logits)


def _hinge_fake(logits: Tensor) -> Tensor:
    return tf.nn.relu(1.0 + logits)


def _linear_real(logits: Tensor) -> Tensor:
    return -logits


def _linear_fake(logits: Tensor) -> Tensor:
    return logits


LOSSES.register(
    Loss(
        "minimax",
        description="cross entropy; the generator minimizes log(1 - D(G(z))), as first published",
        paper="Goodfellow et al. 2014, eq. 1",
    ),
    AdversarialLoss(_softplus_real, _softplus_fake, _saturating),
)
LOSSES.register(
    Loss(
        "nonsaturating",
        description="cross entropy; the generator maximizes log D(G(z)), which learns faster",
        paper="Goodfellow et al. 2014, section 3",
    ),
    AdversarialLoss(_softplus_real, _softplus_fake, _softplus_real),
)
LOSSES.register(
    Loss(
        "least_squares",
        description="squared distance to 1 for real and to 0 for generated samples",
        paper="Mao et al. 2017, eq. 2 with a = 0, b = c = 1",
    ),
    AdversarialLoss(_squared_real, _squared_fake, _squared_real, decision_boundary=0.5),
)
LOSSES.register(
    Loss(
        "hinge",
        description="no loss for samples beyond a margin, which keeps logits small",
        paper="Lim and Ye 2017, eqs. 17 and 18",
        has_soft_labels=False,
    ),
    AdversarialLoss(_hinge_real, _hinge_fake, _linear_real),
)
LOSSES.register(
    Loss(
        "wasserstein",
        description="difference of mean logits, an estimate of the Wasserstein distance",
        paper="Arjovsky et al. 2017, algorithm 1",
        has_soft_labels=False,
        requires_lipschitz=True,
    ),
    AdversarialLoss(_linear_real, _linear_fake, _linear_real, decision_boundary=None),
)
