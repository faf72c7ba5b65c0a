"""Checks of `EvaluationProtocol` that need no data."""

from typing import Any

import numpy as np
import pytest

from augan import Config, EvaluationProtocol
from augan.exceptions import ConfigError, DataError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"labels_per_class": value}, "`labels_per_class` must be 2 or more labeled images")
            for value in ("20", 2.5, True, 1)
        ),
        *(
            ({"rare": {"a": value}}, "`rare` a must be 2 or more labeled images")
            for value in ("8", None, 1)
        ),
        *(
            ({"rare": value}, "`rare` must be a dict of the number of labeled images by class")
            for value in (["a"], None, [("3", 5)], "a")
        ),
        ({"rare": {None: 5}}, "a class must be a name or a whole number, but is None"),
        ({"rare": {3: 5, "3": 6}}, "`rare` names a class twice"),
        ({"rest_unlabeled": True}, "every image is labeled; give `labels_per_class` or `rare`"),
        ({"rest_unlabeled": "yes"}, "`rest_unlabeled` must be True or False, but is 'yes'"),
        ({"test_size": "0.3"}, "`test_size` must be a number between 0 and 1, but is '0.3'"),
        ({"test_size": True}, "`test_size` must be a number between 0 and 1, but is True"),
        ({"test_size": [0.3]}, "`test_size` must be a number between 0 and 1"),
        ({"test_size": 1}, "`test_size` must lie between 0 and 1, but is 1"),
        ({"test_size": float("nan")}, "`test_size` must lie between 0 and 1, but is nan"),
        *(({"steps": value}, "`steps` must be a whole number") for value in ("x", 1.5, True)),
        ({"steps": 0}, "`steps` must be 1 or more, but is 0"),
        *(({"repeats": value}, "`repeats` must be a whole") for value in ("5", None, 2.5)),
        ({"repeats": 1}, "`repeats` must be 2 or more, but is 1"),
        ({"gan_steps": "x"}, "`gan_steps` must be a whole number, but is 'x'"),
        ({"synthetic_fraction": "x"}, "`synthetic_fraction` must be a number between 0 and 1"),
        ({"synthetic_fraction": 2}, "`synthetic_fraction` must lie between 0 and 1"),
        *(({"arms": value}, "`arms` must be a list of names") for value in (3, [3], {"real": 1})),
        ({"arms": ["real", "real"]}, "`arms` names the arm real twice"),
        ({"arms": "gan"}, "name at least one arm"),
        ({"arms": ["dagan"]}, "unknown arm 'dagan'"),
        *(
            ({"classifier": value}, "`classifier` must be cnn, logistic, forest or a `Classifier`")
            for value in (3, None, ["cnn"])
        ),
        ({"classifier": "svm"}, "unknown classifier 'svm'; choose `classifier` cnn or logistic"),
        ({"classifier": "forest", "steps": 5}, "`steps` requires `classifier='cnn'`"),
        ({"transform": ["shift"]}, "`transform` must be a text"),
        ({"gan": 3}, "`gan` must be a GAN arm or its name, but is 3; give one of sample"),
        ({"gan": "dagan"}, "unknown gan 'dagan'; choose `gan` sample or"),
        ({"config": "x.yaml"}, "config must be an augan.Config, got str"),
        ({"config": {}}, "config must be an augan.Config, got dict"),
        ({"seed": "x"}, "`seed` must be a whole number, but is 'x'"),
        ({"seed": -1}, "`seed` must be 0 or more, but is -1"),
        ({"seed": 2**31}, "`seed` must be 2147483647 or less"),
        ({"groups": 3}, "`groups` must be the path of a file or folder, but is int"),
        ({"tune_fraction": "x"}, "`tune_fraction` must be True or False, but is 'x'"),
        ({"drop_duplicates": "x"}, "`drop_duplicates` must be True or False, but is 'x'"),
        ({"tune_fraction": True, "synthetic_fraction": 0.5}, "leave out one of"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        EvaluationProtocol(**options)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"labels_per_class": np.int64(20)}, "labels_per_class", 20),
        ({"rare": {3: np.int64(5)}}, "rare", {"3": 5}),
        ({"arms": "real"}, "arms", ("real",)),
        ({"arms": ["real", "gan"]}, "arms", ("real", "gan")),
        ({"gan": "transfer"}, "gan", "transfer"),
        ({"synthetic_fraction": 0}, "synthetic_fraction", 0.0),
        ({"test_size": np.float32(0.5)}, "test_size", 0.5),
        ({"config": Config()}, "config", Config()),
        ({"rest_unlabeled": True, "labels_per_class": 5}, "rest_unlabeled", True),
    ],
)
def test_values_have_one_form(options: dict[str, Any], name: str, value: Any) -> None:
    result = getattr(EvaluationProtocol(**options), name)
    assert (result, type(result)) == (value, type(value))
