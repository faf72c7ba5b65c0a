"""Registry: the named entries of one kind, such as losses or training stages, one file each.

An entry has two parts. Its *declaration* is a frozen dataclass: what a user reads about the entry,
and what is checked before the entry runs. Its *implementation* is a function, class or mapping,
which may need TensorFlow. One call of `Registry.register` in the file of the entry holds both:

    @STAGES.register(Stage("encoder", description="...", share=BudgetShare(steps=0.5, time=0.26)))
    def train_encoder(trainer): ...

Names and declarations are known without importing the file, so that settings are checked and help
is printed without TensorFlow: the registry finds these calls in the source of its package, and
evaluates only the declaration. `Registry.load` imports the file.
"""

import ast
import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar, overload

from augan.exceptions import ConfigError

_PACKAGE = Path(__file__).parent


class Declaration(Protocol):
    """Properties of an entry that are known without its implementation."""

    @property
    def name(self) -> str:
        """Name of the entry in settings and on the command line."""

    @property
    def description(self) -> str:
        """Description for the user, one plain phrase without a final period."""


D = TypeVar("D", bound=Declaration)
T = TypeVar("T")  # of an implementation


class Registry(Generic[D, T]):
    """Entries of one kind by name, in the order of their files and of their lines.

    Parameters
    ----------
    kind : str
        Noun for messages, such as "loss".
    declaration : type
        Frozen dataclass of a declaration, with `name` and `description`.
    location : str
        Module or package of augan whose files register the entries, such as "augan.gan.losses".
    vocabulary : type or function
        Further names that declarations may use. A declaration that uses other names is legal, but
        its file is imported as soon as any name of the registry is needed.

    Examples
    --------
    >>> from augan.choices import LOSSES
    >>> "hinge" in LOSSES
    True
    >>> LOSSES.get("hinge").paper
    'Lim and Ye 2017, eqs. 17 and 18'
    """

    def __init__(
        self, kind: str, declaration: type[D], location: str, *vocabulary: Callable[..., Any]
    ) -> None:
        self.kind, self.location, self._type = kind, location, declaration
        self._vocabulary: dict[str, Any] = {declaration.__name__: declaration}
        self._vocabulary |= {getattr(thing, "__name__", ""): thing for thing in vocabulary}
        self._declarations: dict[str, D] = {}
        self._implementations: dict[str, T] = {}
        self._modules: dict[str, str] = {}  # of entries that were found but not imported
        self._is_discovering = self._is_discovered = False
        self._lock = RLock()

    @overload
    def register(self, declaration: D, implementation: T) -> T: ...

    @overload
    def register(self, declaration: D) -> Callable[[T], T]: ...

    def register(self, declaration: D, implementation: T | None = None) -> Any:
        """Add an entry: `register(declaration, implementation)`, or as a decorator.

        Raises
        ------
        ValueError
            Another entry has the name.
        """
        self._discover()
        name, module = declaration.name, sys._getframe(1).f_globals.get("__name__")

        def add(implementation: T) -> T:
            if name in self._declarations and self._modules.get(name) != module:
                raise ValueError(
                    f"the name '{name}' is taken by another {self.kind}; choose another"
                )
            self._modules.pop(name, None)
            self._declarations[name] = declaration
            self._implementations[name] = implementation
            return implementation

        return add if implementation is None else add(implementation)

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Remove the entries that the block registers at the end of the block, for tests."""
        self._discover()
        saved = dict(self._declarations)
        try:
            yield
        finally:
            for name in [name for name in self._declarations if name not in saved]:
                del self._declarations[name]
                self._implementations.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """Return the names of all entries, in order; no entry is imported."""
        self._discover()
        return tuple(self._declarations)

    def get(self, name: str) -> D:
        """Return the declaration of an entry, without importing the entry.

        Raises
        ------
        ConfigError
            There is no such entry; the message has the names of all entries.
        """
        self._discover()
        if name not in self._declarations:
            raise ConfigError(
                f"unknown {self.kind} '{name}'; choose one of {', '.join(self._declarations)}"
            )
        return self._declarations[name]

    def load(self, name: str) -> T:
        """Return the implementation of an entry, importing its file if needed.

        Raises
        ------
        ConfigError
            There is no such entry.
        """
        self.get(name)
        if name in self._modules:
            import_module(self._modules[name])
        return self._implementations[name]

    def describe(self) -> dict[str, str]:
        """Return the description of every entry by name, for help and reports."""
        return {declaration.name: declaration.description for declaration in self}

    def __iter__(self) -> Iterator[D]:
        self._discover()
        return iter(tuple(self._declarations.values()))

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __repr__(self) -> str:
        return f"Registry of {self.kind} entries: {', '.join(self.names())}"

    def _discover(self) -> None:
        """Read the declarations of all files of the registry's package, once."""
        if self._is_discovered:
            return
        with self._lock:
            if not self._is_discovering:  # by this thread, or by another that has ended
                self._is_discovering = True
                self._read_files()
                self._is_discovered = True

    def _read_files(self) -> None:
        """Add the entries that all files of the registry's package declare."""
        path = _PACKAGE.joinpath(*self.location.split(".")[1:])
        if path.is_dir():
            files = {f"{self.location}.{file.stem}": file for file in sorted(path.glob("*.py"))}
        else:
            files = {self.location: path.with_suffix(".py")}
        for module, file in files.items():
            self._read_file(module, file)

    def _read_file(self, module: str, file: Path) -> None:
        """Add the entries that the calls of `register` in a file declare."""
        source = file.read_text(encoding="utf-8")
        if f"register({self._type.__name__}(" not in "".join(source.split()):
            return  # parsing takes longer
        for declared in self._declared(ast.parse(source)):
            if self._foreign_names(declared):
                import_module(module)  # which registers all entries of the file
                return
            code = compile(ast.Expression(declared), str(file), "eval")
            declaration = eval(code, dict(self._vocabulary))
            name = declaration.name
            if name in self._declarations and name not in self._implementations:
                raise ValueError(
                    f"the {self.kind} '{name}' is registered in two files, "
                    f"{self._modules[name]} and {module}"
                )
            if name not in self._declarations:  # the file may be imported already
                self._declarations[name], self._modules[name] = declaration, module

    def _declared(self, tree: ast.AST) -> list[ast.Call]:
        """Return the declarations in calls such as `LOSSES.register(Loss(...), ...)`, in order."""
        found = [
            node.args[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "register"
            and node.args
            and isinstance(node.args[0], ast.Call)
            and isinstance(node.args[0].func, ast.Name)
            and node.args[0].func.id == self._type.__name__
        ]
        return sorted(found, key=lambda call: call.lineno)

    def _foreign_names(self, expression: ast.expr) -> set[str]:
        """Return the names of an expression that only its file defines."""
        nodes = list(ast.walk(expression))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
        bound |= {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        return used - bound - set(self._vocabulary) - set(dir(builtins))
