"""Tests of the documentation: its commands exist, its code runs, its site builds."""

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from augan.training.monitor import GanMetrics, check_failures, divergence
from augan_cli.main import app
from tests._docs import PAGES, README, ROOT, blocks, commands, make_folder, run

DOCS = [page for page in PAGES if page != README]
PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())


def parse(words: list[str]) -> None:
    """Parse a command line without running it."""
    command: Any = typer.main.get_command(app)
    name, arguments = "augan", words
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, arguments[:1], resilient_parsing=True)
        context.resilient_parsing = False  # so that an unknown command is an error
        name, command, arguments = command.resolve_command(context, arguments)
    command.make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_commands_exist_with_their_options(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line)
        if words[0] in ("augan", ".venv/bin/augan") and "-completion" not in line:
            parse(words[1:])


def test_parse_unknown_command_fails() -> None:
    for line in ("train --stepz 3", "evaluate lifts photos/", "doctors", "detect"):
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            parse(line.split())


def test_shell_completion_is_offered() -> None:
    command: Any = typer.main.get_command(app)
    options = {name for parameter in command.params for name in parameter.opts}
    assert {"--install-completion", "--show-completion"} <= options


def test_links_and_pictures_exist() -> None:
    generated = {ROOT / "docs" / "reference" / name for name in ("cli.md", "api.md")}
    shown = set()
    for page in DOCS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            assert path.exists() or path in generated, f"{page.name}: {target}"
            shown.add(path)
    assert set(PICTURES) <= shown
    sizes = [path.stat().st_size for path in PICTURES]
    assert max(sizes) < 60_000
    assert sum(sizes) < 200_000


def test_each_training_failure_has_a_page_that_quotes_its_message() -> None:
    metrics = {"progress": 1.0, "kernel_distance": 1.0, "diversity": 0.9, "coverage": 0.9}
    metrics |= {"r_t": 0.5, "r_v": 0.5}
    failures = [divergence(180, 1.9e4, evaluated=True)]
    for worse in ({"diversity": 0.14, "coverage": 0.71}, {"r_t": 0.91, "r_v": 1.06}):
        failure = check_failures([GanMetrics(step=1000, **{**metrics, **worse})] * 2)
        assert failure is not None
        failures.append(failure)
    assert {failure.kind for failure in failures} == {"collapse", "overfitting", "divergence"}
    pages = {page.stem: page for page in (ROOT / "docs" / "failures").glob("*.md")}
    assert pages.keys() == {failure.kind for failure in failures}
    for failure in failures:
        quoted = " ".join(pages[failure.kind].read_text(encoding="utf-8").replace("> ", "").split())
        assert failure.message in quoted


def test_settings_named_in_pages_exist() -> None:
    from augan.config import Config

    known = {f"{name}.{key}" for name, part in Config() for key in getattr(part, "__dict__", {})}
    sections = "|".join(name for name, part in Config() if hasattr(part, "__dict__"))
    for page in PAGES:
        for key in re.findall(rf"`((?:{sections})\.\w+)(?:=[^`]*)?`", page.read_text("utf-8")):
            assert key in known or key.split(".")[1] in ("augan", "html", "json", "jsonl", "npz"), (
                key
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that the pages use."""
    folder = tmp_path_factory.mktemp("docs")
    make_folder(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_page_code_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    lines = [line for line in commands(page) if line.split()[0] == "augan"]
    lines = [
        line for line in lines if "-completion" not in line and "--cross-conformal" not in line
    ]
    if lines and not any(line.startswith("augan train") for line in lines[:2]):
        run("augan train photos/")
    for line in lines:
        run(line)
    for block in blocks(page, "python"):
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class _ExternalResources(HTMLParser):
    """Parser that collects the addresses a browser would load from other sites."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("a", "base"):
            values = [value for name, value in attrs if name in ("src", "href", "srcset") and value]
            self.addresses += [value for value in values if re.match(r"(https?:)?//", value)]


@pytest.mark.slow
def test_site_builds_without_warnings_and_loads_nothing(tmp_path: Path) -> None:
    if find_spec("material") is None or find_spec("mkdocstrings") is None:
        pytest.skip("mkdocs-material and mkdocstrings are not installed: pip install 'augan[docs]'")
    site = tmp_path / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING -" not in done.stderr
    command_line = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    for command in ("train", "augment", "detect", "doctor", "evaluate augmentation"):
        assert f"augan {command}" in command_line
    library = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert "GANOverSampler" in library
    assert "False-alarm rate. With a number, some samples are held out" in library
    for page in site.rglob("*.html"):
        parser = _ExternalResources()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses == [], page
