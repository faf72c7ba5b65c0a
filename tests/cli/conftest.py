"""Fixtures of the tests of the command line."""

from pathlib import Path

import pytest

from tests.cli._helpers import SMALL, Augan, Result, invoke, write_digits


@pytest.fixture
def augan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Augan:
    """Return a function that runs a command in an empty folder and expects success."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = invoke(*arguments)
        assert result.exit_code == 0, result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an older run that can only detect, and a newer one that can only generate."""
    folder = tmp_path_factory.mktemp("two-runs")
    write_digits(folder / "parts", 130)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert invoke("train", "parts", *SMALL).exit_code == 0
        options = ["--task", "generate", "--no-store-latents"]
        assert invoke("train", "parts", *options, *SMALL, "--out", "runs/second").exit_code == 0
    return folder
