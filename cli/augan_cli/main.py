"""The command `augan`, assembled from its subcommands.

The commands import heavy packages inside their functions, so that `augan --help` answers at once.
"""

import sys
from typing import Annotated

import typer

from augan_cli.commands.augment import augment
from augan_cli.commands.calibrate import calibrate
from augan_cli.commands.detect import detect
from augan_cli.commands.doctor import doctor
from augan_cli.commands.evaluate import evaluate
from augan_cli.commands.export import export
from augan_cli.commands.generate import generate
from augan_cli.commands.inspect import inspect
from augan_cli.commands.merge import merge
from augan_cli.commands.train import train
from augan_cli.errors import report_usage_error

SUMMARY = "Train a GAN on your own images or tables, generate labeled samples, detect anomalies."

app = typer.Typer(
    name="augan",
    help=SUMMARY,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, augment, generate, detect, calibrate):
    app.command()(command)
app.add_typer(evaluate, name="evaluate")
for command in (inspect, export, merge, doctor):
    app.command()(command)


def _print_version(requested: bool) -> None:
    if requested:
        import augan

        typer.echo(f"augan {augan.__version__}")
        raise typer.Exit


@app.callback(help=SUMMARY)
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options that come before a command."""


def main() -> None:
    """Run the command `augan` and exit with its code."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        code = report_usage_error(error)
    sys.exit(code)
