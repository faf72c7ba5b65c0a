"""Figures of the documentation: results of real trainings on scikit-learn's digits.

    python -m tools.docs.figures

The command trains two GANs and evaluates the augmentation gain, which takes some minutes. The
command needs matplotlib (`pip install 'augan[docs]'`).
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from augan import Config, EvaluationProtocol, evaluate_augmentation, load_dataset, train
from augan.bundle import Bundle, restore_network
from augan.choices import DETECTION_METHODS
from augan.data.datasets import digits, write_example_images
from augan.detect.detector import Detector
from augan.detect.methods.fanogan import FAnoGAN
from augan.io.images import image_grid, read_image, write_png

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
STEPS = (20, 100, 500, 2000)
TILE, SCALE, COLUMNS = 8, 6, 10  # of the image grids in samples/
FAR = 0.05
DARK, LIGHT, ACCENT = "#333333", "#9bb8b5", "#b5433c"


def main() -> None:
    """Train the GANs and write all figures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Config().override(
            ["training.steps=2000", "training.sample_interval=20", "detect.methods=[fanogan]"]
        )
        bundle = train(settings, load_dataset("digits"), out=folder / "run")
        plot_training(folder / "run" / "samples")
        plot_reconstructions(bundle, folder)
        plot_calibration(bundle, folder)
        settings = Config().override(
            ["task=generate", "training.steps=1000", "generator.conditioning=embedding"]
        )
        train(settings, load_dataset("digits"), out=folder / "collapsed")
        plot_mode_collapse(folder / "collapsed" / "samples", folder / "run" / "samples")
        plot_augmentation_gain(folder / "evaluation")


def plot_training(samples: Path) -> None:
    """Show images of the same latent codes at several steps: one row per step."""
    rows = [_tiles(samples / f"step_{step:06d}.png")[:, :2] for step in STEPS]
    grid = image_grid(np.concatenate([_flatten(row) for row in rows]), 20, 1, 4)
    write_png(FOLDER / "gan.png", grid)


def plot_reconstructions(bundle: Bundle, folder: Path) -> None:
    """Show images, their reconstructions by f-AnoGAN, and the absolute differences."""
    preprocessing = bundle.preprocessing
    roles = DETECTION_METHODS.get("fanogan").required_networks
    method = FAnoGAN({role: restore_network(bundle, role) for role in roles})
    images = np.concatenate([digits("test").images[:8], _letters(folder / "letters")[:8]])
    outputs = method.reconstruct(preprocessing.normalize(images))
    reconstructions = preprocessing.to_original_size(preprocessing.denormalize(outputs))
    differences = np.abs(images.astype(np.int16) - reconstructions).astype(np.uint8)
    rows = np.concatenate([images, reconstructions, differences])
    write_png(FOLDER / "anogan.png", image_grid(rows, len(images), 1, 5))


def plot_calibration(bundle: Bundle, folder: Path) -> None:
    """Plot the scores of calibration images, of new digits and of letters."""
    detector = Detector.from_bundle(bundle)
    calibration = detector.require_calibration()
    scores_by_group = {
        f"{calibration.n} calibration images": calibration.scores,
        "359 new digits": detector.score(digits("test").images),
        "12 anomalies": detector.score(_letters(folder / "anomalies")),
    }
    threshold = calibration.threshold(FAR)
    edges = np.linspace(min(map(np.min, scores_by_group.values())), threshold + 25, 70)
    figure, axes = _figure(len(scores_by_group), (7, 3.6))
    for axis, color, (group, scores) in zip(axes, (LIGHT, DARK, ACCENT), scores_by_group.items()):
        axis.hist(np.minimum(scores, edges[-1]), edges, color=color)  # the last bar has the rest
        axis.axvline(threshold, color=ACCENT, linewidth=1)
        rate = (scores > threshold).mean()
        axis.set_title(f"{group}: {rate:.1%} above the threshold", loc="left", fontsize=9)
        axis.set_yticks([])
    axes[-1].set_xlabel("score: higher is more anomalous", fontsize=9)
    _save(figure, "calibration.png")


def plot_mode_collapse(collapsed: Path, healthy: Path) -> None:
    """Show the last image grids of a collapsed and of a healthy generator side by side."""
    left, right = (_tiles(sorted(folder.glob("*.png"))[-1]) for folder in (collapsed, healthy))
    gap = np.full_like(left[:, :1], 255)
    both = np.concatenate([left, gap, right], axis=1)
    write_png(FOLDER / "collapse.png", image_grid(_flatten(both), both.shape[1], 1, 3))


def plot_augmentation_gain(out: Path) -> None:
    """Plot the balanced accuracy of each arm in each repeat of a small evaluation."""
    accuracies: dict[str, list[float]] = {}

    def record(repeat: int, arm: str, metadata: Any) -> None:
        accuracies.setdefault(arm, []).append(metadata["balanced_accuracy"])

    x, y = load_digits(return_X_y=True)
    images = np.rint(x * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    gain = evaluate_augmentation(
        (images, y),
        EvaluationProtocol(
            labels_per_class=10,
            rare={"3": 4, "8": 4},
            test_size=0.5,
            classifier="logistic",
            repeats=5,
            gan_steps=300,
        ),
        out=out,
        callback=record,
    )
    print(gain.sentence)
    figure, (axis,) = _figure(1, (7, 0.32 * len(accuracies) + 0.9))
    for row, (arm, values) in enumerate(reversed(accuracies.items())):
        color = ACCENT if arm.startswith("gan") else DARK
        axis.scatter(values, [row] * len(values), s=14, color=color, alpha=0.6)
        axis.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2)
    axis.set_yticks(range(len(accuracies)), list(reversed(accuracies)), fontsize=9)
    axis.xaxis.set_major_formatter(lambda value, position: f"{value:.0%}")
    axis.set_xlabel("balanced accuracy on real test images", fontsize=9)
    _save(figure, "augmentation-gain.png")


def _tiles(path: Path) -> np.ndarray:
    """Return the digits of an image grid in samples/, [rows, COLUMNS, 8, 8, 1]."""
    step = TILE * SCALE + 1
    pixels = read_image(path)
    rows = pixels.shape[0] // step
    tiles = [
        [
            pixels[1 + r * step :, 1 + c * step :][: step - 1 : SCALE, : step - 1 : SCALE, :1]
            for c in range(COLUMNS)
        ]
        for r in range(rows)
    ]
    return np.array(tiles)


def _flatten(tiles: np.ndarray) -> np.ndarray:
    return tiles.reshape(-1, *tiles.shape[2:])


def _letters(folder: Path) -> np.ndarray:
    """Return augan's example images of anomalies, uint8 [12, 8, 8, 1]."""
    write_example_images(folder)
    return np.stack([read_image(path) for path in sorted(folder.glob("outlier-*.png"))])


def _figure(rows: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        rows, 1, figsize=size, sharex=True, squeeze=False, layout="constrained"
    )
    for axis in axes[:, 0]:
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes[:, 0]


def _save(figure: Any, name: str) -> None:
    figure.savefig(FOLDER / name, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
