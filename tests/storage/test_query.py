"""Asking an index: neighbours, every field of a filter, and what is no answer."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Box, Filter, Index, Photo
from birdsearch.errors import (
    BackboneUnavailableError,
    BoxOutsideError,
    PhotoError,
    PhotoMissingError,
    PhotoUnknownError,
    PhotoUnreadableError,
)
from birdsearch.photos import decode
from birdsearch.photos.decode import ImageLike
from birdsearch.records import Vectors
from birdsearch.storage.catalog.filters import distance_km
from tests.conftest import Garden
from tests.support.catalogs import catalog_at
from tests.support.drawing import ORIENTATION, bird, exif, turned, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.named_photos import labelled, names_table

PLACES = {"Fiji": (-17.0, 179.9), "Samoa": (-13.8, -171.8), "Berlin": (52.5, 13.4), "pole": (89.9, 100.0)}
MOMENTS = {"Fiji": "2023:12:31 23:59:59", "Samoa": "2024:05:17 06:30:00", "Berlin": "2024:05:17 06:30:08"}


def place(latitude: float, longitude: float) -> dict[int, object]:
    """A place as a camera's receiver writes it."""
    north, east = (abs(latitude), 0.0, 0.0), (abs(longitude), 0.0, 0.0)
    return {1: "N" if latitude >= 0 else "S", 2: north, 3: "E" if longitude >= 0 else "W", 4: east}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Four photos with places, three with times, then six without; labelled by folder."""
    photos = tmp_path_factory.mktemp("world") / "photos"
    for seed, (name, (latitude, longitude)) in enumerate(PLACES.items()):
        times = {0x9003: MOMENTS[name], 0x9291: "25"} if name in MOMENTS else {}
        maker = {0x010F: "Canon" if seed % 2 else "NIKON CORPORATION", 0x0110: "Model"}
        written = exif(maker, times, place(latitude, longitude))
        write(photos / name / f"{name}.jpg", bird(seed, 80 + 100 * seed, 60), exif=written)
    for seed in range(6):
        write(photos / "Zaunk\udcf6nig" / f"{seed} \udcff.jpg", bird(20 + seed, 80, 60))
    with birdsearch.create(photos.parent / "index", backbone=FakeBackbone()) as index:
        index.add(photos, labels="folder")
        yield index


def found(index: Index, where: Filter) -> set[str]:
    """Names of the photos that satisfy a filter, asked both ways."""
    listed = {Path(photo.path).stem for photo in index.photos(where)}
    matches = index.search_vectors(np.ones((1, 16), np.float32), 100, where=where)[0]
    assert {Path(match.photo.path).stem for match in matches} == listed
    return listed


# Neighbours


def test_search_finds_the_photo_itself_first_from_any_form_of_it(world: Index) -> None:
    photo = world.photos()[2]
    picture = Image.open(photo.path)
    data = Path(photo.path).read_bytes()
    forms: list[ImageLike] = [data, io.BytesIO(data), picture, np.asarray(picture)]
    for form in forms:
        matches = world.search(form, 3)
        assert matches[0].photo == photo
        assert matches[0].score == pytest.approx(1, abs=1e-5)
        assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)


def test_a_photo_never_finds_itself_and_still_gets_k(world: Index) -> None:
    for photo in world.photos():
        matches = world.search(photo, 9)
        assert len(matches) == 9
        assert photo.id not in {match.photo.id for match in matches}


def test_the_path_of_a_photo_of_the_index_never_finds_it(
    world: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "birdsearch")
    photo = world.photos()[1]
    os.symlink(Path(photo.path).parent, tmp_path / "link")
    monkeypatch.chdir(Path(photo.path).parent)
    by_photo = world.search(photo, 9)
    ways: list[str | Path] = [
        photo.path,
        Path(photo.path),
        Path(photo.path).name,
        tmp_path / "link" / Path(photo.path).name,
    ]
    for image, matches in zip(ways, world.search_many(ways, 9), strict=True):
        assert [match.photo.id for match in matches] == [match.photo.id for match in by_photo]
        assert f"{image} is in the index: it is left out of its own matches." in caplog.text
    shutil.copy(photo.path, tmp_path / "copy.jpg")
    assert world.search(tmp_path / "copy.jpg", 1)[0].photo == photo
    with pytest.raises(PhotoMissingError):
        world.search("Samoa.jpeg")


def test_the_path_of_a_photo_that_changed_is_embedded_anew(tmp_path: Path, fake: FakeBackbone) -> None:
    for seed in range(3):
        write(tmp_path / "photos" / f"{seed}.jpg", bird(seed, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(tmp_path / "photos")
        before = fake.embedded
        index.search(tmp_path / "photos" / "0.jpg")
        index.classify(tmp_path / "photos" / "0.jpg", source="neighbours")
        assert fake.embedded == before
        shutil.copy(tmp_path / "photos" / "2.jpg", tmp_path / "photos" / "0.jpg")
        matches = index.search(tmp_path / "photos" / "0.jpg", 9)
        assert [Path(match.photo.path).name for match in matches] == ["2.jpg", "1.jpg"]
        assert matches[0].score == pytest.approx(1, abs=1e-5)


def test_scores_are_cosines_of_the_stored_vectors(world: Index) -> None:
    photos = world.photos()
    vectors = world.vectors([photo.id for photo in photos if photo.id])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    scores = vectors @ vectors[0]
    wanted = [photos[n].id for n in np.argsort(-scores)[1:5]]
    matches = world.search(photos[0], 4)
    assert [match.photo.id for match in matches] == wanted
    assert [match.score for match in matches] == pytest.approx(np.sort(scores)[::-1][1:5].tolist(), abs=1e-5)


def test_search_many_answers_in_order(world: Index) -> None:
    photos = world.photos()
    images: list[ImageLike] = [photos[3], photos[0].path, photos[5]]
    for matches, image in zip(world.search_many(images, 4), images, strict=True):
        alone = world.search(image, 4)
        assert [match.photo for match in matches] == [match.photo for match in alone]
        # A product of matrices may add in another order than one of a matrix and a vector.
        assert [match.score for match in matches] == pytest.approx([match.score for match in alone], abs=1e-6)
    assert world.search_many([], 4) == []


def test_search_vectors_takes_any_length(world: Index) -> None:
    photo = world.photos()[4]
    vector = world.vectors([photo.id or 0])
    for length in (1, 1e-3, 1e25, -1):
        matches = world.search_vectors(length * vector, 10)[0]
        assert (matches[0].photo == photo) is (length > 0)
        assert all(-1.0001 <= match.score <= 1.0001 for match in matches)


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.ones(16), r"shape \(n, 16\)"),
        (np.ones((1, 15)), r"shape \(n, 16\)"),
        (np.zeros((1, 16)), "no direction"),
        (np.full((1, 16), np.nan), "no direction"),
    ],
)
def test_search_vectors_says_what_is_wrong(world: Index, vectors: Vectors, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        world.search_vectors(vectors)


def test_k_must_be_positive_and_may_be_larger_than_the_index(world: Index) -> None:
    for ask in (world.search, world.classify):
        with pytest.raises(ValueError, match="at least 1"):
            ask(world.photos()[0], 0)
    with pytest.raises(ValueError, match="at least 1"):
        world.search_vectors(np.ones((1, 16), np.float32), 0)
    assert len(world.search(world.photos()[0], 10**9)) == 9
    assert len(world.search(Path(world.photos()[0].path).read_bytes(), 10**9)) == 10


def test_vectors_may_have_any_length(world: Index) -> None:
    vector = world.vectors([1]).astype(np.float64)
    expected = world.search_vectors(vector, 3)
    for length in (1e300, 1e-300, 1e160, 5e-324 / np.abs(vector).max() * 1e10):
        found = world.search_vectors(vector * length, 3)
        assert [match.photo.id for match in found[0]] == [match.photo.id for match in expected[0]]
        assert found[0][0].score == pytest.approx(expected[0][0].score, abs=1e-5)
    with pytest.raises(ValueError, match=r"give one vector as \[vector\]"):
        world.search_vectors(vector[0])
    with pytest.raises(ValueError, match="min_score must be a number"):
        world.search_vectors(vector, min_score=float("nan"))


def test_min_score_may_leave_nothing(world: Index) -> None:
    photo = world.photos()[0]
    assert world.search(photo, min_score=1.1) == []
    best = world.search(photo, 5)
    assert world.search(photo, 5, min_score=best[1].score) == best[:2]


def test_photo_of_another_index_is_a_picture_like_any_other(world: Index, tmp_path: Path, fake: FakeBackbone) -> None:
    photos = world.photos()
    shutil.copy(photos[5].path, tmp_path / "other.jpg")
    shutil.copy(photos[6].path, tmp_path / "second.jpg")
    with birdsearch.create(tmp_path / "index", backbone=fake) as other:
        other.add(tmp_path)
        stranger = next(photo for photo in other.photos() if photo.path.endswith("other.jpg"))
        assert stranger.id in {photo.id for photo in photos}
        assert world.search(stranger, 1)[0].photo == photos[5]
        assert other.search(photos[6], 1)[0].photo.path.endswith("second.jpg")
        mixed = world.embed([stranger, photos[0], photos[5].path])
    assert np.allclose(mixed, world.vectors([photos[5].id or 0, photos[0].id or 0, photos[5].id or 0]), atol=1e-5)


def test_photo_seen_before_a_change_still_does_not_find_itself(tmp_path: Path, fake: FakeBackbone) -> None:
    path = write(tmp_path / "photos" / "1.jpg", bird(1, 80, 60))
    write(tmp_path / "photos" / "2.jpg", bird(2, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(tmp_path / "photos")
        old = index.photos()[0]
        write(path, bird(3, 90, 60))
        index.add(tmp_path / "photos")
        assert [match.photo.id for match in index.search(old)] == [2]
        index.remove(Filter(under=str(path)))
        assert len(index.search(old)) == 1
        with pytest.raises(PhotoUnknownError, match=r"no photo with id 1.*lists the ids"):
            index.photo(1)


def test_photo_without_an_id_is_read_from_its_file(world: Index) -> None:
    photo = world.photos()[1]
    assert world.search(Photo(None, photo.path), 1)[0].photo == photo
    gone = replace(photo, id=10**6, path=photo.path + " gone")
    with pytest.raises(PhotoMissingError, match="Did you mean"):
        world.search(gone)


def test_empty_index_answers_nothing(tmp_path: Path, fake: FakeBackbone) -> None:
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        assert index.search(bird(1)) == []
        assert index.search_many([bird(1), bird(2)], where=Filter(species="Wren")) == [[], []]
        assert index.photos() == []
        assert index.vectors([]).shape == (0, 16)
        assert len(index) == 0
        assert index.failures() == []
        assert index.remove(Filter(species="Wren")) == 0


def test_index_of_one_photo(tmp_path: Path, fake: FakeBackbone) -> None:
    path = write(tmp_path / "photos" / "1.jpg", bird(1, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(path)
        assert index.search(index.photos()[0], 5) == []
        assert [match.photo.path for match in index.search(path.read_bytes(), 5)] == [str(path)]


def test_search_of_what_is_no_picture(world: Index, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a wren")
    for image in (tmp_path / "notes.txt", b"nothing", tmp_path):
        with pytest.raises(PhotoUnreadableError):
            world.search(image)
    with pytest.raises(PhotoMissingError):
        world.search(tmp_path / "nowhere.jpg")
    with pytest.raises(TypeError):
        world.search(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="open the file in binary mode"):
        world.search(io.StringIO("a wren"))  # type: ignore[arg-type]


def test_a_batch_answers_for_what_can_be_read(garden: Garden, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    good = Path(garden.photos / "Wren" / "1.jpg").read_bytes()
    images: list[ImageLike] = [tmp_path / "broken.jpg", good, "nowhere\0.jpg"]
    with birdsearch.open(garden.index) as index:
        assert [len(matches) for matches in index.search_many(images, 2, errors="skip")] == [0, 2, 0]
        assert ["broken.jpg" in message for message in caplog.messages] == [True, False]
        failed: dict[int, PhotoError] = {}
        assert np.isfinite(index.embed(images, errors=failed.__setitem__)).all(axis=1).tolist() == [False, True, False]
        assert {row: type(error) for row, error in failed.items()} == {0: PhotoUnreadableError, 2: PhotoMissingError}
        for source in ("backbone", "neighbours"):
            answers = index.classify_many(images, 2, source=source, errors="skip")
            assert [len(predictions) > 0 for predictions in answers] == [False, True, False]
            assert index.classify_many(images[:1], source=source, errors="skip") == [[]]
        assert index.search_many(images[:1], errors="skip") == [[]]
        with pytest.raises(PhotoUnreadableError, match=r"broken\.jpg"):
            index.search_many(images)
        with pytest.raises(ValueError, match="errors must be 'raise', 'skip' or a function"):
            index.search_many(images, errors="ignore")
        with pytest.raises(TypeError, match="give one image as \\[image\\]"):
            index.search_many("wren.jpg")


# Filters


def test_species_and_labels_in_any_case(world: Index) -> None:
    assert found(world, Filter(species="fiji")) == {"Fiji"}
    assert found(world, Filter(label=("BERLIN", "Fiji", "Dodo"))) == {"Berlin", "Fiji"}
    assert len(found(world, Filter(species="ZAUNK\\XF6NIG"))) == 6
    assert found(world, Filter(species=())) == set()
    assert found(world, Filter(species="Dodo")) == set()
    assert found(world, Filter()) == {Path(photo.path).stem for photo in world.photos()}


def test_every_field_must_hold(world: Index) -> None:
    assert found(world, Filter(species=("Fiji", "Berlin"), camera="nikon")) == {"Fiji", "Berlin"}
    assert found(world, Filter(species=("Fiji", "Samoa"), camera="canon", min_width=100)) == {"Samoa"}
    assert found(world, Filter(species="Fiji", min_width=100)) == set()


def test_filters_within_filters(world: Index) -> None:
    everything = {Path(photo.path).stem for photo in world.photos()}
    fiji, canon = Filter(species="Fiji"), Filter(camera="canon")
    assert found(world, canon) == {"Samoa", "pole"}
    assert found(world, fiji | canon) == {"Fiji", "Samoa", "pole"}
    assert found(world, fiji | canon | Filter(species="Berlin")) == set(PLACES)
    assert found(world, ~canon) == everything - {"Samoa", "pole"}  # with photos of no known camera
    assert found(world, ~(fiji | canon)) == everything - {"Fiji", "Samoa", "pole"}
    assert found(world, ~~canon) == {"Samoa", "pole"}
    assert found(world, Filter(none_of=(fiji, canon), under=Path(world.photos()[0].path).parent.parent)) == found(
        world, ~(fiji | canon)
    )
    assert found(world, Filter(camera="canon", any_of=(fiji, Filter(species="pole")))) == {"pole"}
    assert found(world, ~Filter(near=(52.5, 13.4, 1), taken_after="2024")) == everything - {"Berlin"}
    assert found(world, ~Filter(species=tuple(PLACES))) == everything - set(PLACES)
    ids = [photo.id or 0 for photo in world.photos(fiji | canon)]
    assert found(world, Filter(ids=ids)) == {"Fiji", "Samoa", "pole"}
    assert found(world, Filter(ids=(*range(1, 70_000),), species="Fiji")) == {"Fiji"}
    assert found(world, Filter(ids=())) == found(world, ~Filter()) == set()


def test_a_filter_that_is_none_is_said(world: Index) -> None:
    for where in ({"species": "Fiji"}, "Fiji", 17):
        with pytest.raises(TypeError, match=r"a filter must be a Filter, such as Filter\(species='Wren'\), not"):
            world.photos(where)  # type: ignore[arg-type]


def test_filter_never_costs_results(world: Index) -> None:
    for photo in world.photos():
        for where in (Filter(species="Zaunk\\xf6nig"), Filter(min_width=100), Filter(camera="model")):
            wanted = {p.id for p in world.photos(where)} - {photo.id}
            for k in (1, 3, 50):
                matches = world.search(photo, k, where=where)
                assert len(matches) == min(k, len(wanted))
                assert {match.photo.id for match in matches} <= wanted


@pytest.mark.parametrize(
    ("after", "before", "wanted"),
    [
        ("2024", None, {"Samoa", "Berlin"}),
        (None, "2024", {"Fiji"}),
        ("2023-12-31", "2024-01-01", {"Fiji"}),
        ("2024-05", None, {"Samoa", "Berlin"}),
        ("2024-05-17", "2024-05-18", {"Samoa", "Berlin"}),
        (None, "2024-05-17", {"Fiji"}),
        ("2024-05-17T06:30", "2024-05-17T06:30:01", {"Samoa"}),
        ("2024-05-17 06:30:01", None, {"Berlin"}),
        ("2024-05-17T06:30:08.25", None, {"Berlin"}),
        ("2024-05-17T06:30:08.26", None, set()),
        ("2024-05-17T06:30:08", "2024-05-17T06:30:08.25", set()),
        (" 2024-06 ", None, set()),
        ("2023", "2030", {"Fiji", "Samoa", "Berlin"}),
    ],
)
def test_dates_of_every_length(world: Index, after: str | None, before: str | None, wanted: set[str]) -> None:
    assert found(world, Filter(taken_after=after, taken_before=before)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "May",
        "17.5.2024",
        "2024-5-1",
        "2024/05/17",
        "24-05-17",
        "2024-05-17T06",
        "2024-13",
        "2024-02-30",
        "2024-05-17T25:00",
        "20240517",
    ],
)
def test_what_is_no_date_is_said(world: Index, text: str) -> None:
    for where in (Filter(taken_after=text), Filter(taken_before=text)):
        with pytest.raises(ValueError, match=r"not a date.*2024-05-17"):
            world.photos(where)


@pytest.mark.parametrize(
    ("near", "wanted"),
    [
        ((52.5, 13.4, 0.1), {"Berlin"}),
        ((52.5, 13.4, 0), {"Berlin"}),
        ((-15.5, -176.0, 800), {"Fiji", "Samoa"}),
        ((-17.0, -179.9, 50), {"Fiji"}),
        ((-17.0, 180.0, 50), {"Fiji"}),
        ((-17.0, -180.0, 50), {"Fiji"}),
        ((90, 0, 20), {"pole"}),
        ((89.9, -80.0, 25), {"pole"}),
        ((-90, 0, 1), set()),
        ((0, 0, 20_100), {"Fiji", "Samoa", "Berlin", "pole"}),
    ],
)
def test_near_counts_kilometres_everywhere(world: Index, near: tuple[float, float, float], wanted: set[str]) -> None:
    assert found(world, Filter(near=near)) == wanted


@pytest.mark.parametrize("near", [(91, 0, 1), (0, 181, 1), (0, 0, -1), (float("nan"), 0, 1), (0, 0, float("nan"))])
def test_what_is_no_place_is_said(world: Index, near: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="not a place"):
        world.photos(Filter(near=near))


def test_distances_are_those_on_the_globe() -> None:
    assert distance_km(52.5163, 13.3777, 48.8584, 2.2945) == pytest.approx(877.5, abs=2)  # Berlin to Paris
    assert distance_km(0, 0, 0, 180) == pytest.approx(20015.1, abs=0.1)
    assert distance_km(10, 20, 10, 20) == 0
    assert distance_km(None, 20, 10, 20) is None


def test_under_takes_folders_files_and_relative_paths(world: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = world.path.parent / "photos"
    assert found(world, Filter(under=str(photos / "Fiji"))) == {"Fiji"}
    assert found(world, Filter(under=str(photos / "Fiji") + "/")) == {"Fiji"}
    assert found(world, Filter(under=str(photos / "Fiji" / "Fiji.jpg"))) == {"Fiji"}
    assert found(world, Filter(under=str(photos / "Fi"))) == set()
    assert len(found(world, Filter(under=str(photos)))) == 10
    assert len(found(world, Filter(under="/"))) == 10
    assert found(world, Filter(under=str(photos) + "x")) == set()
    assert len(found(world, Filter(under=str(photos / "Zaunk\udcf6nig")))) == 6
    assert found(world, Filter(under=str(photos / "Zaunk\udcf6nig" / "3 \udcff.jpg"))) == {"3 \udcff"}
    monkeypatch.chdir(photos)
    assert found(world, Filter(under="Fiji")) == {"Fiji"}
    assert found(world, Filter(under="./Samoa/../Fiji")) == {"Fiji"}
    assert len(found(world, Filter(under="."))) == 10


def test_predictions_are_filters_too(garden: Garden) -> None:
    with birdsearch.open(garden.index) as index:
        photo = index.photos()[0]
        top = photo.predictions[0]
        same = index.photos(Filter(predicted=top.class_name.upper()))
        assert photo in same
        assert all(top.class_name in [guess.class_name for guess in p.predictions] for p in same)
        sure = index.photos(Filter(min_probability=top.probability))
        assert photo in sure
        assert all(p.predictions[0].probability >= top.probability for p in sure)
        second = photo.predictions[1]
        assert photo in index.photos(Filter(predicted=second.class_name, min_probability=second.probability))
        assert photo not in index.photos(Filter(predicted=second.class_name, min_probability=top.probability))
        assert index.photos(Filter(min_probability=1.0)) == []


# Classes


def test_probabilities_from_the_index_are_those_of_the_network(network_garden: Garden) -> None:
    with birdsearch.open(network_garden.index) as index:
        photos = index.photos()
        probabilities = index.probabilities([photo.id for photo in photos if photo.id])
        assert probabilities.shape == (6, 1000)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)
        for photo, row in zip(photos, probabilities, strict=True):
            assert [guess.position for guess in photo.predictions] == [1, 2, 3, 4, 5]
            stored = [guess.probability for guess in photo.predictions]
            assert stored == pytest.approx(np.sort(row)[::-1][:5].tolist(), abs=1e-3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("birdsearch.backbones.load_backbone", lambda *_, **__: pytest.fail("loaded the network"))
            by_vector = index.classify(photos[0], 3)
        by_network = index.classify(photos[0].path, 3)
    assert [guess.class_name for guess in by_vector] == [guess.class_name for guess in by_network]
    assert by_vector[0].probability == pytest.approx(by_network[0].probability, abs=1e-3)
    assert [photo.species for photo in photos] == [Path(photo.path).parent.name for photo in photos]


def test_an_index_whose_backbone_knows_no_classes_says_so(world: Index) -> None:
    for ask in (lambda: world.classify(world.photos()[0], source="backbone"), lambda: world.probabilities([1])):
        with pytest.raises(BackboneUnavailableError, match=r"knows no classes.*birdsearch backbones"):
            ask()


# Reading


def test_photos_have_what_the_file_says(world: Index) -> None:
    photo = next(photo for photo in world.photos() if "Samoa" in photo.path)
    info = os.stat(photo.path)
    assert (photo.size, photo.mtime_ns, photo.format) == (info.st_size, info.st_mtime_ns, "JPEG")
    assert (photo.width, photo.height, photo.camera) == (180, 60, "Canon Model")
    assert photo.taken_at == "2024-05-17T06:30:00.25"
    assert (photo.latitude, photo.longitude) == pytest.approx((-13.8, -171.8), abs=1e-4)
    assert photo == world.photo(photo.id or 0)


def test_vectors_come_in_the_order_asked_and_may_repeat(world: Index) -> None:
    ids = [photo.id for photo in world.photos() if photo.id]
    every = world.vectors(ids)
    assert np.array_equal(world.vectors([ids[3], ids[0], ids[3]]), every[[3, 0, 3]])
    assert np.array_equal(world.vectors(np.array(ids[:2])), every[:2])  # type: ignore[arg-type]
    with pytest.raises(PhotoUnknownError):
        world.vectors([ids[0], 10**6])


def test_photos_may_be_limited(world: Index) -> None:
    assert world.photos(limit=3) == world.photos()[:3]


# Two objects, one index


def test_photos_removed_by_a_killed_writer_never_shorten_an_answer(tmp_path: Path, fake: FakeBackbone) -> None:
    for seed in range(12):
        write(tmp_path / "photos" / f"{seed:02}.jpg", bird(seed, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        index.add(tmp_path / "photos")
        ids = [photo.id for photo in index.photos() if photo.id is not None]
        vectors = index.vectors(ids)
        with closing(catalog_at(index.path)) as catalog:
            catalog.remove(ids[:4])  # it was killed before the engine followed
        for _ in range(20):
            assert len(index.search_vectors(vectors[4:5], k=1)[0]) == 1
        assert [len(matches) for matches in index.search_vectors(vectors[:4], k=1)] == [1] * 4
        assert [len(matches) for matches in index.search_vectors(vectors, k=12)] == [8] * 12


def test_a_reader_sees_what_a_writer_adds_at_its_next_question(tmp_path: Path, fake: FakeBackbone) -> None:
    write(tmp_path / "photos" / "1.jpg", bird(1, 80, 60))
    with birdsearch.create(tmp_path / "index", backbone=fake) as writer:
        writer.add(tmp_path / "photos")
        with birdsearch.open(tmp_path / "index", backbone=fake) as reader, birdsearch.open(tmp_path / "index") as late:
            assert len(reader.search(bird(2))) == 1
            for seed in (2, 3, 4):
                write(tmp_path / "photos" / f"{seed}.jpg", bird(seed, 80, 60))
                writer.add(tmp_path / "photos")
                matches = reader.search((tmp_path / "photos" / f"{seed}.jpg").read_bytes(), 10)
                assert (len(reader), len(matches)) == (seed, seed)
                assert matches[0].photo.path.endswith(f"{seed}.jpg")
            writer.remove(Filter(under=str(tmp_path / "photos" / "1.jpg")))
            assert len(reader.search(bird(2), 10)) == 3
            assert len(late.search(late.photos()[0], 10)) == 2
            write(tmp_path / "photos" / "2.jpg", bird(9, 90, 60))
            writer.add(tmp_path / "photos")
            assert reader.search(bird(9, 90, 60), 1)[0].photo.path.endswith("2.jpg")
            assert writer.verify().ok


# Names are compared as taxa

SPELLINGS = {
    "American Avocet": 3,
    "Recurvirostra americana": 2,
    "AMERICAN_AVOCET": 1,
    "CACTUS WREN": 1,
    "LARUS MARINUS": 1,
}


def test_a_filter_finds_every_spelling_of_a_taxon_and_the_species_of_a_group(tmp_path: Path) -> None:
    with labelled(tmp_path, SPELLINGS | {"pip": 1}) as index:
        assert (
            index.count(Filter(species="american avocet")) == index.count(Filter(label="Recurvirostra americana")) == 6
        )
        assert index.count(Filter(species=("CactusWren", "Larus"))) == 2
        index.set_names(names_table(tmp_path, "name,species\npip,American Avocet\n"))
        assert index.count(Filter(species="American Avocet")) == 7
        assert index.count(Filter(species="PIP")) == 7


def test_a_filter_that_no_name_fits_tells_what_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with labelled(tmp_path, SPELLINGS) as index:
        for asked, there in (
            ("Wren", "CACTUS WREN"),
            ("American Avoset", "American Avocet"),
            ("gull", "LARUS MARINUS"),
        ):
            assert index.count(Filter(species=asked)) == 0
            assert f"no species {asked} here; there are" in caplog.messages[-1]
            assert there in caplog.messages[-1]
        assert index.count(Filter(label="zzz")) == 0
        assert caplog.messages[-1] == "no label zzz here"
        assert index.count(Filter(under=tmp_path / "phoos")) == 0
        assert caplog.messages[-1].startswith(f"no such folder: {tmp_path / 'phoos'}. Did you mean")


def test_a_filter_tells_how_a_guess_that_would_fit_is_confirmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with labelled(tmp_path, {"Trumpter Swan": 2, "Mute Swan": 1}) as index:
        assert index.count(Filter(species="Trumpeter Swan")) == 0
        assert "Trumpter Swan is matched to it by a guess" in caplog.messages[-1]
        assert "birdsearch names --from" in caplog.messages[-1]
        index.set_names(names_table(tmp_path, "name,species\nTrumpter Swan,Trumpeter Swan\n"))
        assert index.count(Filter(species="Trumpeter Swan")) == 2


# A box asks


def test_a_box_asks_alone_with_what_lies_in_it(tmp_path: Path, fake: FakeBackbone) -> None:
    small = bird(5, 160, 120)
    wide = Image.new("RGB", (1600, 1200), (90, 140, 60))
    wide.paste(small, (1000, 700))
    write(tmp_path / "wide.png", wide)
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        for seed in range(6):
            write(tmp_path / "photos" / f"{seed}.png", bird(seed, 160, 120))
        index.add(tmp_path / "photos")
        # 10 % on each side, and squared: the drawn bird alone is not quite what the network sees
        in_shares = index.search(tmp_path / "wide.png", box=Box(1020 / 1600, 710 / 1200, 120 / 1600, 100 / 1200))
        assert Path(in_shares[0].photo.path).name == "5.png"
        in_pixels = index.search(tmp_path / "wide.png", box=Box(1020, 710, 120, 100, pixels=True))
        assert in_pixels == in_shares
        assert index.search((tmp_path / "wide.png").read_bytes(), box=Box(1020, 710, 120, 100, True)) == in_shares
        many = index.search_many([wide, wide], box=Box(1020, 710, 120, 100, pixels=True))
        assert [[match.photo.id for match in one] for one in many] == [[match.photo.id for match in in_shares]] * 2
        whole = index.search(tmp_path / "wide.png")
        assert [match.score for match in whole] != [match.score for match in in_shares]
        with pytest.raises(BoxOutsideError, match=r"wide\.png: the box 1500,0,200,10px lies outside.* 1600 x 1200"):
            index.search(tmp_path / "wide.png", box=Box(1500, 0, 200, 10, pixels=True))
        with pytest.raises(TypeError, match="box cannot be"):
            index.search(tmp_path / "wide.png", box=(0, 0, 1, 1))  # type: ignore[arg-type]


def test_a_box_of_a_photo_of_the_index_asks_anew_and_not_for_itself(tmp_path: Path, fake: FakeBackbone) -> None:
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        for seed in range(3):
            write(tmp_path / "photos" / f"{seed}.png", bird(seed))
        index.add(tmp_path / "photos")
        photo, before = index.photo(1), fake.embedded
        found = index.search(photo, box=Box(0.2, 0.2, 0.4, 0.4))
        assert fake.embedded == before + 1
        assert {match.photo.id for match in found} == {2, 3}
        assert not np.allclose(index.embed([photo], box=Box(0.2, 0.2, 0.4, 0.4)), index.embed([photo]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_counts_in_the_picture_as_it_is_shown(tmp_path: Path, fake: FakeBackbone, orientation: int) -> None:
    upright = bird(4, 480, 360)
    stored = turned(upright, orientation)
    write(tmp_path / "turned.jpg", stored, exif=exif({ORIENTATION: orientation}), quality=99)
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        for box in (Box(0.1, 0.5, 0.2, 0.3), Box(48, 180, 96, 108, pixels=True)):
            vectors = index.embed([tmp_path / "turned.jpg", upright], box=box)
            assert vectors[0] @ vectors[1] > 0.999
        assert decode.shown_size(tmp_path / "turned.jpg") == (480, 360)
