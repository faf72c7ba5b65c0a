"""Every command in the README runs, as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augan.data.images import write_png
from augan_cli.app import app

ROOT = Path(__file__).parent.parent
PLANS = ("basic", "premium")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def test_set_up_commands_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"make demo", "make test"} <= set(commands())
    for target in ("demo", "test"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    demo = makefile.split("\ndemo:")[1].split("\n\n")[0]
    for line in ("augan train", "augan augment --class 3 --n 5000", "augan detect images/"):
        assert line in commands()
        assert f"../$(BIN)/{line}\n" in demo + "\n"
    assert "install --quiet -c constraints.txt -e '.[test]'" in makefile


def _own_images(folder: Path) -> None:
    """Two classes of flat patches, one with a bright scratch."""
    rng = np.random.default_rng(0)
    counts = {"photos/good": 150, "photos/scratch": 60, "incoming": 12, "new-camera": 30}
    counts |= {"test/good": 9, "test/scratch": 6}
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(80, 120, (20, 24, 1), dtype=np.uint8)
            if name.endswith("scratch"):
                image[:, 5 + i % 12] = 250
            write_png(folder / name / f"{i}.png", image)


def _own_table(path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal(40, 9):.1f},{rng.choice(['monthly', 'yearly'])},{rng.choice(PLANS)}"
        for _ in range(200)
    ]
    path.write_text("\n".join(["age,paid,plan", *rows]) + "\n")


def _run(recipe: list[str]) -> None:
    for line in recipe:
        words = shlex.split(line)[1:]
        # The rest of the commands as they stand.
        if words[0] == "train":
            words += ["--steps", "20"]
        if words[0] == "augment":
            words += ["--no-filter"]  # nothing credible comes of 20 steps
        if words[:2] == ["evaluate", "lift"]:
            words += ["--steps", "10", "--gan-steps", "2", "--draws", "2", "--arms", "real"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}: {done.output}"


def test_recipes_on_own_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _own_images(tmp_path)
    monkeypatch.chdir(tmp_path)
    recipe = commands()[commands().index("augan detect images/") + 1 :]
    recipe = recipe[: recipe.index("augan inspect runs/latest") + 1]
    names = ["train", "augment", "detect", "detect", "evaluate", "evaluate", "calibrate"]
    names += ["generate", "inspect"]
    assert [line.split()[1] for line in recipe] == names
    _run(recipe)
    assert len(list(tmp_path.glob("runs/latest/augment-*/scratch/*.png"))) == 500


def test_recipes_on_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("customers.csv", "new.csv"):
        _own_table(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    recipe = commands()[commands().index("augan inspect runs/latest") + 1 :]
    assert [line.split()[1] for line in recipe] == ["train", "augment", "detect"]
    _run(recipe)
    (made,) = tmp_path.glob("runs/latest/augment-premium-*/synthetic.csv")
    assert len(made.read_text().splitlines()) == 501
    assert (tmp_path / "runs/latest/detect-new/scores.csv").is_file()


@pytest.mark.slow
def test_python_blocks(tmp_path: Path) -> None:
    code = [block for kind, block in BLOCKS if kind == "python"]
    assert code
    for block in code:
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-run" / "bundle.augan").is_file()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
