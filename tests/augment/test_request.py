"""Checks of `AugmentRequest` that need no bundle."""

from typing import Any

import numpy as np
import pytest

from augan import AugmentRequest
from augan.exceptions import ConfigError


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
        ],
    )
    def test_invalid_options_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            AugmentRequest(**options)
