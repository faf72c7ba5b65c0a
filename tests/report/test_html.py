"""Tests of the report pages: self-contained, safe with any name, without browser errors."""

import json
import re
import shutil
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from augan import AugmentRequest, DetectionRequest, augment_folder, detect_folder
from augan.augment.api import AugmentationResult
from augan.bundle import (
    Bundle,
    ClassTranslation,
    DatasetInfo,
    TranslationMetrics,
    TranslationSection,
    load_bundle,
    save_bundle,
)
from augan.config import Config
from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.detect.result import DetectionResult
from augan.evaluation.detection.api import DetectionEvaluation, evaluate_detection
from augan.io.images import write_png
from augan.report.html.augmentation import write_augmentation_page
from augan.report.html.charts import Curve, ScoreAxis, histogram, line_chart
from augan.report.html.detection import write_detection_page
from augan.report.html.detection_evaluation import write_detection_evaluation_page
from augan.report.html.training import write_training_page
from augan.report.text import format_training
from augan.translate.preview import translation_preview
from augan.workflow.train import train
from tests._browser import loaded, needs_browser

SPECIAL_NAME = "<b>x & \"y\" 'z'.png"
EMPTY = {"meta", "link", "img", "br", "rect", "polyline"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; every element must be closed."""

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
    write_png(folder / "images" / SPECIAL_NAME, 255 - images[0])
    (folder / "images" / "<i>bad.png").write_bytes(b"no image")
    return detect_folder(
        digits_bundle, DetectionRequest(folder / "images", far=0.1), folder / "out"
    )


@pytest.fixture(scope="module")
def bundle(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with two evaluations of the GAN, and a class name with special characters."""
    folder, some = tmp_path_factory.mktemp("trained"), digits().subset(np.arange(600))
    for row, (image, label) in enumerate(zip(np.asarray(some.images), np.asarray(some.labels))):
        path = folder / "images" / (str(label) if label else SPECIAL_NAME) / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image)
    config = tiny_config.replace(training__steps=40, evaluation__interval=20)
    return train(config, load_dataset(folder / "images"), out=folder / "run")


@pytest.fixture(scope="module")
def augmentation(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> AugmentationResult:
    out = tmp_path_factory.mktemp("augmentation") / "out"
    return augment_folder(bundle, AugmentRequest([SPECIAL_NAME, "3"], 12, filtered=False), out)


@pytest.fixture(scope="module")
def evaluation(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> DetectionEvaluation:
    folder = tmp_path_factory.mktemp("evaluation")
    for row, image in enumerate(np.asarray(digits("test").images)[:40]):
        kind = SPECIAL_NAME if row % 4 == 0 else "good"
        (folder / "images" / kind).mkdir(parents=True, exist_ok=True)
        write_png(folder / "images" / kind / f"{row}.png", 255 - image if row % 4 == 0 else image)
    (folder / "images" / "good" / "<i>bad.png").write_bytes(b"no image")
    return evaluate_detection(
        bundle,
        DetectionRequest(folder / "images"),
        "folders",
        out=folder / "out",
        detection_limit=True,
    )


@pytest.fixture(scope="module")
def pages(
    result: DetectionResult,
    bundle: Bundle,
    augmentation: AugmentationResult,
    evaluation: DetectionEvaluation,
) -> dict[str, Path]:
    return {
        "detect": write_detection_page(result),
        "train": write_training_page(bundle),
        "augment": write_augmentation_page(augmentation),
        "evaluate": write_detection_evaluation_page(evaluation),
    }


@pytest.fixture(scope="module")
def text(pages: dict[str, Path], result: DetectionResult) -> str:
    assert pages["detect"] == result.out / "report.html"
    return pages["detect"].read_text("utf-8")


@pytest.mark.parametrize("name", ["detect", "train", "augment", "evaluate"])
class TestEveryPage:
    def test_page_loads_nothing(self, pages: dict[str, Path], name: str) -> None:
        text = pages[name].read_text("utf-8")
        without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
        assert not re.search(r"https?:|//|@import|url\(", without_pictures)
        page = Page(text)
        assert not page.every("script")
        for tag, attributes in page.tags:
            allowed = ("data:", "overlays/") if tag == "a" else ("data:",)  # links load nothing
            for attribute in ("src", "href"):
                assert (attributes.get(attribute) or "data:").startswith(allowed)
            assert not any(attribute.startswith("on") for attribute in attributes)

    def test_page_escapes_names(self, pages: dict[str, Path], name: str) -> None:
        page = Page(pages[name].read_text("utf-8"))
        assert SPECIAL_NAME in page.text
        assert not page.every("b") + [one for one in page.every("i") if "class" not in one]

    def test_page_describes_images_and_charts(self, pages: dict[str, Path], name: str) -> None:
        page = Page(pages[name].read_text("utf-8"))
        assert all(image["alt"] for image in page.every("img"))
        assert all(figure["aria-label"] for figure in page.every("svg"))
        assert {"viewport", "color-scheme"} <= {meta.get("name") for meta in page.every("meta")}


def test_training_page_contains_the_metrics(pages: dict[str, Path], bundle: Bundle) -> None:
    page = Page(pages["train"].read_text("utf-8"))
    figures = bundle.metrics.fidelity
    gan_metrics = bundle.metrics.gan_metrics
    assert bundle.path is not None
    assert pages["train"].parent == bundle.path.parent
    assert [row.step for row in gan_metrics] == [20, 40]
    for fragment in (
        "Trained on 600 images of 10 classes",
        *bundle.metrics.warnings,
        *(f"{row.kernel_distance:.3f}" for row in gan_metrics),
        f"{figures.untrained_kernel_distance:.3f}",
        f"{bundle.metrics.classifier.accuracy:.1%}",
        bundle.bundle_id,
        "detector and bundle",
    ):
        assert fragment in page.text
    losses, distances = page.every("polyline")[:2], page.every("polyline")[2:]
    assert [line["class"] for line in losses] == ["flagged", "new"]
    assert [str(line["points"]).count(",") for line in distances] == [3]  # untrained, 20, 40
    assert len(page.every("img")) == 1


def test_format_training_names_the_steps_and_a_reached_time_limit(bundle: Bundle) -> None:
    def steps_line(steps: int | None) -> str:
        config = bundle.config.replace(training__steps=steps)
        metrics = replace(bundle.metrics, failure=None)  # which would explain it
        changed = replace(bundle, config=config, metrics=metrics)
        lines = format_training(changed, {"gan": 1.0})
        return next(line for line in lines if line.startswith("steps:"))

    assert re.search(r"gan 40(,|$)", steps_line(40))
    assert re.search(r"gan 40(,|$)", steps_line(None))  # where minutes alone decided
    assert "gan 40 of 6,000 (time limit reached" in steps_line(6000)


def test_training_page_without_a_log_has_no_losses(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bundle.augan"
    assert bundle.path is not None
    shutil.copy(bundle.path, path)
    (tmp_path / "metrics.jsonl").write_text('{"stage": "gan", "step": 1, "d_lo\n[]\n')
    (tmp_path / "summary.json").write_text("[1]")
    page = Page(write_training_page(load_bundle(path)).read_text("utf-8"))
    assert "Trained on 600 images" in page.text
    assert "Losses" not in page.text


def test_training_page_of_a_translation_contains_preview_and_metrics(
    bundle: Bundle, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 8, 8, 1), np.uint8)
    labels = np.array([0, 0, 1, 1, 1, 0, -1, 1])
    preview = translation_preview((images, labels), 255 - images, (images[:3], labels[:3]), 2)
    write_png(tmp_path / "translation.png", preview)
    log = [
        {"stage": "translation", "step": step, "translator_loss": 1.0, "cycle_loss": 0.5}
        for step in (20, 40)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, log)))
    metrics = TranslationMetrics(
        30,
        20,
        two_sample=0.125,
        two_sample_untranslated=2.5,
        two_sample_floor=0.0625,
        diversity=0.75,
        classes=(ClassTranslation(SPECIAL_NAME, diversity=0.5, label_flips=0.125),),
    )
    section = TranslationSection(
        DatasetInfo("new-line", 50),
        bundle.preprocessing,
        class_names=bundle.data.class_names,
        metrics=metrics,
    )
    networks = {**bundle.networks, "translator": bundle.networks["generator"]}
    changed = replace(bundle, detector=None, networks=networks, translation=section)
    save_bundle(changed, tmp_path / "bundle.augan")
    page = write_training_page(changed).read_text("utf-8")
    text = Page(page).text
    assert "to the look of 50" in text
    assert "translates images" in text
    assert "new-line" in text
    for value in ("0.125", "2.500", "0.062", "12.5%", "0.50", SPECIAL_NAME):
        assert value in text
    assert len([image for image in Page(page).every("img") if image["alt"]]) >= 1
    assert "loss of the cycle" in text


def test_augmentation_page_contains_the_acceptance(
    augmentation: AugmentationResult, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    filtered = replace(augmentation, out=tmp_path / "made", filtered=True)
    page = Page(write_augmentation_page(filtered).read_text("utf-8"))
    assert "24 synthetic images of 2 classes" in page.text
    assert f"The first of each class, a row each: 3, {SPECIAL_NAME}." in page.text
    cells = [SPECIAL_NAME, "12", "12", "12"]
    assert "".join(cells) in page.text
    assert "sample: generated from random noise" in page.text
    assert str(augmentation.out) not in page.text  # equal samples have equal folders
    assert len(page.every("img")) == 1


def test_detection_evaluation_page_shows_the_mistakes(
    pages: dict[str, Path], evaluation: DetectionEvaluation
) -> None:
    text = pages["evaluate"].read_text("utf-8")
    page, mistakes = Page(text), evaluation.mistakes
    summary = evaluation.summary
    assert len(mistakes.missed) == 10 - summary["detected"]["count"]
    assert len(mistakes.false_alarms) == summary["false_alarms"]["count"]
    record = json.loads((Path(summary["out"]) / "evaluation.json").read_text("utf-8"))
    assert record["mistakes"]["missed"] == list(mistakes.missed)
    assert mistakes.missed or mistakes.false_alarms
    assert ("Missed anomalies" in page.text) == bool(mistakes.missed)
    assert ("False alarms" in page.text) == bool(mistakes.false_alarms)
    for name in (*mistakes.missed, *mistakes.false_alarms):
        sample = mistakes.shown[name]
        assert sample.thumbnail is not None
        assert sample.overlay is not None
        assert name in page.text
    links = [link["href"] for link in page.every("a") if "overlays/" in (link["href"] or "")]
    assert len(links) == len(mistakes.missed) + len(mistakes.false_alarms)
    for link in links:
        assert (Path(summary["out"]) / unquote(link)).is_file(), link
    assert "Flagged anomalies, against flagged normal images" in page.text
    assert "Precision, against flagged anomalies (recall)" in page.text


def test_page_without_filters_says_that_nothing_was_filtered(
    pages: dict[str, Path],
) -> None:
    text = Page(pages["augment"].read_text("utf-8")).text
    assert "Nothing was filtered: these are all images that the generator made" in text
    assert "A candidate is rejected if" not in text
    assert "accepted" not in text


def test_detection_evaluation_page_contains_the_metrics(
    pages: dict[str, Path], evaluation: DetectionEvaluation
) -> None:
    page, summary = Page(pages["evaluate"].read_text("utf-8")), evaluation.summary
    assert evaluation.normal.size == 30
    assert evaluation.anomalous.size == 10
    for fragment in (
        f"{summary['detected']['count']} of 10 anomalies flagged",
        f"{summary['auroc']['value']:.3f}",
        *(row["method"] for row in evaluation.baselines),
        *(f"{row['auroc']['value']:.3f}" for row in evaluation.baselines),
        "good/<i>bad.png",
        *(f"{row['size']} px" for row in summary["detection_limit"]["rows"]),
    ):
        assert fragment in page.text
    assert evaluation.baselines
    assert len(page.every("svg")) == 4


def test_line_chart_keeps_curves_inside() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 3000):
        for values in (rng.normal(size=size), np.full(size, 3.0), 10 ** rng.normal(size=size)):
            for log in (False, True):
                line = Curve("a", "new", np.arange(1, size + 1), values)
                (polyline,) = Page(line_chart("b", [line], log=log)).every("polyline")
                points = np.array([p.split(",") for p in str(polyline["points"]).split()], float)
                assert len(points) == min(size, 300)
                assert points.min() >= 0
                assert points.max() <= 100
                assert (np.diff(points[:, 0]) > 0).all()


def test_detection_page_contains_scores_and_guarantee(
    text: str, result: DetectionResult, digits_bundle: Bundle
) -> None:
    page = Page(text)
    for fragment in (
        f"{result.num_anomalies} of 41 images flagged",
        result.guarantee.sentence,
        *result.warnings,
        "it is not a PNG",
        "auto (also in the bundle: fanogan)",
        digits_bundle.bundle_id,
        *(f"{image.score:.3g}" for image in result.top_samples),
        *(component.name for component in result.components),
    ):
        assert fragment in page.text
    assert result.top_samples[0].path == SPECIAL_NAME
    assert SPECIAL_NAME in {image["alt"] for image in page.every("img")}
    assert "<i>bad.png" in page.text
    assert len(page.every("img")) == 2 * len(result.top_samples) == 48
    assert len(page.every("svg")) == 2


def test_score_axis_has_the_threshold_as_an_edge_and_counts_every_score() -> None:
    rng = np.random.default_rng(0)
    old, threshold = np.sort(rng.normal(size=200)), 1.5
    for new in (
        rng.normal(size=50),
        np.r_[rng.normal(size=50), 2000.0, threshold],
        np.full(3, threshold),
    ):
        axis = ScoreAxis(old, new, threshold)
        assert axis.is_linear == (new.max() < 100)
        counts, edges = axis.counts(new), np.linspace(0, 100, len(axis.edges))
        assert counts.sum() == new.size
        assert axis.counts(old).sum() == 200
        edge = int(np.abs(edges - axis.position(threshold)).argmin())
        assert edges[edge] == pytest.approx(float(axis.position(threshold)))
        assert counts[edge:].sum() == (new > threshold).sum()
        assert 2 <= len(axis.ticks()) <= 9
    for flat in (np.ones(5), np.array([1.0])):
        assert "threshold 1" in histogram(flat, flat, 1.0, ("new", "old"))


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("name", ["detect", "train", "augment", "evaluate"])
def test_browser_reports_no_error(pages: dict[str, Path], name: str, tmp_path: Path) -> None:
    assert escape(SPECIAL_NAME, quote=False) in loaded(pages[name], tmp_path)


def test_accuracy_of_each_class_stands_beside_the_accuracy(
    bundle: Bundle, pages: dict[str, Path]
) -> None:
    told = bundle.metrics.classifier
    assert told is not None
    assert len(told.by_class) == 10
    (line,) = [line for line in format_training(bundle, {"gan": 1.0}) if "per class" in line]
    text = Page(pages["train"].read_text("utf-8")).text
    for name, value in zip(bundle.data.class_names, told.by_class, strict=True):
        if value is not None:
            assert f"{name} {value:.0%}" in line
        assert f"{name}{'none held out' if value is None else f'{value:.1%}'}" in text
