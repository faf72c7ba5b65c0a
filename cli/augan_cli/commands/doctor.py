"""Command `augan doctor`: check of this machine and installation."""

import typer

from augan_cli.errors import EXIT_ERROR, handle_errors
from augan_cli.options import JsonOption
from augan_cli.output import print_result


@handle_errors
def doctor_command(as_json: JsonOption = False) -> None:
    """Check this machine and this installation, and print what is missing.

    The exit code is 0 if augan can work here, and 2 if something required is missing or too old.
    """
    from augan.doctor.checks import run_checks
    from augan.report.text import format_system_report

    report = run_checks()
    print_result(format_system_report(report), report.to_dict(), as_json)
    if not report.usable:
        raise typer.Exit(EXIT_ERROR)
