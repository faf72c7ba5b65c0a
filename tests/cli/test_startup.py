"""Tests of the start of commands: without a network to run, they load no TensorFlow."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augan.bundle import Bundle, save_bundle

RUN = """
import json, sys
from augan_cli.main import main
commands = json.loads(sys.argv[1])
results = []
for command in commands:
    sys.argv = ["augan", *command]
    try:
        main()
        code = 0
    except SystemExit as exit:
        code = exit.code or 0
    loaded = [name for name in ("tensorflow", "keras") if name in sys.modules]
    results.append([code, loaded])
print(json.dumps(results))
"""

COMMANDS = [
    (0, "train --dry-run"),
    (0, "train --dry-run --task detect"),
    (0, "inspect runs/a"),
    (2, "train --set generator.widht=3"),
    (2, "train nowhere"),
    (2, "train --cross-conformal"),
    (2, "train --set gan.loss=wasserstein"),
    (2, "train --task detect --set detect.far=0.0001"),
    (2, "train --out runs"),
    (0, "train digits --translate-to inverted.npz --dry-run"),
    (2, "train digits --translate-to digits"),
    (2, "train digits --translate-to nowhere"),
    (2, "train digits --class-map nowhere.csv"),
    (2, "inspect nowhere"),
    (2, "augment --class 77 --n 3"),
    (2, "augment --class 7 --n 0"),
    (2, "augment --class 7 --n 3 --method magic"),
    (2, "augment --class 7 --n 3 --transform magic"),
    (2, "augment --class 7 --n 3 --out full"),
    (2, "augment --class 7 --n 3 --model nowhere"),
    (2, "generate --n 0"),
    (2, "generate --n 3 --out full"),
    (2, "detect nowhere"),
    (2, "detect full --far 2"),
    (2, "detect full --far 0.00001"),
    (2, "detect full --method magic"),
    (2, "detect full --out full"),
    (2, "calibrate runs/a nowhere"),
    (2, "evaluate detection nowhere --labels folders"),
    (2, "evaluate augmentation nowhere"),
    (2, "export runs/a --part magic"),
    (2, "export runs/a --part generator --method fanogan"),
    (2, "export runs/a --part detector --method magic"),
    (2, "export runs/a --part detector --out full"),
    (2, "merge merged nowhere"),
]


@pytest.fixture(scope="module")
def results(
    digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, list[str]]]:
    """Exit code of each command, and what was loaded after it; all in one process, in order."""
    folder = tmp_path_factory.mktemp("startup")
    save_bundle(replace(digits_bundle), folder / "runs" / "a" / "bundle.augan")
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez(folder / "inverted.npz", x=pixels, y=np.arange(20) % 10)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([command.split() for _, command in COMMANDS])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "cli")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    return {command: tuple(value) for (_, command), value in zip(COMMANDS, values)}


@pytest.mark.parametrize(("code", "command"), COMMANDS)
def test_command_without_network_loads_no_tensorflow(
    code: int, command: str, results: dict[str, tuple[int, list[str]]]
) -> None:
    assert results[command] == (code, [])
