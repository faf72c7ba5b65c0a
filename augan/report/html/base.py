"""Building blocks of the HTML reports, which are self-contained files in one style."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from augan.bundle.bundle import current_versions
from augan.exceptions import DataError
from augan.io.atomic import atomic_write, clear_leftovers
from augan.io.images import write_png


def write_page(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write an HTML report atomically from its sections, and return its path.

    Parameters
    ----------
    path : Path
        Path of the page. Its folder holds all results that the page shows.
    title : str
        Plain text.
    parts : iterable of str
        Sections of the page, as HTML.

    Raises
    ------
    DataError
        The page cannot be written. All other files of the results are complete by then.
    """
    folder = files("augan.report.html")
    page = Template((folder / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(folder / "page.css").read_text("utf-8").strip(),
        body="\n".join(parts),
    )
    try:
        atomic_write(path, page.encode("utf-8", "replace"))  # file names may be undecodable
    except OSError as error:
        raise DataError(_cannot_write("report", path, path.parent, error)) from error
    return path


def write_image(path: Path, image: np.ndarray, results: Path) -> Path:
    """Write an image that shows results as PNG, and return its path.

    Parameters
    ----------
    path : Path
        Path of the image.
    image : ndarray [H, W] or [H, W, C] of uint8
        The image.
    results : Path
        Folder of the results, for the error message.

    Raises
    ------
    DataError
        The image cannot be written. The results are complete by then.
    """
    try:
        clear_leftovers(path)
        write_png(path, image)
    except OSError as error:
        raise DataError(_cannot_write("image", path, results, error)) from error
    return path


def _cannot_write(what: str, path: Path, results: Path, error: OSError) -> str:
    """Return the message for a report or an image that cannot be written."""
    return (
        f"cannot write the {what} {path} ({error.strerror or error}); the results are complete in "
        f"{results}: to get the {what}, free some space and repeat the command"
    )


def page_header(
    command: str,
    title: str,
    lede: str,
    key_figures: Iterable[tuple[str, str, str]],
    warnings: Iterable[str],
) -> str:
    """Return the top of a report, with title, key figures and warnings, as HTML.

    Parameters
    ----------
    command : str
        The command that made the results, as HTML.
    title, lede : str
        The result in a few words and in a sentence, as plain text.
    key_figures : iterable of (name, value, kind)
        HTML. The kind "alarm" highlights the value.
    warnings : iterable of str
        Plain text.
    """
    tiles = "".join(
        f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>'
        for name, value, kind in key_figures
    )
    items = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    return (
        f'<header><p class="eyebrow">{command}</p>'
        f"<h1>{escape(title)}</h1>"
        f'<p class="lede">{escape(lede)}</p>'
        f'<dl class="figures">{tiles}</dl></header>'
        + (f'<ul class="warnings" aria-label="Warnings">{items}</ul>' if items else "")
    )


def settings_section(values: dict[str, str]) -> str:
    """Return the section of settings and package versions of a report, as HTML.

    Parameters
    ----------
    values : dict of str to str
        Plain text by name. Empty values are left out.
    """
    versions = ", ".join(f"{name} {number}" for name, number in current_versions().items())
    values = {**values, "version": versions}
    rows = (f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in values.items() if text)
    return f'<section><h2>Settings</h2><dl class="settings">{"".join(rows)}</dl></section>'


def section(title: str, about: str, body: str) -> str:
    """Return a section of a report, with a title and a description above its body, as HTML.

    All arguments are HTML.
    """
    return f'<section><h2>{title}</h2><p class="about">{about}</p>{body}</section>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table as HTML.

    Parameters
    ----------
    header : sequence of str
        Names of the columns, as HTML.
    rows : iterable of sequence of str
        Cells, as HTML.
    numbers : sequence of int
        Indices of the columns that are aligned as numbers.
    """

    def table_row(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="number"' if i in numbers else "" for i in range(len(cells)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for cell, kind in zip(cells, kinds))

    body = "".join(f"<tr>{table_row(cells, 'td')}</tr>" for cells in rows)
    return f"<table><thead><tr>{table_row(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def scrollable(body: str) -> str:
    """Wrap HTML, such as a wide table, so that it scrolls sideways on a narrow page."""
    return f'<div class="scrollable">{body}</div>'
