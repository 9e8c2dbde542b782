"""Options of classification that do not fit together are refused before anything is read."""

from typing import Any

import pytest

from birdsearch.species.prediction import ClassifyOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"source": "oracle"}, "source must be auto, backbone, neighbours or names"),
        ({"source": "neighbours", "calibrate": True}, "calibrated already"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClassifyOptions(**options)
