"""Words against photos: what a text means is what is found, exactly, and as every other search filters and counts."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Filter, Index
from birdsearch.backbones import DEFAULT
from birdsearch.backbones.backbone import Backbone, BackboneSpec
from birdsearch.backbones.classes import Projection
from birdsearch.backbones.custom import CustomNetwork
from birdsearch.errors import BackboneError, BackboneUnavailableError
from birdsearch.records import Vectors
from birdsearch.storage import text
from birdsearch.storage.query import Phrase, phrases
from birdsearch.storage.store import Store
from birdsearch.storage.text import TextSpace
from tests.conftest import Garden
from tests.support.colours import Colours
from tests.support.drawing import write
from tests.support.fake_backbone import FakeBackbone

SHADES = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (30, 20, 220), "purple": (180, 20, 180)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photo of one colour each."""
    for name, shade in SHADES.items():
        write(tmp_path / "photos" / name / f"{name}.png", Image.new("RGB", (40, 40), shade))
    return tmp_path / "photos"


@pytest.fixture
def coloured(tmp_path: Path, photos: Path) -> Iterator[Index]:
    """An index of them."""
    with birdsearch.create(tmp_path / "index", backbone=Colours()) as made:
        made.add(photos, labels="folder")
        yield made


def found(index: Index, *texts: str, **options: object) -> list[str]:
    """The labels of the photos that words find, best first."""
    return [match.photo.label or "" for match in index.search_text(texts, **options)]  # type: ignore[arg-type]


def test_words_find_what_they_mean(coloured: Index) -> None:
    assert found(coloured, "red bird", k=2) == ["red", "purple"]
    assert found(coloured, "a green bird", k=1) == ["green"]
    assert found(coloured, "red blue", k=1) == ["purple"]
    matches = coloured.search_text("red bird")
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)
    assert {match.score_kind for match in matches} == {"text"}
    assert coloured.search_vectors(coloured.vectors([1]))[0][0].score_kind == "photo"


def test_what_is_taken_away_is_pushed_off(coloured: Index) -> None:
    assert found(coloured, "red bird", k=4)[1] == "purple"
    assert found(coloured, "red - blue", k=4)[-1] == "blue"
    assert found(coloured, "red + blue", k=1) == ["purple"] == found(coloured, "red", "blue", k=1)
    assert found(coloured, "- red", k=4)[-1] == "red"
    with pytest.raises(ValueError, match="asks for nothing"):
        coloured.search_text("red - red")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("heron with a fish", [Phrase("heron with a fish")]),
        ("heron - zoo + reeds", [Phrase("heron"), Phrase("zoo", -1.0), Phrase("reeds")]),
        (" - zoo", [Phrase("zoo", -1.0)]),
        ("+ heron  -  zoo ", [Phrase("heron"), Phrase("zoo", -1.0)]),
        ("red-backed shrike", [Phrase("red-backed shrike")]),
        ("-zoo", [Phrase("-zoo")]),
    ],
)
def test_signs_between_spaces_part_phrases(written: str, meant: list[Phrase]) -> None:
    assert phrases(written) == meant


@pytest.mark.parametrize("written", ["", "  ", "heron -", "- - zoo", "heron + - zoo", "-"])
def test_a_sign_without_words_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="no words"):
        phrases(written)


def test_filters_and_limits_hold(coloured: Index) -> None:
    assert found(coloured, "red bird", where=Filter(label=("green", "blue"))) in (["blue", "green"], ["green", "blue"])
    assert found(coloured, "red bird", where=Filter(label="robin")) == []
    assert found(coloured, "red bird", min_score=0.9) == ["red"]
    assert len(found(coloured, "red bird", k=3)) == 3
    with pytest.raises(ValueError, match="at least 1"):
        coloured.search_text("red", 0)


def test_images_ask_together_with_words(coloured: Index, photos: Path) -> None:
    assert found(coloured, "blue", images=[photos / "red/red.png"], k=1) == ["purple"]
    assert found(coloured, "- blue", images=[photos / "purple/purple.png"], k=1) == ["red"]
    missing = photos / "nothing.png"
    with pytest.raises(birdsearch.BirdsearchError):
        coloured.search_text("blue", images=[missing])
    assert found(coloured, "blue", images=[missing], errors="skip", k=1) == ["blue"]


def test_what_is_removed_or_added_counts_at_once(coloured: Index, photos: Path) -> None:
    assert found(coloured, "red", k=1) == ["red"]
    coloured.remove(Filter(label="red"))
    assert found(coloured, "red", k=4) == ["purple", *found(coloured, "red", k=4)[1:]]
    write(photos / "ruby/ruby.png", Image.new("RGB", (40, 40), (230, 0, 0)))
    coloured.add(photos, labels="folder")
    assert set(found(coloured, "red", k=2)) == {"red", "ruby"}
    (photos / "ruby/ruby.png").unlink()
    coloured.add(photos)
    assert found(coloured, "red", k=1) == ["red"]


def test_an_empty_index_answers_nothing(tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "empty", backbone=Colours()) as index:
        assert index.search_text("red") == []


def test_an_index_that_knows_no_words_names_backbones_that_do(garden: Garden, tmp_path: Path) -> None:
    with birdsearch.open(garden.index) as index, pytest.raises(BackboneUnavailableError) as caught:
        index.search_text("a wren")
    for part in (DEFAULT, "vit_l14_pn_bioclip-v2", "openai-clip", "pull-text"):
        assert part in str(caught.value)
    with (
        birdsearch.create(tmp_path / "own", backbone=FakeBackbone()) as index,
        pytest.raises(BackboneUnavailableError, match="embed_text"),
    ):
        index.search_text("a wren")


def test_what_embed_text_gives_is_checked(coloured: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (np.ones((1, 2)), np.zeros((1, 3)), np.full((1, 3), np.nan), "words"):
        monkeypatch.setattr(Colours, "embed_text", lambda self, texts, wrong=wrong: wrong)
        with pytest.raises(BackboneError, match="colours"):
            coloured.search_text("red")


# Projections ---------------------------------------------------------------------------------------------------------


def projecting(weights: Vectors, bias: Vectors) -> Backbone:
    """Sees colours, and has a last layer into a space of texts."""
    spec = BackboneSpec("colours", 3, (16, 16), projection=Projection(weights, bias))
    return Backbone.of(spec, CustomNetwork(Colours()))


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_a_projection_is_applied_to_what_the_index_holds(shift: float, tmp_path: Path, photos: Path) -> None:
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(3, 3)).astype(np.float32)
    bias = (rng.normal(size=3) * shift).astype(np.float32)
    backbone = projecting(weights, bias)
    with birdsearch.create(tmp_path / "index", backbone=backbone) as index:
        index.add(photos)
        paths = [photo.path for photo in index.photos()]
        embedded = backbone.embed_pixels(
            np.stack([np.full((16, 16, 3), SHADES[Path(p).stem], np.uint8) for p in paths])
        )
        seen = (embedded.vectors * embedded.norms[:, None]) @ weights.T + bias
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        expected = seen @ backbone.embed_text(["a red bird"])[0]
        scores = {match.photo.path: match.score for match in index.search_text("a red bird")}
        np.testing.assert_allclose([scores[path] for path in paths], expected, atol=1e-6)
        again = {match.photo.path: match.score for match in index.search_text("a red bird", images=paths[:1])}
        mixed = backbone.embed_text(["a red bird"])[0] + seen[0]
        np.testing.assert_allclose([again[p] for p in paths], seen @ mixed / np.linalg.norm(mixed), atol=1e-6)


def test_lengths_are_computed_once(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = projecting(np.eye(3, dtype=np.float32) * 2, np.zeros(3, np.float32))
    with birdsearch.create(tmp_path / "index", backbone=backbone) as index:
        index.add(photos)
        first = [match.score for match in index.search_text("red")]
    monkeypatch.setattr(TextSpace, "lengths", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(text, "_SAID", 0)
    with birdsearch.open(tmp_path / "index", backbone=backbone) as index, caplog.at_level(logging.INFO, "birdsearch"):
        assert [match.score for match in index.search_text("red")] == first
        assert "reading the vectors of 4 photos" in caplog.text
        caplog.clear()
        index.search_text("blue")
        assert caplog.text == ""


def test_more_than_memory_holds_is_read_each_time(coloured: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(coloured, "red bird")
    monkeypatch.setattr(text, "KEPT", 0)
    with birdsearch.open(coloured.path, backbone=Colours()) as index:
        assert found(index, "red bird") == before == found(index, "red bird")


def test_a_space_is_made_once(coloured: Index) -> None:
    store = Store.open(coloured.path, Colours())
    assert store.text_space(3) is store.text_space(3)
    for _ in range(2):
        with pytest.raises(BackboneUnavailableError, match="not that of this backbone"):
            store.text_space(4)
    store.close()


def test_a_tower_of_another_length_is_refused() -> None:
    with pytest.raises(BackboneUnavailableError, match="not that of this backbone"):
        TextSpace.of(None, 3, 4)
    with pytest.raises(BackboneUnavailableError, match="not that of this backbone"):
        TextSpace.of(Projection(np.ones((5, 3), np.float32), np.zeros(5, np.float32)), 3, 4)
