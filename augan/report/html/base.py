"""What all pages share: one file that needs nothing else, in one style."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from augan.bundle.bundle import current_versions
from augan.exceptions import DataError
from augan.io.atomic import atomic_write


def write_page(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write a page that is there whole or not at all.

    Parameters
    ----------
    path : Path
        Of the page; all that it shows lies in the same folder.
    title : str
        As text.
    parts : iterable of str
        As HTML.

    Raises
    ------
    DataError
        It cannot be written; everything else is complete by then.
    """
    here = files("augan.report.html")
    page = Template((here / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(here / "page.css").read_text("utf-8").strip(),
        body="\n".join(parts),
    )
    try:
        # Names of files may hold bytes that are no text.
        atomic_write(path, page.encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(
            f"cannot write the report {path} ({error.strerror or error}); what it would show is "
            f"complete in {path.parent}: free some space if you want the report, and repeat the "
            "command"
        ) from error
    return path


def head(
    command: str,
    title: str,
    lede: str,
    figures: Iterable[tuple[str, str, str]],
    warnings: Iterable[str],
) -> str:
    """Return the top of a page.

    Parameters
    ----------
    command : str
        What made it, as HTML.
    title, lede : str
        The verdict in a few words and in a sentence, as text.
    figures : iterable of (name, value, kind)
        As HTML; the kind "alarm" stands out.
    warnings : iterable of str
        As text.
    """
    tiles = "".join(
        f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>'
        for name, value, kind in figures
    )
    listed = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    return (
        f'<header><p class="eyebrow">{command}</p>'
        f"<h1>{escape(title)}</h1>"
        f'<p class="lede">{escape(lede)}</p>'
        f'<dl class="figures">{tiles}</dl></header>'
        + (f'<ul class="warnings" aria-label="Warnings">{listed}</ul>' if listed else "")
    )


def settings(values: dict[str, str]) -> str:
    """Return the section of settings, versions last; empty ones are left out. As text."""
    versions = ", ".join(f"{name} {number}" for name, number in current_versions().items())
    values = {**values, "version": versions}
    rows = (f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in values.items() if text)
    return f'<section><h2>Settings</h2><dl class="settings">{"".join(rows)}</dl></section>'


def section(title: str, about: str, body: str) -> str:
    """Return a section of HTML."""
    return f'<section><h2>{title}</h2><p class="about">{about}</p>{body}</section>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Lay out cells that are HTML already."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="number"' if i in numbers else "" for i in range(len(cells)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for cell, kind in zip(cells, kinds))

    body = "".join(f"<tr>{line(cells, 'td')}</tr>" for cells in rows)
    return f"<table><thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def wide(body: str) -> str:
    """Return what scrolls by itself where the page is narrower, as HTML."""
    return f'<div class="wide">{body}</div>'


def data_uri(picture: np.ndarray) -> str:
    """Return a picture inside a URI: as PNG, or as JPEG where that is smaller."""
    found = []
    for kind in ("png", "jpeg"):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, kind, quality=90)  # PNG has no quality
        found.append((stream.tell(), kind, stream.getvalue()))
    _, kind, data = min(found)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
