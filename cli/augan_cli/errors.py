"""Errors as one line and exit code 2, or 1 of a refusal; `--debug` shows the traceback."""

import functools
import inspect
import io
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

ERROR = 2
REFUSED = 1
LONGEST = 2000  # characters of an error; what is quoted in it may come from a damaged file

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def with_debug(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--debug`; without it, an error is one line."""

    @functools.wraps(command)
    def run(*args: Any, debug: bool = False, **options: Any) -> None:
        _print_any_name()
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            _end("interrupted")
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            refused = _is_refusal(error)
            code = REFUSED if refused else ERROR
            if debug:
                traceback.print_exc()
                raise typer.Exit(code) from None
            _end(f"{'refused' if refused else 'error'}: {_sentence(error)}", code)

    own = inspect.signature(command)
    option = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "debug": Debug}
    return run


def _print_any_name() -> None:
    """Let standard output show what it cannot encode as `\\udcff`, as standard error does.

    Names of files may hold bytes that are no text.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _end(line: str, code: int = ERROR) -> None:
    typer.echo(line, err=True)
    raise typer.Exit(code)


def _is_refusal(error: Exception) -> bool:
    from augan.exceptions import RefusedError

    return isinstance(error, RefusedError)


def _sentence(error: Exception) -> str:
    from augan.exceptions import AuganError

    text = " ".join(str(error).split())
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    if isinstance(error, AuganError):
        return text
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return (
            f"cannot read or write{where}: {error.strerror or text}; check that it is there, its "
            "permissions, and the free space"
        )
    return f"unexpected {type(error).__name__}: {text}; run again with --debug for the traceback"


def usage_error(error: Exception) -> int:
    """Show in one line what typer says about a command that it cannot parse."""
    # By its methods, because newer versions of typer carry their own copy of click.
    describe, show = getattr(error, "format_message", None), getattr(error, "show", None)
    if describe is None or show is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        show()
    else:
        typer.echo(f"error: {' '.join(describe().split())}", err=True)
    return ERROR
