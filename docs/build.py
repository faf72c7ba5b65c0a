"""What `mkdocs build` generates from the code: the references of command line and library."""

import subprocess
import sys
from typing import Any

from mkdocs.structure.files import File, Files

import augan

COMMANDS = [sys.executable, "-m", "typer", "augan_cli.main", "utils", "docs", "--name", "augan"]

API = """\
# Reference of the library

What `from augan import ...` offers. Images are arrays `[N, H, W, C]`; every error that is raised on
purpose is an `AuganError`.
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the two pages; there are no files of them, so they cannot be out of date."""
    files.append(File.generated(config, "reference/cli.md", content=command_line()))
    files.append(File.generated(config, "reference/api.md", content=library()))
    return files


def command_line() -> str:
    """Return what typer says about every command, as Markdown."""
    done = subprocess.run(COMMANDS, capture_output=True, text=True, check=True)
    return done.stdout.replace("# `augan`", "# Reference of the command line", 1)


def library() -> str:
    """Return a place for signature and docstring of every public name."""
    return "\n\n".join([API, *(f"::: {augan._HOME[name]}.{name}" for name in augan.__all__)])
