"""Tests of the progress on standard error: a terminal, a notebook, a pipe, and silence."""

import io
import sys

import numpy as np
import pytest

from augan import Config, GANDetector, GANOverSampler, train
from augan.data.dataset import Dataset
from augan.progress import ExperimentProgress, Progress


class Fraction:
    """A budget of 100 steps."""

    def progress(self, step: int) -> float:
        return step / 100


def show_stages(verbose: int = 1) -> None:
    with Progress(verbose) as progress:
        for stage in ("gan", "encoder"):
            for step in (1, 50, 100):
                progress.on_progress(stage, step, Fraction(), {"loss": 0.5})


def test_a_pipe_gets_the_first_line_and_the_end_of_each_stage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_stages()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "gan          1%  step 1  loss 0.500",
        "gan        100%  step 100  loss 0.500",
        "encoder    100%  step 100  loss 0.500",
    ]


def test_short_detections_print_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.on_scored(1, 2)
        progress.on_accepted("cat", 5, 5)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_gets_one_line_for_each_part(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with Progress() as progress:
        for done in range(101):
            progress.on_scored(done, 100)
        progress.on_accepted("cat", 5, 5)
    out, err = capsys.readouterr()
    assert out == ""
    first, second, end = err.split("\n")
    assert end == ""
    assert first.startswith("\rscored")
    assert first.split("\r")[-1].split() == ["scored", "100%", "100", "of", "100"]
    assert first.count("\r") < 20  # not one for each call
    assert second.split() == ["cat", "100%", "5", "of", "5"]


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress() as progress:
        progress.on_scored(1, 2)
        progress.on_accepted("[red]cat", 5, 5)
    shown = terminal.getvalue()
    assert "scored" in shown
    assert "[red]cat" in shown  # a class name is no markup
    assert "100 %" in shown


@pytest.mark.parametrize("live", [False, True])
def test_zero_is_silent(
    live: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: live)
    show_stages(verbose=0)
    with Progress(verbose=False) as progress:
        progress.on_scored(2, 2)
        progress.on_accepted("cat", 5, 5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [0, 1])
def test_trainings_show_progress_unless_told_otherwise(
    verbose: int,
    tiny_config: Config,
    tiny_digits: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = tiny_config.replace(task="generate")
    out = tmp_path_factory.mktemp("runs") / "run"
    calls = {
        "train": lambda: train(config, tiny_digits, out=out, verbose=verbose),
        "fit": lambda: GANDetector(steps=2, random_state=0, verbose=verbose).fit(
            np.asarray(tiny_digits.images)[:40]
        ),
        "fit_resample": lambda: GANOverSampler(
            steps=2, random_state=0, verbose=verbose
        ).fit_resample(np.asarray(tiny_digits.images)[:60], np.arange(60) % 5 // 4),
    }
    capfd.readouterr()
    for name, call in calls.items():
        call()
        out_text, err = capfd.readouterr()
        assert out_text == "", name
        assert ("gan        100%" in err) == bool(verbose), name
        if not verbose:
            assert err == "", name


def test_experiment_progress_estimates_the_remaining_time_from_this_call(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("augan.progress.time.monotonic", lambda: now[0])
    progress = ExperimentProgress(20)
    for number in (10, 11, 12):  # an earlier call has finished ten
        now[0] += 600
        progress(number, "gan", {"balanced_accuracy": 0.5})
    lines = [line for line in capsys.readouterr().err.splitlines() if "per repeat" in line]
    assert lines == [
        "600 s per repeat, about 90 minutes left",
        "600 s per repeat, about 80 minutes left",
    ]
