"""First steps: training on scikit-learn's digits, augmentation of a class, anomaly detection.

One training writes one bundle, and the bundle serves both purposes. All files go to a temporary
folder.

    python examples/first_steps.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from augan import (
    AugmentRequest,
    Config,
    DetectionRequest,
    augment_folder,
    detect_folder,
    load_dataset,
    train,
)
from augan.data.datasets import write_example_images


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        settings = Config().override(["training.steps=600"])  # fewer than the default
        bundle = train(settings, load_dataset("digits"), out=folder / "run")
        fidelity = bundle.metrics.fidelity
        print(
            f"trained on {bundle.data.num_samples} digits; kernel distance of generated and "
            f"real digits {fidelity.kernel_distance:.3f}, before training "
            f"{fidelity.untrained_kernel_distance:.3f}"
        )

        augmented = augment_folder(bundle, AugmentRequest("3", n=200))
        accepted, candidates = augmented.acceptance[0].accepted, augmented.acceptance[0].generated
        print(
            f"accepted {accepted} threes of {candidates} candidates; the filters rejected the rest"
        )

        # 60 digits that were not used in training, 12 letters and crops of photographs.
        write_example_images(folder / "images")
        detected = detect_folder(
            bundle, DetectionRequest(folder / "images", far=0.05), folder / "results"
        )
        print(f"flagged {detected.num_anomalies} of {detected.num_scored} images")
        print(detected.guarantee.sentence)
        print("most anomalous:", ", ".join(sample.path for sample in detected.most_anomalous))


if __name__ == "__main__":
    main()
