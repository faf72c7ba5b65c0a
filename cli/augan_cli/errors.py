"""Error handling of the commands: one line and an exit code, or a traceback with `--debug`.

Exit codes: 2 for an error, 1 for a refusal (`augan.exceptions.RefusedError`).

The messages of the library name arguments as Python code, such as `` `filtered=False` ``. A command
prints its own option instead: `--no-filter`.
"""

import functools
import inspect
import io
import re
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

EXIT_ERROR = 2
EXIT_REFUSED = 1
_MAX_MESSAGE_LENGTH = 2000  # characters; a message may quote a damaged file
# Arguments of the library that a message of one command may name for another one.
_SHARED_OPTIONS = frozenset(
    {"cross_conformal", "far", "fdr", "group_by", "groups", "masks", "normal", "training_data"}
)
_PYTHON_HINT = re.compile(r"; in Python,? [^;]*")  # a clause of a message for users of Python
_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")  # an argument in a message of the library

Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


def handle_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that errors become one line and an exit code.

    The decorated command also has the option `--debug`, which prints the traceback instead of the
    line.

    Raises
    ------
    typer.Exit
        After an error: code 1 for a `RefusedError`, else 2.
    """

    @functools.wraps(command)
    def run(*args: Any, debug: bool = False, **options: Any) -> None:
        _allow_undecodable_names()
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            _fail("interrupted")
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            is_refused = _is_refused(error)
            code = EXIT_REFUSED if is_refused else EXIT_ERROR
            if debug:
                traceback.print_exc()
                raise typer.Exit(code) from None
            text = name_options(_describe(error), command)
            _release(error)
            _fail(f"{'refused' if is_refused else 'error'}: {text}", code)

    signature = inspect.signature(command)
    option = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "debug": Debug}
    return run


def _release(error: BaseException) -> None:
    """Delete the local variables of the failed calls, such as thread pools of TensorFlow.

    Pools that still exist when the interpreter ends print a traceback of their own.
    """
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def name_options(text: str, command: Callable[..., None]) -> str:
    """Replace the arguments in a message by the options of a command.

    Parameters
    ----------
    text : str
        A message that names arguments as Python code in backticks: `` `balance` ``, ``
        `balance=True` ``, `` `method='sample'` ``.
    command : callable
        The function of the command. Arguments that are no parameter of the command are kept.

    Returns
    -------
    str
        The message with `--balance` or `--method sample`; for a switch that is False, the option
        that turns it off, such as `--no-filter`. Clauses for users of Python are left out.
    """
    parameters = inspect.signature(command).parameters

    def replace(match: re.Match[str]) -> str:
        name, value = match.groups()
        options = _options(parameters[name]) if name in parameters else []
        if not options:
            return _shared_option(match)
        if value in (None, "True", "False"):
            return options[-1] if value == "False" else options[0]
        return f"{options[0]} {value.strip(chr(39) + chr(34))}"

    return _ARGUMENT.sub(replace, _PYTHON_HINT.sub("", text))


def _shared_option(match: re.Match[str]) -> str:
    """Return an argument in a message as an option, if some command has it; else unchanged."""
    name, value = match.groups()
    is_plain = name in _SHARED_OPTIONS and value is None
    return f"--{name.replace('_', '-')}" if is_plain else match[0]


def name_shared_options(text: str) -> str:
    """Replace the arguments in a warning by options, and leave out clauses for users of Python."""
    return _ARGUMENT.sub(_shared_option, _PYTHON_HINT.sub("", text))


def _options(parameter: inspect.Parameter) -> list[str]:
    """Return the names of a parameter on the command line: `--x` and `--no-x`, or `X`."""
    for info in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(info, typer.models.OptionInfo):
            # In an annotation, typer keeps the first declared name as the default.
            declared = (info.default, *(info.param_decls or ()))
            texts = [text for text in declared if isinstance(text, str)]
            names = [name for text in texts for name in text.split("/")]
            return names or [f"--{parameter.name.replace('_', '-')}"]
        if isinstance(info, typer.models.ArgumentInfo):
            return [parameter.name.upper()]
    return []


def _allow_undecodable_names() -> None:
    """Let standard output print undecodable bytes of file names as `\\udcff`, as stderr does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _fail(message: str, code: int = EXIT_ERROR) -> NoReturn:
    """Print a message on standard error and end the command with an exit code."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def _is_refused(error: Exception) -> bool:
    """Return whether an error is a refusal, which has the exit code 1."""
    from augan.exceptions import RefusedError

    return isinstance(error, RefusedError)


def _describe(error: Exception) -> str:
    """Return the message of an error as one line, with a remedy for system and unexpected errors.

    The message of the error is cut to `_MAX_MESSAGE_LENGTH` characters.
    """
    from augan.exceptions import AuganError

    text = " ".join(str(error).split())
    if len(text) > _MAX_MESSAGE_LENGTH:
        text = f"{text[: _MAX_MESSAGE_LENGTH - 3]}..."
    if isinstance(error, AuganError):
        return text
    if isinstance(error, OSError):
        path = f" {error.filename}" if error.filename else ""
        return (
            f"cannot read or write{path}: {error.strerror or text}; check that the file or folder "
            "exists, its permissions, and the free space"
        )
    return f"unexpected {type(error).__name__}: {text}; run again with --debug for the traceback"


def report_usage_error(error: Exception) -> int:
    """Print the error of a command line that cannot be parsed, and return the exit code 2.

    Errors that are not usage errors of click or typer are raised again.
    """
    # By its methods, because newer versions of typer carry their own copy of click.
    describe, show = getattr(error, "format_message", None), getattr(error, "show", None)
    if describe is None or show is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        show()
    else:
        typer.echo(f"error: {' '.join(describe().split())}", err=True)
    return EXIT_ERROR
