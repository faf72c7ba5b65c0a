"""The pictures of the documentation, each of real results on scikit-learn's digits.

    python -m tools.docs.figures

It trains three GANs and evaluates a lift, which takes some minutes, and needs matplotlib
(`pip install 'augan[docs]'`).
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from augan import Config, evaluate_augmentation, load_dataset, train
from augan.bundle import Bundle, restore_network
from augan.data.datasets import digits, write_example_images
from augan.data.modalities.registry import restore_preprocessing
from augan.detect.detector import Detector
from augan.detect.methods.fanogan import FAnoGAN
from augan.io.images import image_grid, read_image, write_png

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
MOMENTS = (20, 100, 500, 2000)
TILE, SCALE, COLUMNS = 8, 6, 10  # of the sheets in samples/
FAR = 0.05
INK, PALE, STRONG = "#333333", "#9bb8b5", "#b5433c"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Config().override(
            ["training.steps=2000", "training.sample_interval=20", "detect.methods=[fanogan]"]
        )
        bundle = train(settings, load_dataset("digits"), out=folder / "run")
        growing(folder / "run" / "samples")
        redrawn(bundle, folder)
        calibrated(bundle, folder)
        broken = Config().override(
            ["task=generate", "training.steps=1000", "generator.conditioning=embedding"]
        )
        train(broken, load_dataset("digits"), out=folder / "broken")
        collapsed(folder / "broken" / "samples", folder / "run" / "samples")
        lifted(folder / "lift")


def growing(samples: Path) -> None:
    """Draw the same codes at four moments, a row a moment, two images of each class."""
    rows = [_tiles(samples / f"step_{step:06d}.png")[:, :2] for step in MOMENTS]
    write_png(
        PICTURES / "gan.png", image_grid(np.concatenate([_flat(row) for row in rows]), 20, 1, 4)
    )


def redrawn(bundle: Bundle, folder: Path) -> None:
    """Draw images, what f-AnoGAN makes of them, and the difference."""
    preprocessing = restore_preprocessing(bundle.preprocessing)
    method = FAnoGAN({role: restore_network(bundle, role) for role in FAnoGAN.required_networks})
    images = np.concatenate([digits("test").images[:8], _foreign(folder / "foreign")[:8]])
    scaled = preprocessing.normalize(images)
    again = preprocessing.to_original_size(preprocessing.denormalize(method.reconstruct(scaled)))
    difference = np.abs(images.astype(np.int16) - again).astype(np.uint8)
    sheet = image_grid(np.concatenate([images, again, difference]), len(images), 1, 5)
    write_png(PICTURES / "anogan.png", sheet)


def calibrated(bundle: Bundle, folder: Path) -> None:
    """Draw the scores of calibration images, of new digits and of foreign pictures."""
    detector = Detector.from_bundle(bundle)
    calibration = detector.require_calibration()
    kinds = {
        f"{calibration.n} calibration images": calibration.scores,
        "359 new digits": detector.score(digits("test").images),
        "12 foreign pictures": detector.score(_foreign(folder / "more")),
    }
    line = calibration.threshold(FAR)
    edges = np.linspace(min(map(np.min, kinds.values())), line + 25, 70)
    figure, axes = _figure(len(kinds), (7, 3.6))
    for axis, (kind, scores) in zip(axes, kinds.items()):
        shown = np.minimum(scores, edges[-1])  # what is beyond counts in the last bar
        axis.hist(shown, edges, color=[PALE, INK, STRONG][list(kinds).index(kind)])
        axis.axvline(line, color=STRONG, linewidth=1)
        share = (scores > line).mean()
        axis.set_title(f"{kind}: {share:.1%} above the line", loc="left", fontsize=9)
        axis.set_yticks([])
    axes[-1].set_xlabel("score: higher is more anomalous", fontsize=9)
    _save(figure, "calibration.png")


def collapsed(broken: Path, healthy: Path) -> None:
    """Draw the last sheets of a collapsed and of a healthy generator side by side."""
    left, right = (_tiles(sorted(folder.glob("*.png"))[-1]) for folder in (broken, healthy))
    gap = np.full_like(left[:, :1], 255)
    both = np.concatenate([left, gap, right], axis=1)
    write_png(PICTURES / "collapse.png", image_grid(_flat(both), both.shape[1], 1, 3))


def lifted(out: Path) -> None:
    """Draw the balanced accuracy of each arm in each draw of a small evaluation."""
    found: dict[str, list[float]] = {}

    def note(number: int, arm: str, about: Any) -> None:
        found.setdefault(arm, []).append(about["balanced_accuracy"])

    x, y = load_digits(return_X_y=True)
    images = np.rint(x * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    asked: dict[str, Any] = {"labels_per_class": 10, "rare": {"3": 4, "8": 4}, "test_size": 0.5}
    lift = evaluate_augmentation(
        (images, y),
        **asked,
        classifier="logistic",
        repeats=5,
        gan_steps=300,
        out=out,
        callback=note,
    )
    print(lift.sentence)
    figure, (axis,) = _figure(1, (7, 0.32 * len(found) + 0.9))
    for row, (arm, values) in enumerate(reversed(found.items())):
        colour = STRONG if arm.startswith("gan") else INK
        axis.scatter(values, [row] * len(values), s=14, color=colour, alpha=0.6)
        axis.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=2)
    axis.set_yticks(range(len(found)), list(reversed(found)), fontsize=9)
    axis.xaxis.set_major_formatter(lambda value, place: f"{value:.0%}")
    axis.set_xlabel("balanced accuracy on real test images", fontsize=9)
    _save(figure, "lift.png")


def _tiles(sheet: Path) -> np.ndarray:
    """Return the digits of a sheet in samples/, [rows, COLUMNS, 8, 8, 1]."""
    step = TILE * SCALE + 1
    pixels = read_image(sheet)
    rows = pixels.shape[0] // step
    inside = [
        [
            pixels[1 + r * step :, 1 + c * step :][: step - 1 : SCALE, : step - 1 : SCALE, :1]
            for c in range(COLUMNS)
        ]
        for r in range(rows)
    ]
    return np.array(inside)


def _flat(tiles: np.ndarray) -> np.ndarray:
    return tiles.reshape(-1, *tiles.shape[2:])


def _foreign(folder: Path) -> np.ndarray:
    write_example_images(folder)
    return np.stack([read_image(path) for path in sorted(folder.glob("foreign-*.png"))])


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
    figure.savefig(PICTURES / name, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
