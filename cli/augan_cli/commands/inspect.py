"""Command `augan inspect`: contents of a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import JsonOption
from augan_cli.output import print_result


@handle_errors
def inspect_command(
    path: Annotated[Path, typer.Argument(help="Run folder or bundle file.")],
    as_json: JsonOption = False,
) -> None:
    """Print what a bundle contains, without building its networks."""
    import yaml

    from augan.bundle import inspect_bundle

    contents = inspect_bundle(path)
    print_result(yaml.safe_dump(contents, sort_keys=False).splitlines(), contents, as_json)
