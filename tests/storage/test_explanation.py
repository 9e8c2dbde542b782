"""Why two photos match: the shares are the score, and where they cannot be the answer says so."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Box, Explanation, Index
from birdsearch.backbones import Backbone, BackboneSpec, NetworkOutput, PooledMap
from birdsearch.errors import BackboneError, PhotoMissingError, PhotoUnknownError
from birdsearch.records import Pixels, Recipe, Vectors, as_json
from tests.support import checkpoints
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


class Averaging:
    """A network whose embedding is the mean over 8 x 8 places; its runs have fewer digits than its maps."""

    runtime, device, precision = "torch", "cpu", "bf16"
    exact = True

    def _cells(self, pixels: Pixels) -> Vectors:  # (h, w, 3) -> (12, 8, 8)
        blocks = pixels.reshape(8, 8, 8, 8, 3).transpose(1, 3, 4, 0, 2).reshape(192, 8, 8) / 255.0
        turned = np.random.default_rng(0).normal(size=(12, 192))
        return np.maximum(np.tensordot(turned, blocks, 1), 0).astype(np.float32)

    def run(self, pixels: Pixels) -> NetworkOutput:
        means = np.stack([self._cells(one).mean(axis=(1, 2)) for one in pixels])
        return NetworkOutput((means.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        return {"coarse": self._cells(pixels)[:, ::4, ::4], "fine": self._cells(pixels)}

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        return PooledMap(self._cells(pixels), self.exact)


class Token(Averaging):
    """A network with a token: its places only lie beside what it embeds."""

    exact = False


def backbone_of(network: Averaging) -> Backbone:
    return Backbone.of(BackboneSpec("averaging", 12, (64, 64)), network)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained") / "photos"
    for seed in range(6):
        write(folder / f"{seed}.jpg", bird(seed, 90, 70))
    return folder


@pytest.fixture(scope="module")
def index(photos: Path) -> Iterator[Index]:
    with birdsearch.create(photos.parent / "index", backbone=backbone_of(Averaging())) as made:
        made.add(photos)
        yield made


def adds_up(explanation: Explanation, score: float) -> bool:
    sums = (explanation.share.sum(dtype=np.float64), explanation.share_of_match.sum(dtype=np.float64))
    return all(abs(value - score) < 1e-4 for value in (explanation.score, *sums))


def test_the_shares_of_both_photos_are_the_score_of_the_search(index: Index, photos: Path) -> None:
    stranger = bird(77, 90, 70)
    for image in (photos / "0.jpg", stranger, index.find(photos / "2.jpg"), (photos / "3.jpg").read_bytes()):
        for match in index.search(image, k=3):
            explanation = index.explain(image, match.photo)
            assert adds_up(explanation, match.score)
            assert (explanation.exact, explanation.note) == (True, "")
            assert explanation.share.shape == (8, 8)


def test_a_photo_is_named_by_id_path_or_record(index: Index, photos: Path) -> None:
    photo = index.find(photos / "4.jpg")
    assert photo.id is not None
    answers = [index.explain(photos / "0.jpg", named) for named in (photo.id, np.int64(photo.id), photo.path, photo)]
    assert {answer.score for answer in answers} == {index.explain(photos / "0.jpg", photos / "4.jpg").score}
    for answer in answers:
        np.testing.assert_array_equal(answer.share, answers[0].share)
    with pytest.raises(PhotoUnknownError):
        index.explain(photos / "0.jpg", 4711)


def test_two_pictures_that_are_in_no_index_are_explained(index: Index) -> None:
    explanation = index.explain(bird(50, 90, 70), bird(51, 90, 70))
    assert adds_up(explanation, explanation.score)
    with (index.path.parent / "photos" / "1.jpg").open("rb") as file:  # which can be read once
        explanation = index.explain(file, bird(51, 90, 70))
    assert adds_up(explanation, explanation.score)


def test_the_shares_are_the_score_in_a_whitened_index(tmp_path: Path) -> None:
    for seed in range(520):
        write(tmp_path / "photos" / f"{seed}.png", bird(seed, 48, 48))
    with birdsearch.create(tmp_path / "index", backbone=backbone_of(Averaging())) as index:
        index.add(tmp_path / "photos")
        assert index.optimize(whiten=True).whitened
        for image in (tmp_path / "photos" / "7.png", bird(999, 48, 48)):
            matches = index.search(image, k=400)
            for match in (matches[0], matches[50], matches[-1]):
                explanation = index.explain(image, match.photo)
                assert explanation.exact
                assert adds_up(explanation, match.score)


def test_of_a_token_the_drawing_is_a_guess(photos: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "index", backbone=backbone_of(Token())) as index:
        index.add(photos)
        match = index.search(photos / "0.jpg", k=1)[0]
        explanation = index.explain(photos / "0.jpg", match.photo)
    assert explanation.score == pytest.approx(match.score, abs=1e-4)
    assert not explanation.exact
    assert "guess" in explanation.note
    assert "token" in explanation.note


def test_a_vector_that_the_network_did_not_make_is_explained_as_a_guess(photos: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "index", backbone=backbone_of(Averaging())) as index:
        index.add(photos)
        photo = index.find(photos / "1.jpg")
        index.add_vectors([photo], -np.eye(12, dtype=np.float32)[:1])
        explanation = index.explain(photos / "0.jpg", photo)
        assert not explanation.exact
        assert "given by hand" in explanation.note
        matches = index.search(photos / "0.jpg", k=6)
        assert explanation.score == pytest.approx(matches[-1].score, abs=1e-4)


def test_the_pairs_are_of_the_finest_stage(index: Index, photos: Path) -> None:
    same = index.explain(photos / "0.jpg", photos / "0.jpg")
    assert same.score == pytest.approx(1, abs=1e-4)
    assert len(same.pairs) == 36  # 8 x 8 without the ring
    assert all(pair.place == pair.place_in_match for pair in same.pairs)


def test_as_json_has_plain_numbers(index: Index, photos: Path) -> None:
    plain = as_json(index.explain(photos / "0.jpg", photos / "1.jpg"))
    assert len(plain["share"]) == 8
    assert isinstance(plain["share"][0][0], float)
    assert plain["pairs"][0].keys() == {"place", "place_in_match", "similarity"}


def test_a_file_that_is_gone_is_named(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "gone.jpg", bird(8, 90, 70))
    with birdsearch.create(tmp_path / "index", backbone=backbone_of(Averaging())) as index:
        index.add([photos, tmp_path / "gone.jpg"])
        photo = index.find(tmp_path / "gone.jpg")
        (tmp_path / "gone.jpg").unlink()
        for image, other in ((photos / "0.jpg", photo.id), (photos / "0.jpg", photo.path), (photo, photos / "0.jpg")):
            assert other is not None
            with pytest.raises(PhotoMissingError, match=r"gone\.jpg"):
                index.explain(image, other)


def test_an_object_of_the_users_own_has_no_maps_and_says_so(photos: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(photos)
        with pytest.raises(BackboneError, match=r"fake .* has no feature map"):
            index.explain(photos / "0.jpg", photos / "1.jpg")


def test_a_box_and_a_region_that_matches_are_explained_as_what_the_network_sees(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(f"path,x,y,width,height\n{photos / '1.jpg'},0.2,0.2,0.5,0.6\n", "utf-8")
    box = Box(0.2, 0.2, 0.5, 0.6)
    with birdsearch.create(tmp_path / "index", backbone=backbone_of(Averaging())) as index:
        index.add(photos, regions=tmp_path / "boxes.csv")
        best = index.search(photos / "0.jpg", k=6, box=box)
        for match in best:
            explanation = index.explain(photos / "0.jpg", match, box=box)
            assert adds_up(explanation, match.score)
            assert explanation.exact
        copy = (photos / "1.jpg").read_bytes()  # which is not left out of its own matches
        match = index.search(copy, k=1, box=box)[0]
        assert match.region is not None
        assert (match.photo.path, match.region.kind) == (str(photos / "1.jpg"), "box")
        explanation = index.explain(copy, match, box=box)
        assert adds_up(explanation, match.score)
        np.testing.assert_allclose(explanation.share, explanation.share_of_match, atol=1e-4)
        whole = index.explain(copy, match.photo)
        assert not np.allclose(whole.share, explanation.share, atol=1e-4)


@pytest.mark.network
def test_the_shares_of_the_built_in_network_are_the_score(photos: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "index", device="cpu") as index:  # two views; vectors at fewer digits than maps
        index.add(photos)
        for image in (photos / "0.jpg", bird(77, 90, 70)):
            for match in index.search(image, k=2):
                explanation = index.explain(image, match)
                assert explanation.exact
                assert adds_up(explanation, match.score)
                assert explanation.share.shape == explanation.share_of_match.shape == (7, 7)
                assert len(explanation.pairs) > 5


@pytest.mark.network
def test_of_a_vision_transformer_with_a_class_token_the_drawing_is_a_guess(photos: Path, tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path, "rope_deit3_reg4_t16", "drawn", class_names=("a", "b"), size=224)
    backbone = birdsearch.load_backbone(path, runtime="torch", device="cpu")
    with birdsearch.create(tmp_path / "index", backbone=backbone) as index:
        explanation = index.explain(photos / "0.jpg", photos / "1.jpg")
    assert not explanation.exact
    assert "guess" in explanation.note
    assert explanation.share.shape == (14, 14)
    assert explanation.pairs


@pytest.mark.network
def test_an_index_of_the_old_padding_says_that_the_colours_lie_off(photos: Path, tmp_path: Path) -> None:
    old = birdsearch.load_backbone("efficientnet_lite0_imagenet", recipe=Recipe(), runtime="torch", device="cpu")
    with birdsearch.create(tmp_path / "index", backbone=old) as index:
        explanation = index.explain(photos / "0.jpg", photos / "0.jpg")
    assert explanation.exact
    assert "--reembed" in explanation.note
    assert all(0 < value < 0.875 for pair in explanation.pairs for value in pair.place)
