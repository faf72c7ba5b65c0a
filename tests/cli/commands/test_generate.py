"""Tests of `augan generate`."""

from pathlib import Path

from augan.bundle import Bundle
from tests._helpers import with_data
from tests.cli._helpers import Augan, add_run, only_object, read_table


def test_generate_has_the_class_frequencies_of_the_training(
    augan: Augan, digits_bundle: Bundle
) -> None:
    counts = [1, 0, 3, 0, 0, 0, 0, 0, 0, 0]
    add_run(with_data(digits_bundle, class_counts=counts), "a")
    summary = only_object(augan("generate", "--n", 200, "--json"))
    out = Path(summary["out"])
    assert out.parent == Path("runs/a")
    names = [path.name for path in out.iterdir()]
    assert len([name for name in names if name.endswith(".png")]) == 200
    assert not [path for path in out.iterdir() if path.is_dir()]
    classes = [row["class"] for row in read_table(out / "manifest.csv")]
    assert set(classes) == {"0", "2"}
    assert 119 <= classes.count("2") <= 181  # 150, give or take five standard deviations
    augan("generate", "--n", 3, "--out", "made", "--seed", 0)
    assert (Path("made/000002.png")).read_bytes() == (out / "000002.png").read_bytes()
