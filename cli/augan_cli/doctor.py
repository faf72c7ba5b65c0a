"""`augan doctor`: whether augan can work on this machine."""

import typer

from augan_cli.errors import ERROR, with_debug
from augan_cli.options import Json, show


@with_debug
def doctor(as_json: Json = False) -> None:
    """Look at this machine and installation, and say what is missing or in the way.

    The exit code is 0 where augan can work, and 2 where something required is missing or too old.
    """
    from augan.doctor.checks import examine
    from augan.report.text import diagnosis_lines

    found = examine()
    show(diagnosis_lines(found), found.to_dict(), as_json)
    if not found.usable:
        raise typer.Exit(ERROR)
