"""Figures of the code's structure: modules, importers, repeated names, files that a command runs.

    python -m tools.structure [ROOT] [--trace DIR]

ROOT is a checkout (default: this one). `--trace DIR` also trains a small model in the empty folder
DIR and counts the files of augan in which a function runs during `augan augment --class 3 --n 100`
and `augan detect images/`.
"""

import argparse
import ast
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

PACKAGES = ("augan", "cli/augan_cli")
NUM_SHOWN = 12  # names of each list that is printed

TRACER = """
import os, runpy, sys, threading
root, target = sys.argv[1], sys.argv[2]
files = set()
def profile(frame, event, argument):
    # Modules and class bodies have no fast locals (CO_OPTIMIZED): they run when they are imported.
    if event == "call" and frame.f_code.co_flags & 1:
        files.add(frame.f_code.co_filename)
threading.setprofile(profile); sys.setprofile(profile)
sys.argv = ["augan", *sys.argv[3:]]
try:
    runpy.run_module("augan_cli", run_name="__main__")
except SystemExit as end:
    code = end.code
sys.setprofile(None)
with open(target, "w") as stream:
    stream.write("\\n".join(sorted(f for f in files if f.startswith(root))))
sys.exit(code)
"""


def modules(root: Path) -> dict[str, Path]:
    """Return the file of every module of augan and its command line, by dotted name."""
    files: dict[str, Path] = {}
    for package in PACKAGES:
        top = (root / package).parent if "/" in package else root
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def importers(files: dict[str, Path]) -> dict[str, set[str]]:
    """Return for each module the modules that import it."""
    result: dict[str, set[str]] = defaultdict(set)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    target = full if full in files else node.module
                    if target in files:
                        result[target].add(name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in files:
                        result[alias.name].add(name)
    return result


def public_names(files: dict[str, Path]) -> dict[str, list[str]]:
    """Return for each public class, function or constant the modules that define it."""
    result: dict[str, list[str]] = defaultdict(list)
    for module, path in files.items():
        for node in ast.parse(path.read_text("utf-8")).body:
            names: list[str] = []
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if not name.startswith("_"):
                    result[name].append(module)
    return result


def report(root: Path) -> list[str]:
    """Return the figures of the checkout at `root`, one per line."""
    files = modules(root)
    content = {name: path for name, path in files.items() if path.name != "__init__.py"}
    used_by = importers(files)
    alone = sorted(name for name in content if len(used_by[name]) == 1)
    first_lines = [
        (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
        for path in files.values()
    ]
    num_what = sum(line.startswith("What") for line in first_lines)
    duplicates = {name: where for name, where in public_names(files).items() if len(where) > 1}
    stems = Counter(path.stem for path in content.values())
    repeated_stems = sorted(stem for stem, count in stems.items() if count > 2)
    return [
        f"modules: {len(content)}",
        f"modules with one importer: {len(alone)}",
        f"module docstrings that begin with 'What': {num_what}",
        f"public names defined twice: {len(duplicates)} {sorted(duplicates)[:NUM_SHOWN]}",
        f"stems used three times or more: {len(repeated_stems)} {repeated_stems}",
    ]


def traced(root: Path, folder: Path, *arguments: str) -> int:
    """Run a command of the checkout at `root` in `folder`; return the number of files that ran."""
    target = folder.resolve() / "trace.txt"
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'cli'}"}
    command = [sys.executable, "-c", TRACER, f"{root}{os.sep}", str(target), *arguments]
    subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
    )
    return len(target.read_text("utf-8").splitlines())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, nargs="?", default=Path(__file__).parents[1])
    parser.add_argument("--trace", type=Path, metavar="DIR", help="an empty folder to train in")
    options = parser.parse_args()
    root = options.root.resolve()
    print("\n".join(report(root)))
    if options.trace:
        options.trace.mkdir(parents=True, exist_ok=True)
        traced(root, options.trace, "train")
        for words in (("augment", "--class", "3", "--n", "100"), ("detect", "images/")):
            print(f"files that run in {' '.join(words)}: {traced(root, options.trace, *words)}")


if __name__ == "__main__":
    main()
