"""Checks of `DetectionRequest` that need no bundle."""

from pathlib import Path
from typing import Any

import pytest

from augan import DetectionRequest
from augan.exceptions import ConfigError, DataError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_maps": "no"}, "`save_maps` must be True or False, but is 'no'"),
        ({"method": ""}, "`method` must be the name of a detection method"),
        ({"method": 3}, "`method` must be the name of a detection method"),
        ({"images": ""}, "`images` must be the path of a file or folder, but is empty"),
        ({"images": [[0.5]]}, "but is list; score arrays with augan.load_detector"),
        ({"ignore_mask": 3}, "`ignore_mask` must be the path of a file or folder, but is int"),
        ({"far": "0.1"}, "the false-alarm rate is '0.1'"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        DetectionRequest(**{"images": "good", **options})


def test_paths_are_texts() -> None:
    request = DetectionRequest(Path("good"), ignore_mask=Path("mask.png"))
    assert request == DetectionRequest("good", ignore_mask="mask.png")
