"""Helpers of the tests of README.md and docs/: code blocks, and a folder of example data."""

import re
import shlex
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from augan.io.images import write_png
from augan.registry import Registry
from augan_cli.main import app

ROOT = Path(__file__).parent.parent
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
PLANS = ("basic", "premium")
IMAGES = {
    "photos/good": 150,
    "photos/dent": 60,
    "photos/unlabeled": 20,
    "good-parts": 150,
    "incoming": 12,
    "new-camera": 30,
    "test/good": 9,
    "test/dent": 6,
    "line-1/good": 40,
    "line-1/dent": 30,
    "line-1/stain": 30,
    "line-2/train/good": 40,
    "line-2/train/stain": 30,
    "line-2/test/good": 6,
    "line-2/test/dent": 6,
    "line-2/test/stain": 6,
}


def blocks(page: Path, kind: str) -> list[str]:
    """Return the code blocks of a language without their indentation, also those in lists."""
    text = page.read_text(encoding="utf-8")
    matches = re.findall(rf"^( *)```{kind}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(f"(?m)^{indent}", "", block) for indent, block in matches]


def run_worked_example(title: str, registry: Registry) -> tuple[str, ...]:
    """Run the first Python block of a section of CONTRIBUTING, as if it were a new file of augan.

    Parameters
    ----------
    title : str
        Title of the section, such as "... a loss".
    registry : Registry
        The registry that the block adds entries to; use `Registry.temporary` around the call.

    Returns
    -------
    tuple of str
        Names of the entries that the block registers; at least one.
    """
    section = CONTRIBUTING.read_text(encoding="utf-8").split(f"\n### {title}\n")[1]
    code = section.split("\n### ")[0].split("```python\n")[1].split("```")[0]
    before = registry.names()
    exec(compile(code, f"CONTRIBUTING: {title}", "exec"), {"__name__": "worked_example"})
    names = tuple(name for name in registry.names() if name not in before)
    assert names, f"the example of '{title}' registers nothing"
    return names


def commands(page: Path) -> list[str]:
    """Return the lines of the bash blocks of a page, without comments."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def make_folder(folder: Path) -> None:
    """Write the data that the commands of the pages use: images, tables, groups and a mask."""
    rng = np.random.default_rng(0)
    for name, count in IMAGES.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(80, 120, (8, 8, 1), dtype=np.uint8)
            if name.endswith("dent"):
                image[:, i % 8] = 250
            write_png(folder / name / f"{i}.png", image)
    for name in ("customers.csv", "new.csv"):
        rows = [
            f"{rng.normal(40, 9):.1f},{rng.choice(['monthly', 'yearly'])},{rng.choice(PLANS)}"
            for _ in range(200)
        ]
        (folder / name).write_text("\n".join(["age,paid,plan", *rows]) + "\n")
    rows = [f"{path.relative_to(folder)},{path.stem}" for path in folder.glob("photos/*/*.png")]
    (folder / "groups.csv").write_text("\n".join(["path,group", *rows]) + "\n")
    mask = np.zeros((8, 8, 1), np.uint8)
    mask[:2] = 255
    write_png(folder / "mask.png", mask)
    (folder / "configs").symlink_to(ROOT / "configs")


def run(line: str) -> None:
    """Run a command of a page with options that make it fast; it must succeed."""
    words = shlex.split(line)[1:]
    if words[0] == "train" and "--dry-run" not in words:
        words += ["--steps", "20"]
        words += [f"--set={section}.width=8" for section in ("generator", "encoder", "classifier")]
        if not any("discriminator.width" in word for word in words):
            words += ["--set=discriminator.width=8"]
    if words[0] == "augment":
        words += ["--no-filter"]  # 20 steps give no credible images
    if words[:2] == ["evaluate", "augmentation"]:
        # With unlabeled images, one arm without a GAN must use them.
        more = ",self-training" * Path(words[2], "unlabeled").is_dir()
        arms = "pooled,gan" if "--translate-to" in words else f"real{more}"
        words += ["--gan-steps", "2", "--repeats", "2", "--arms", arms]
        words += [] if "--classifier" in words else ["--steps", "10"]
    done = CliRunner().invoke(app, words)
    expected = (0, 1) if "--fail-on-anomaly" in words else (0,)
    assert done.exit_code in expected, f"{line}: {done.output}"
