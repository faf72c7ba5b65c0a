"""Report of an evaluation of translation: choice, gain, recall and confusions."""

from pathlib import Path
from typing import Any

import numpy as np

from augan.evaluation.translation.result import TranslationGain
from augan.io.images import write_png
from augan.report.html.translation_evaluation import write_translation_evaluation_page
from tests.report.test_html import SPECIAL_NAME, Page


def _row(key: str, share: float | None, accuracy: float, recall: dict[str, float]) -> dict:
    return {
        "key": key,
        "arm": key.split(":")[0],
        "share": share,
        "adabn": False,
        "label": f"label of {key}",
        "balanced_accuracy": accuracy,
        "by_repeat": [accuracy - 0.01, accuracy + 0.01],
        "missing_recall": recall[SPECIAL_NAME],
        "recall": recall,
        "hidden_accuracy": accuracy + 0.1,
    }


def _result(out: Path, **changes: Any) -> TranslationGain:
    names = ["cap", SPECIAL_NAME]
    summary = {
        "class_names": names,
        "missing": [SPECIAL_NAME],
        "hidden_groups": [["cap"], ["lid"]],
        "chosen": "gan:0.5",
        "gan": "gan:0.5",
        "rival": "pooled",
        "hidden_accuracy": 0.85,
        "significant": True,
        "gain": 0.125,
        "low": 0.1,
        "high": 0.15,
        "comparisons": {
            "without_adabn": {
                "gan": "gan:0.5",
                "rival": "pooled",
                "value": 0.125,
                "low": 0.1,
                "high": 0.15,
            }
        },
        "confusions": {
            "pooled": [[0.9, 0.1], [0.75, 0.25]],
            "gan:0.5": [[0.8, 0.2], [0.0625, 0.9375]],
        },
        "warnings": ["a warning of the test"],
        "data": "new-line",
        "settings": {"seed": 7, "config": None},
        "out": str(out),
        **changes,
    }
    arms = [
        _row("pooled", None, 0.625, {"cap": 0.9, SPECIAL_NAME: 0.25}),
        _row("gan:0.5", 0.5, 0.75, {"cap": 0.8, SPECIAL_NAME: 0.9375}),
    ]
    return TranslationGain("gain of +12.5 points", arms, summary)


def test_page_contains_choice_gain_recall_and_confusions(tmp_path: Path) -> None:
    write_png(tmp_path / "preview.png", np.zeros((8, 24, 3), np.uint8))
    page = Page(write_translation_evaluation_page(_result(tmp_path)).read_text("utf-8"))
    text = page.text
    for part in ("Gain of +12.5 points.", "label of gan:0.5 (chosen)", "85.0%", "93.8%"):
        assert part in text
    assert f"{SPECIAL_NAME} (missing)" in text
    assert "+12.5 [10.0, 15.0]" in text
    removed, added = text.index("6.2%"), text.index("20.0%")
    assert removed < added  # the confusions that translation removes come first
    assert "a warning of the test" in text
    assert any("old, translated" in (image["alt"] or "") for image in page.every("img"))
    assert not [
        tag for tag, attributes in page.tags if str(attributes.get("src")).startswith("http")
    ]


def test_page_without_hidden_groups_has_no_choice(tmp_path: Path) -> None:
    result = _result(tmp_path, hidden_groups=[], significant=False)
    page = Page(write_translation_evaluation_page(result).read_text("utf-8"))
    assert "No evidence that translated images help" in page.text
    assert "Choice of the arm" not in page.text
    assert not page.every("img")
