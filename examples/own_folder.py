"""Your own folder: one bundle that balances a rare class and detects images of no class.

PHOTOS has one folder of images for each class, NEW has images to score. Without arguments the
example writes both from scikit-learn's digits: 120 sevens, 40 nines, new images of all ten digits.

    python examples/own_folder.py [PHOTOS NEW]
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from augan import (
    AugmentRequest,
    Config,
    DetectionRequest,
    augment_folder,
    detect_folder,
    load_dataset,
    train,
)


def make_folders(photos: Path, new: Path) -> None:
    """Write digits as PNG files: sevens and nines to train on, all ten digits to score."""
    digits, labels = load_dataset("digits").images, load_dataset("digits").labels
    for digit, name, count in ((7, "seven", 120), (9, "nine", 40)):
        indices = np.flatnonzero(labels == digit)
        write(digits[indices[:count]], photos / name, name)
        write(digits[indices[count : count + 10]], new, name)
    for digit in (0, 1, 2, 3, 4, 5, 6, 8):
        write(digits[np.flatnonzero(labels == digit)[:5]], new, f"other-{digit}")


def write(images: np.ndarray, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{name}-{number}.png")


def main() -> None:
    with TemporaryDirectory() as name:
        photos, new = Path(name, "photos"), Path(name, "new")
        if len(sys.argv) == 3:
            photos, new = Path(sys.argv[1]), Path(sys.argv[2])
        else:
            make_folders(photos, new)
        settings = Config().override(["task=both", "training.steps=600"])
        bundle = train(settings, load_dataset(photos), out=Path(name, "run"))
        print("classes:", dict(zip(bundle.data.class_names, bundle.data.class_counts)))

        augmented = augment_folder(bundle, AugmentRequest(balance=True))
        for stats in augmented.acceptance:
            print(
                f"class {stats.class_name}: {stats.accepted} of {stats.generated} candidates "
                "accepted"
            )

        detected = detect_folder(bundle, DetectionRequest(new, far=0.1), Path(name, "results"))
        print(f"flagged {detected.num_anomalies} of {detected.num_scored} new images")
        print("most anomalous:", ", ".join(sample.path for sample in detected.most_anomalous))


if __name__ == "__main__":
    main()
