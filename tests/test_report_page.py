"""report.html: whole in one file, safe with any name, and quiet in a browser."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from augan import detect_folder
from augan.bundle import Bundle
from augan.data.builtin import digits
from augan.data.images import write_png
from augan.detect.folder import DetectionResult
from augan.report.histogram import Axis, histogram
from augan.report.page import detection_page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WILD = "<b>x & \"y\" 'z'.png"
EMPTY = {"meta", "link", "img", "br", "rect"}


class Page(HTMLParser):
    """The elements, attributes and text of a page; it refuses elements that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def result(digits_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> DetectionResult:
    folder = tmp_path_factory.mktemp("page")
    (folder / "images" / "deep").mkdir(parents=True)
    images = np.asarray(digits("test").images)[:40]
    for row, image in enumerate(images):
        write_png(folder / "images" / (f"deep/{row}.png" if row % 2 else f"{row}.png"), image)
    write_png(folder / "images" / WILD, 255 - images[0])
    (folder / "images" / "<i>bad.png").write_bytes(b"no image")
    return detect_folder(digits_bundle, folder / "images", folder / "out", far=0.1)


@pytest.fixture(scope="module")
def text(result: DetectionResult) -> str:
    path = detection_page(result)
    assert path == result.out / "report.html"
    return path.read_text("utf-8")


def test_nothing_is_fetched(text: str) -> None:
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//|@import|url\(", without_pictures)
    page = Page(text)
    assert not page.every("script")
    for attributes in (attributes for _, attributes in page.tags):
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)


def test_names_are_escaped(text: str) -> None:
    page = Page(text)
    assert WILD in page.text
    assert "<i>bad.png" in page.text
    assert not page.every("b") + [one for one in page.every("i") if "class" not in one]
    assert WILD in {image["alt"] for image in page.every("img")}


def test_it_says_what_was_found(text: str, result: DetectionResult, digits_bundle: Bundle) -> None:
    page = Page(text)
    for fragment in (
        f"{result.num_anomalies} of 41 images flagged",
        result.guarantee.sentence,
        *result.warnings,
        "it is not a PNG",
        "auto (also in the model: fanogan)",
        digits_bundle.bundle_id,
        *(f"{image.score:.3g}" for image in result.shown),
        *(term.name for term in result.terms),
    ):
        assert fragment in page.text
    assert result.shown[0].path == WILD
    images = page.every("img")
    assert len(images) == 2 * len(result.shown) == 48
    assert all(image["alt"] for image in images)
    assert len(page.every("svg")) == 2
    assert {"viewport", "color-scheme"} <= {meta.get("name") for meta in page.every("meta")}


def test_the_line_is_an_edge_and_no_score_is_lost() -> None:
    rng = np.random.default_rng(0)
    old, line = np.sort(rng.normal(size=200)), 1.5
    for new in (rng.normal(size=50), np.r_[rng.normal(size=50), 2000.0, line], np.full(3, line)):
        axis = Axis(old, new, line)
        assert axis.is_linear == (new.max() < 100)
        counts, edges = axis.counts(new), np.linspace(0, 100, len(axis.edges))
        assert counts.sum() == new.size
        assert axis.counts(old).sum() == 200
        edge = int(np.abs(edges - axis.place(line)).argmin())
        assert edges[edge] == pytest.approx(float(axis.place(line)))
        assert counts[edge:].sum() == (new > line).sum()
        assert 2 <= len(axis.ticks()) <= 9
    for flat in (np.ones(5), np.array([1.0])):
        assert "line 1" in histogram(flat, flat, 1.0, "images")


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on the PATH")
@pytest.mark.slow
def test_a_browser_has_nothing_to_complain_about(
    text: str, result: DetectionResult, tmp_path: Path
) -> None:
    assert text
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
            (result.out / "report.html").absolute().as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert f"{result.num_anomalies} of 41 images flagged" in done.stdout
