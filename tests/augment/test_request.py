"""Checks of `AugmentRequest` that need no bundle."""

from typing import Any

import numpy as np
import pytest

from augan import AugmentRequest
from augan.exceptions import ConfigError, DataError


class TestAugmentRequest:
    def test_classes_and_numbers_have_one_form(self, tmp_path: Any) -> None:
        one, other = AugmentRequest(3, n=np.int64(5)), AugmentRequest(["3"], n=5)
        assert one == other
        assert (one.classes, type(one.n)) == (("3",), int)
        assert AugmentRequest("3", 1, training_data=tmp_path).training_data == str(tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"classes": "3"}, "`classes` and `n` are required"),
            ({"n": 5}, "`classes` and `n` are required"),
            ({"n": 5, "balance": True}, "leave out `n`"),
            ({"classes": "3", "n": 5, "balance_to": 9}, "`balance_to` requires `balance`"),
            ({"classes": "3", "n": 0}, "at least 1, but is 0"),
            ({"balance": True, "balance_to": -1}, "at least 1, but is -1"),
            ({"classes": "3", "n": "5"}, "`n` must be a whole number, but is '5'"),
            ({"classes": "3", "n": 2.5}, "`n` must be a whole number, but is 2.5"),
            ({"classes": "3", "n": 5, "seed": None}, "`seed` must be a whole number"),
            ({"classes": "3", "n": 5, "method": "mix"}, "unknown method 'mix'; choose `method`"),
            ({"classes": "3", "n": 5, "transform": "swirl"}, "unknown transform 'swirl'"),
            ({"classes": "3", "n": 5, "transform": ["shift"]}, "`transform` must be a text"),
            ({"classes": "3", "n": 5, "method": 3}, "`method` must be a text, but is 3"),
            ({"classes": "3", "n": True}, "`n` must be a whole number, but is True"),
            ({"classes": "3", "n": 5, "filtered": "no"}, "`filtered` must be True or False"),
            ({"balance": "yes"}, "`balance` must be True or False, but is 'yes'"),
            ({"classes": "3", "n": 5, "format": "jpg"}, "choose `format` png or npz or csv"),
            ({"classes": "3", "n": 5, "format": 3}, "`format` must be a text, but is 3"),
            ({"classes": "3", "n": 5, "seed": 2**64}, "`seed` must be 2147483647 or less"),
            ({"classes": "3", "n": 5, "seed": -1}, "`seed` must be 0 or more, but is -1"),
            ({"classes": "3", "n": 5, "training_data": 3}, "`training_data` must be the path"),
        ],
    )
    def test_invalid_options_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises((ConfigError, DataError), match=message):
            AugmentRequest(**options)

    @pytest.mark.parametrize(
        "classes", [None, 3.5, True, "", b"3", ["a", None], [["a"]], {"a": 3}, np.float64(1)]
    )
    def test_classes_that_are_no_names_are_refused(self, classes: Any) -> None:
        with pytest.raises(ConfigError, match="a class must be a name or a whole number"):
            AugmentRequest(classes, n=5)

    @pytest.mark.parametrize("classes", [np.int64(1), [np.uint8(1)], np.array([1]), range(1, 2)])
    def test_numpy_integers_are_class_numbers(self, classes: Any) -> None:
        assert AugmentRequest(classes, n=5) == AugmentRequest("1", n=5)
