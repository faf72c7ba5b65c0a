"""First steps: train on scikit-learn's digits, draw more threes, find pictures that are no digits.

One training makes one bundle, and the bundle does both. Everything is written to a temporary
folder.

    python examples/first_steps.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from augan import Config, augment_folder, detect_folder, load_dataset, train
from augan.data.datasets import write_example_images


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        settings = Config().override(["training.steps=600"])  # the default trains for longer
        bundle = train(settings, load_dataset("digits"), out=folder / "run")
        fidelity = bundle.metrics["fidelity"]
        print(
            f"trained on {bundle.data['num_images']} digits; distance of generated to real ones "
            f"{fidelity['kernel_distance']:.3f}, before training "
            f"{fidelity['untrained_kernel_distance']:.3f}"
        )

        made = augment_folder(bundle, "3", n=200)
        kept, candidates = made.acceptance[0].accepted, made.acceptance[0].generated
        print(f"kept {kept} threes of {candidates} candidates; the filters left out the others")

        # 60 digits that the training did not see, and 12 letters and scraps of photographs.
        write_example_images(folder / "images")
        found = detect_folder(bundle, folder / "images", folder / "found", far=0.05)
        print(f"flagged {found.num_anomalies} of {found.num_scored} pictures")
        print(found.guarantee.sentence)
        print("most anomalous:", ", ".join(scored.path for scored in found.most_anomalous))


if __name__ == "__main__":
    main()
