"""Training of networks in stages, and the registry of the stages.

A new stage is one file in `augan.training.stages` and one entry in `STAGES`.
"""

from collections.abc import Sequence
from pathlib import Path

from augan.config import Config
from augan.training.budget import Stopwatch, TrainingBudget
from augan.training.callbacks import Callback
from augan.training.checkpoints import Checkpoints
from augan.training.distributed.workers import Workers
from augan.training.signals import StopSignal
from augan.training.stages.autoencoder import AUTOENCODER
from augan.training.stages.classifier import CLASSIFIER
from augan.training.stages.encoder import ENCODER
from augan.training.stages.gan import GAN_STAGE
from augan.training.stages.rotation import ROTATION
from augan.training.trainer import Stage, TrainedNetworks, Trainer, TrainingData

STAGES: dict[str, Stage] = {
    stage.name: stage for stage in (GAN_STAGE, AUTOENCODER, ENCODER, CLASSIFIER, ROTATION)
}


def train_stages(
    config: Config,
    data: TrainingData,
    stages: Sequence[str],
    budget: TrainingBudget,
    *,
    callbacks: Sequence[Callback] = (),
    samples: Path | None = None,
    stopwatch: Stopwatch | None = None,
    checkpoints: Path | None = None,
    stop: StopSignal = lambda: None,
    workers: Workers | None = None,
) -> TrainedNetworks:
    """Train networks in stages, such as GAN, encoder and classifier, and return the networks.

    Parameters
    ----------
    config : Config
        Resolved settings.
    data : TrainingData
        Samples, classes and splits.
    stages : sequence of str
        Names in `STAGES`, in the order of the training; a later stage uses earlier networks.
    budget : TrainingBudget
        Limits of all stages together.
    callbacks : sequence of Callback
        Notified of the progress.
    samples : Path or None
        Folder of the sample grids; None: no grids.
    stopwatch : Stopwatch or None
        Measures the time of each stage.
    checkpoints : Path or None
        Folder of the checkpoints, from which the training continues; None: no checkpoints.
    stop : callable
        Returns the name of a signal when the training must stop, see `augan.training.signals`.
    workers : Workers or None
        The processes that train together; None: this process alone.

    Raises
    ------
    RunInterruptedError
        `stop` returned a signal, or a worker stopped answering; checkpoints allow to continue.
    TrainingDivergedError
        The losses of a stage are no longer finite.
    """
    stopwatch, workers = stopwatch or Stopwatch(), workers or Workers()
    trainer = Trainer(
        config,
        data,
        tuple(STAGES[name] for name in stages),
        budget,
        tuple(callbacks),
        samples,
        Checkpoints(checkpoints),
        stop,
        workers,
    )
    with workers.report_lost_worker(), workers.scope():
        for stage in trainer.stages:
            with stopwatch.measure(stage.name):
                stage.train(trainer)
    return trainer.networks if workers.strategy is None else trainer.networks.on_one_device()
