"""Tests of the README: each of its commands runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests._docs import README, ROOT, blocks, commands, make_folder, run

RECIPES = [
    ["train", "augment", "evaluate augmentation"],
    ["train", "detect", "calibrate"],
    ["train", "augment", "evaluate augmentation"],
    ["train", "augment", "detect", "evaluate detection"],
]


def recipes() -> list[list[str]]:
    """Return the commands of each block of the section on your own folder."""
    text = README.read_text(encoding="utf-8")
    own = text.split("## On your own folder")[1].split("\n## ")[0]
    found = re.findall(r"```bash\n(.*?)```", own, flags=re.DOTALL)
    return [[line.split("  #")[0].strip() for line in block.splitlines()] for block in found]


def test_setup_commands_match_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"make demo", "make test"} <= set(commands(README))
    for target in ("demo", "test", "docs"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    demo = makefile.split("\ndemo:")[1].split("\n\n")[0]
    for line in ("augan train", "augan augment --class 3 --n 5000", "augan detect images/"):
        assert line in commands(README)
        assert f"../$(BIN)/{line}\n" in demo + "\n"
    assert "install --quiet -c constraints.txt -e '.[test]'" in makefile


def test_readme_has_four_recipes() -> None:
    kinds = [[re.findall(r"augan ((?:evaluate )?\w+)", line)[0] for line in r] for r in recipes()]
    assert kinds == RECIPES
    # The others are the commands of the setup and of the demo.
    assert len(commands(README)) == 2 + 3 + 3 + sum(map(len, RECIPES))


@pytest.mark.parametrize("number", [0, 1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_recipe_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in recipes()[number]:
        run(line)
    images = {path.resolve() for path in tmp_path.glob("runs/*/augment-*/dent/*.png")}
    assert len(images) == (90, 0, 500, 500)[number]  # 150 normal images minus 60; none; --n


@pytest.mark.slow
def test_python_block_runs(tmp_path: Path) -> None:
    (block,) = blocks(README, "python")
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-run" / "bundle.augan").is_file()
    assert len(list(tmp_path.glob("my-run/augment-*/3/*.png"))) == 100


def test_links_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
