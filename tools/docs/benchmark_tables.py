"""Generator of the tables in `docs/benchmarks/` from the rows in `benchmarks/results/`.

    python -m tools.docs.benchmark_tables            # rewrite the tables of every page
    python -m tools.docs.benchmark_tables --check    # exit code 1 if a page is out of date

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. NAME is one of `TABLES`. All other
text of a page is written by hand and is never changed.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.docs.tables import augmentation, detection, gan, robustness, speed, translation
from tools.docs.tables.common import ROOT

PAGES = (ROOT / "docs" / "benchmarks", ROOT / "docs" / "research-log.md")
COMMAND = "python -m tools.docs.benchmark_tables"
TABLES = {
    **detection.TABLES,
    **augmentation.TABLES,
    **translation.TABLES,
    **gan.TABLES,
    **speed.TABLES,
    **robustness.TABLES,
}
_BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_START = re.compile(r"<!-- table: (.*?) -->")


def page_files() -> list[Path]:
    """Return the Markdown files that may hold generated tables."""
    files = []
    for path in PAGES:
        files += sorted(path.glob("*.md")) if path.is_dir() else [path]
    return files


def table_names(text: str) -> list[str]:
    """Return the names of the tables in a page, in the order of the page."""
    return _START.findall(text)


def rewrite(text: str) -> str:
    """Return a page with every table regenerated.

    Raises
    ------
    ValueError
        A table name is unknown, or its end marker is missing.
    """
    blocks = _BLOCK.findall(text)
    names = [name for _, name, _, _ in blocks]
    if names != table_names(text) or any("<!-- table:" in body for _, _, body, _ in blocks):
        raise ValueError("expected `<!-- end -->` after every `<!-- table: NAME -->`")
    unknown = sorted(set(names) - set(TABLES))
    if unknown:
        raise ValueError(f"no table is called {', '.join(unknown)}; known: {', '.join(TABLES)}")
    return _BLOCK.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}\n{match[4]}", text)


def outdated(files: Sequence[Path]) -> list[Path]:
    """Return the pages whose tables differ from the result rows."""
    return [file for file in files if (text := _read(file)) != rewrite(text)]


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite or check the pages."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if stale")
    options = parser.parse_args(argv)
    stale = outdated(page_files())
    for file in stale:
        name = file.relative_to(ROOT)
        if options.check:
            print(f"{name} is out of date; run `{COMMAND}`", file=sys.stderr)
        else:
            file.write_text(rewrite(_read(file)), encoding="utf-8")
            print(f"rewrote {name}")
    if options.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
