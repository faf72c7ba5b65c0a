"""Contract of training stages: properties of every entry of `STAGES`."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.modalities.columns import ColumnSpec
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tabular import TabularPreprocessing
from augan.exceptions import ConfigError, RunInterruptedError, TrainingDivergedError
from augan.report.html.training import write_training_page
from augan.training import loop
from augan.training.budget import Stopwatch, TrainingBudget
from augan.training.checkpoints import Checkpoints
from augan.training.loop import TrainingSession
from augan.training.stages.base import STAGES, TrainingPlan, order_stages, planned_stages
from augan.training.trainer import TrainedNetworks, TrainingData, train_stages
from augan.workflow.train import train
from tests._docs import run_worked_example

STEPS = 8  # of the GAN
CONFIG = Config().replace(
    training__batch_size=8,
    training__dtype="float32",
    gan__architecture="mlp",
    gan__latent_dim=3,
    gan__loss="nonsaturating",
    gan__betas=(0.5, 0.999),
    gan__diffaug=[],
    discriminator__norm="none",
    generator__learning_rate=1e-3,
    discriminator__learning_rate=1e-3,
    translation__width=2,
    translation__blocks=1,
    translation__discriminator_width=2,
    **{f"{role}__width": 2 for role in ("generator", "discriminator", "encoder", "classifier")},
)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)
PREPROCESSING = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8))
NEW_CAMERA = TrainingData(255 - PIXELS[:16], np.arange(16) % 2, 2, PREPROCESSING)
DATA = TrainingData(PIXELS, np.arange(24) % 2, 2, PREPROCESSING, new=NEW_CAMERA)


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Let the loop stop after every step, so that a training of two steps can be interrupted."""
    monkeypatch.setattr(loop, "STEPS_PER_CALL", 1)


def with_needed(stage: str) -> tuple[str, ...]:
    """Return a stage and the stages whose networks it needs, in order."""
    plan = TrainingPlan(CONFIG.replace(task="both"), 2, PREPROCESSING)
    makers = [
        next(other for other in planned_stages(plan) if network in STAGES.get(other).makes)
        for network in STAGES.get(stage).needs
    ]
    return order_stages(dict.fromkeys([*makers, stage]))


def run(stage: str, session: TrainingSession | None = None, **changes) -> TrainedNetworks:
    """Train a stage and what it needs, a few steps each."""
    data, budget = changes.pop("data", DATA), changes.pop("budget", TrainingBudget(STEPS))
    return train_stages(CONFIG, data, with_needed(stage), budget, session, **changes)


def weights_of(networks: TrainedNetworks) -> dict[str, list[np.ndarray]]:
    return {name: model.get_weights() for name, model in networks.models.items()}


class Events:
    """Callback that records the stages and the steps that it is told."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}

    def on_progress(self, stage, step, budget, losses):
        self.steps.setdefault(stage, []).append(step)
        assert losses
        assert all(np.isfinite(value) for value in losses.values())


def check_declaration(name: str) -> None:
    stage = STAGES.get(name)
    assert stage.name == name
    assert stage.makes
    assert stage.share.steps > 0
    assert stage.share.time > 0
    assert stage.description
    assert stage.section is None or stage.section in Config.model_fields
    for network in stage.needs:
        assert any(network in other.makes for other in STAGES if other is not stage)


def check_networks_and_steps(name: str) -> TrainedNetworks:
    """The stage makes what it declares, in exactly its steps, and reports each of them."""
    events, stage, stopwatch = Events(), STAGES.get(name), Stopwatch()
    networks = run(name, TrainingSession((events,), stopwatch=stopwatch))
    steps = math.ceil(STEPS * stage.share.steps)
    assert networks.steps[name] == steps
    assert events.steps[name] == list(range(1, steps + 1))
    assert stopwatch.seconds[name] > 0
    made = {network for other in with_needed(name) for network in STAGES.get(other).makes}
    assert networks.models.keys() == networks.specs.keys()
    assert networks.models.keys() <= made
    assert networks.models.keys() & set(stage.makes)
    for values in weights_of(networks).values():
        assert all(np.isfinite(value).all() for value in values)
    return networks


def check_a_resumed_training_is_equal_to_the_bit(
    name: str, uninterrupted: TrainedNetworks, folder
) -> None:
    """A signal stops the stage after one step; the same call then continues from there."""
    events = Events()

    def stop() -> str | None:
        return "SIGTERM" if events.steps.get(name) == [1] else None

    session = TrainingSession((events,), checkpoints=Checkpoints(folder), stop=stop)
    with pytest.raises(RunInterruptedError, match=f"SIGTERM after step 1 of the {name}"):
        run(name, session)
    networks = run(name, replace(session, checkpoints=Checkpoints(folder)))
    assert events.steps[name][:2] == [1, 2]  # nothing was repeated
    assert networks.steps == uninterrupted.steps
    expected = weights_of(uninterrupted)
    for network, values in weights_of(networks).items():
        for mine, theirs in zip(values, expected[network], strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=network)


def check_a_deadline_in_the_past_allows_one_call(name: str) -> None:
    networks = run(name, budget=TrainingBudget(None, time.monotonic() - 1))
    assert networks.steps[name] == loop.STEPS_PER_CALL


class Poisoned(Stopwatch):
    """Stopwatch and preprocessing whose samples are not numbers while one stage runs."""

    sample_type, groups = "image", ()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.running = name, ""

    def measure(self, stage):
        self.running = stage
        return super().measure(stage)

    def normalize(self, samples):
        normal = PREPROCESSING.normalize(samples)
        return np.full_like(normal, np.nan) if self.running == self.name else normal


def check_losses_that_are_not_finite_end_the_training(name: str) -> None:
    poisoned = Poisoned(name)
    data = replace(DATA, preprocessing=poisoned)
    with pytest.raises(TrainingDivergedError, match=f"the training of the {name} diverged"):
        run(name, TrainingSession(stopwatch=poisoned), data=data)


def check_contract(name: str, folder) -> None:
    """Check everything that a stage promises."""
    check_declaration(name)
    networks = check_networks_and_steps(name)
    check_a_resumed_training_is_equal_to_the_bit(name, networks, folder)
    check_a_deadline_in_the_past_allows_one_call(name)
    check_losses_that_are_not_finite_end_the_training(name)


@pytest.mark.parametrize("name", STAGES.names())
def test_declaration(name):
    check_declaration(name)


SLOW = ("autoencoder", "encoder", "gan", "translation")  # their graphs take seconds to trace


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in STAGES.names()]
)
def test_networks_steps_and_resume(name, tmp_path):
    networks = check_networks_and_steps(name)
    check_a_resumed_training_is_equal_to_the_bit(name, networks, tmp_path)


@pytest.mark.parametrize("name", STAGES.names())
def test_deadline(name):
    check_a_deadline_in_the_past_allows_one_call(name)


@pytest.mark.parametrize("name", STAGES.names())
def test_losses_that_are_not_finite(name):
    check_losses_that_are_not_finite_end_the_training(name)


def test_the_worked_example_passes_and_trains(tmp_path):
    """The stage of CONTRIBUTING: the battery, then `train`, its bundle and its report."""
    with STAGES.temporary():
        (name,) = run_worked_example("... a training stage", STAGES)
        check_contract(name, tmp_path / "checkpoints")
        config = CONFIG.replace(task="generate", training__steps=4, evaluation__enabled=False)
        bundle = train(
            config.replace(training__store_latents=False),
            from_arrays(np.repeat(PIXELS, 3, axis=0)),
            out=tmp_path / "run",
        )
        assert set(bundle.metrics.steps) == {name, "gan"}
        assert name in bundle.networks
        page = write_training_page(bundle).read_text(encoding="utf-8")
        assert STAGES.get(name).description in page
    with pytest.raises(ConfigError, match=f"unknown stage '{name}'; choose one of"):
        train_stages(CONFIG, DATA, [name], TrainingBudget(1))


# ---------------------------------------------------------------- the stages of a training


@pytest.mark.parametrize(
    ("changes", "plan", "expected"),
    [
        ({"task": "both"}, (10, "image", {"discriminator"}), "classifier gan encoder"),
        ({"task": "generate"}, (10, "image", ()), "classifier gan encoder"),
        ({"task": "generate"}, (0, "image", ()), "rotation gan encoder"),
        ({"task": "generate"}, (0, "row", ()), "gan encoder"),
        (
            {"task": "generate", "training__store_latents": False},
            (2, "row", ()),
            "classifier gan",
        ),
        ({"task": "detect"}, (0, "image", {"discriminator"}), "rotation gan"),
        ({"task": "detect"}, (0, "image", {"encoder"}), "rotation gan encoder"),
        (
            {"task": "detect", "evaluation__enabled": False},
            (0, "image", {"discriminator"}),
            "gan",
        ),
    ],
)
def test_the_stages_that_a_training_needs(changes, plan, expected):
    num_classes, sample_type, networks = plan
    config = Config().replace(**changes)
    rows = TabularPreprocessing((ColumnSpec("x", "number", "float64", (0.0, 1.0)),))
    preprocessing = rows if sample_type == "row" else PREPROCESSING
    found = planned_stages(TrainingPlan(config, num_classes, preprocessing, frozenset(networks)))
    assert " ".join(found) == expected


def test_stages_run_after_the_stages_that_they_need_or_use():
    assert order_stages(["encoder", "gan", "classifier"]) == ("classifier", "gan", "encoder")
    with pytest.raises(ConfigError, match=r"encoder needs the network generator.*add one of .*gan"):
        order_stages(["encoder", "classifier"])
    with pytest.raises(ConfigError, match="unknown stage 'gam'"):
        order_stages(["gam"])
