"""Program `augan`, assembled from its subcommands.

The commands import heavy packages inside their functions, so that `augan --help` answers at once.
"""

import sys
from importlib import import_module
from typing import Annotated

import typer

from augan_cli.errors import report_usage_error

# One module of `augan_cli.commands` each, in the order of the help text.
COMMANDS = (
    *("train", "augment", "generate", "translate", "detect", "calibrate", "evaluate"),
    *("inspect", "export", "merge", "doctor"),
)
SUMMARY = "Train a GAN on your own images or tables, generate labeled samples, detect anomalies."

app = typer.Typer(
    name="augan",
    help=SUMMARY,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name in COMMANDS:
    module = import_module(f"augan_cli.commands.{name}")
    if name == "evaluate":
        app.add_typer(module.evaluate, name=name)
    else:
        app.command(name)(getattr(module, f"{name}_command"))


def _print_version(requested: bool) -> None:
    """Print the version of augan and exit, if `--version` is given."""
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
    """Run the program `augan` with the arguments of the process, and exit with its code."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        code = report_usage_error(error)
    sys.exit(code)
