"""Batches of decoded photos become vectors; a photo that the network cannot take costs only itself."""

import numpy as np
import pytest

from birdsearch.backbones import load_backbone
from birdsearch.errors import BackboneError
from birdsearch.indexing import embedder
from birdsearch.indexing.embedder import EmbeddedPhoto, Embedder, NotEmbedded
from birdsearch.photos.decode import Decoded
from birdsearch.records import Photo, Pixels, Vectors
from tests.support.fake_backbone import FakeBackbone, classifying


class Picky(FakeBackbone):
    """Gives no number for red pictures."""

    def embed(self, images: Pixels) -> Vectors:
        vectors = super().embed(images)
        vectors[images[:, 0, 0, 0] > 250] = np.nan
        return vectors


def decoded(number: int, shade: int = 100) -> Decoded:
    return Decoded(Photo(None, f"/{number}.jpg"), np.full((64, 64, 3), shade + number, dtype=np.uint8))


def made(network: FakeBackbone, *, proven: bool = False) -> Embedder:
    return Embedder(load_backbone(network), None, proven)


def test_results_come_in_whole_batches_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "NETWORK_BATCH", 3)
    stage = made(FakeBackbone())
    assert stage.add(decoded(0)) == stage.add(decoded(1)) == []
    assert len(stage) == 2
    assert [result.photo.path for result in stage.add(decoded(2))] == ["/0.jpg", "/1.jpg", "/2.jpg"]
    assert len(stage) == 0
    assert stage.flush() == []


def test_every_photo_gets_its_own_unit_vector_and_norm() -> None:
    backbone = load_backbone(FakeBackbone())
    stage = Embedder(backbone, None, proven=False)
    photos = [decoded(n) for n in range(4)]
    for photo in photos:
        stage.add(photo)
    direct = backbone.embed_pixels(np.stack([photo.pixels for photo in photos]))
    for row, result in enumerate(stage.flush()):
        assert isinstance(result, EmbeddedPhoto)
        np.testing.assert_array_equal(result.vector, direct.vectors[row])
        assert result.norm == float(direct.norms[row])
        assert np.linalg.norm(result.vector) == pytest.approx(1, abs=1e-5)


def test_predictions_are_stored_where_the_backbone_has_classes() -> None:
    names = ("Wren", "Robin", "kite")
    weights = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    backbone = classifying(names, weights, np.zeros(3, np.float32))
    stage = Embedder(backbone, backbone.classes, proven=False)
    stage.add(decoded(0))
    (result,) = stage.flush()
    assert [guess.position for guess in result.photo.predictions] == [1, 2, 3]
    assert sum(guess.probability for guess in result.photo.predictions) == pytest.approx(1, abs=1e-5)


def test_a_photo_that_the_network_cannot_take_costs_only_itself() -> None:
    stage = made(Picky())
    for photo in (decoded(0), decoded(1, shade=254), decoded(2)):
        stage.add(photo)
    results = stage.flush()
    assert [result.photo.path for result in results if isinstance(result, EmbeddedPhoto)] == ["/0.jpg", "/2.jpg"]
    assert [result.photo.path for result in results if isinstance(result, NotEmbedded)] == ["/1.jpg"]


def test_a_backbone_that_takes_none_of_the_first_photos_is_broken() -> None:
    stage = made(Picky())
    stage.add(decoded(0, shade=254))
    with pytest.raises(BackboneError, match="no usable embedding"):
        stage.flush()
    later = made(Picky(), proven=True)
    later.add(decoded(0, shade=254))
    assert isinstance(later.flush()[0], NotEmbedded)
