"""MkDocs hook that generates the references of the command line and of the library."""

import subprocess
import sys
from typing import Any

from mkdocs.structure.files import File, Files

import augan

COMMANDS = [sys.executable, "-m", "typer", "augan_cli.main", "utils", "docs", "--name", "augan"]

API = """\
# Library reference

This page lists every name that `from augan import ...` offers. Images are arrays `[N, H, W, C]`.
Every error that augan raises on purpose is an `AuganError`.
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the two generated pages, which exist only in the site."""
    files.append(File.generated(config, "reference/cli.md", content=command_line()))
    files.append(File.generated(config, "reference/api.md", content=library()))
    return files


def command_line() -> str:
    """Return the help of every command as Markdown."""
    process = subprocess.run(COMMANDS, capture_output=True, text=True, check=True)
    return process.stdout.replace("# `augan`", "# Command-line reference", 1)


def library() -> str:
    """Return a mkdocstrings directive for every public name."""
    modules = {name: getattr(augan, name).__module__ for name in augan.__all__}
    return "\n\n".join([API, *(f"::: {module}.{name}" for name, module in modules.items())])
