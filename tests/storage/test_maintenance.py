"""Verify names each breach of the format; repair mends it and embeds only what it must."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Index
from birdsearch.backbones import Backbone, classes
from birdsearch.errors import BackboneUnavailableError, IndexDamagedError, IndexMissingError, IndexVersionError
from birdsearch.index import restore
from tests.support import frozen_index
from tests.support.catalogs import catalog_at, on_sqlite
from tests.support.drawing import bird, write
from tests.support.engine_file import engine_of
from tests.support.fake_backbone import FakeBackbone, classifying


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos in two folders."""
    folder = tmp_path / "photos"
    for seed in range(12):
        write(folder / ("a" if seed < 9 else "b") / f"{seed}.jpg", bird(seed, 80, 60))
    return folder


@pytest.fixture
def index(tmp_path: Path, photos: Path, fake: FakeBackbone) -> Iterator[Index]:
    """An index of two parts: nine photos in the first, three in the second."""
    with birdsearch.create(tmp_path / "index", backbone=frozen_index.backbone(fake)) as made:
        made.add(photos / "a")
        made.add(photos / "b")
        assert made.verify().problems == ()
        fake.embedded = 0
        yield made


def part(index: Index, number: int) -> Path:
    """The file of a part."""
    return index.path / "vectors" / f"{number:08d}.parquet"


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def change(index: Index, statement: str) -> None:
    """Alter the catalog behind the index's back."""
    with closing(catalog_at(index.path)) as catalog, catalog.change() as connection:
        connection.exec_driver_sql(statement)


def found_by_all(index: Index) -> None:
    """Every photo is found by its own picture, with the vector of that picture."""
    for photo in index.photos():
        assert index.search(Path(photo.path).read_bytes(), 1)[0].photo.id == photo.id


def test_info_has_the_documented_keys(tmp_path: Path, fake: FakeBackbone) -> None:
    with birdsearch.create(tmp_path / "index", backbone=fake) as index:
        assert set(index.info()) == set(birdsearch.IndexInfo.__annotations__)


def test_a_sound_index_is_sound_and_repair_does_nothing(index: Index, fake: FakeBackbone) -> None:
    assert index.verify() == birdsearch.VerifyReport(ok=True)
    assert index.repair() == []
    assert fake.embedded == 0


@pytest.mark.parametrize(
    ("number", "damage", "words", "embedded"),
    [
        (1, lambda path: path.unlink(), "00000001.parquet is missing", 9),
        (2, lambda path: path.unlink(), "00000002.parquet is missing", 3),
        (2, lambda path: flip(path, 200), "00000002.parquet does not have the checksum", 3),
        (2, lambda path: path.write_bytes(b""), "00000002.parquet does not have the checksum", 3),
        (1, lambda path: path.write_bytes(path.read_bytes()[:500]), "00000001.parquet does not have the checksum", 9),
    ],
)
def test_a_damaged_part_is_named_and_only_its_photos_are_embedded_again(
    index: Index,
    photos: Path,
    fake: FakeBackbone,
    number: int,
    damage: Callable[[Path], None],
    words: str,
    embedded: int,
) -> None:
    before = index.photos()
    vectors = index.vectors([photo.id for photo in before if photo.id])
    damage(part(index, number))
    with pytest.raises(IndexDamagedError, match=f"{words}.*birdsearch repair"):
        index.vectors([photo.id for photo in before if photo.id])
    report = index.verify()
    assert not report.ok
    assert len(report.problems) == 1
    assert words in report.problems[0]
    assert index.repair()
    assert index.verify().problems == ()
    assert fake.embedded == embedded
    assert index.photos() == before
    assert np.allclose(index.vectors([photo.id for photo in before if photo.id]), vectors)
    found_by_all(index)


def test_rows_that_are_not_the_catalogs(index: Index, photos: Path, fake: FakeBackbone) -> None:
    change(index, 'UPDATE regions SET "row" = 2 - "row" WHERE part_id = 2')
    assert any("does not hold region" in problem for problem in index.verify().problems)
    index.repair()
    assert index.verify().problems == ()
    assert fake.embedded == 3
    found_by_all(index)


def test_a_row_number_beyond_the_part(index: Index, photos: Path) -> None:
    change(index, 'UPDATE regions SET "row" = 99 WHERE id = 12')
    assert any("does not hold region 12 in row 99" in problem for problem in index.verify().problems)
    with pytest.raises(IndexDamagedError, match="birdsearch repair"):
        index.vectors([12])
    index.repair()
    assert index.verify().problems == ()


def test_a_part_of_another_index(index: Index, photos: Path, tmp_path: Path) -> None:
    shutil.copy(part(index, 1), part(index, 2))
    assert "checksum" in " ".join(index.verify().problems)
    index.repair()
    assert index.verify().ok
    found_by_all(index)


def test_photos_whose_vectors_are_lost_while_their_files_are_away(
    index: Index, photos: Path, fake: FakeBackbone
) -> None:
    part(index, 2).unlink()
    (photos / "b").rename(photos.parent / "unmounted")
    done = index.repair()
    assert any("3 photos have lost their vector" in line for line in done)
    assert len([p for p in index.verify().problems if "has no vector" in p]) == 3
    (photos.parent / "unmounted").rename(photos / "b")
    report = index.add(photos)
    assert (report.changed, report.unchanged, report.failed) == (3, 9, ())
    assert index.verify().problems == ()
    assert fake.embedded == 3
    # The new part must not take the number of the lost one, which the engine believes to hold.
    found_by_all(index)


@pytest.mark.parametrize("damage", ["flipped", "half", "empty", "text"])
def test_a_damaged_engine_costs_nothing_but_itself(
    index: Index, photos: Path, fake: FakeBackbone, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_of(index.path)
    data = engine.read_bytes()
    if damage == "flipped":
        flip(engine, 300)
    else:
        engine.write_bytes({"half": data[: len(data) // 2], "empty": b"", "text": b"nothing"}[damage])
    assert any(engine.name in problem for problem in index.verify().problems)
    with birdsearch.open(index.path) as reader:
        assert len(reader.search(reader.photos()[0], 20)) == 11
    assert "Searching the stored vectors meanwhile" in caplog.text
    assert index.repair() == ["built the engine anew"]
    assert index.verify().ok
    assert fake.embedded == 0
    found_by_all(index)


def test_a_missing_engine_is_named_and_built_anew(index: Index, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine_of(index.path).unlink()
    assert [problem.endswith("is missing") for problem in index.verify().problems] == [True]
    with birdsearch.open(index.path) as reader:
        for photo in reader.photos():
            assert len(reader.search(photo, 20)) == 11
    assert caplog.text.count("Searching the stored vectors meanwhile") == 1
    assert index.repair() == ["built the engine anew"]
    assert engine_of(index.path).exists()
    assert index.verify().ok
    found_by_all(index)


def test_an_engine_of_another_index(index: Index, photos: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as other:
        other.add(photos / "b")
    shutil.copy(engine_of(tmp_path / "other"), engine_of(index.path))
    assert any("does not have the checksum" in problem for problem in index.verify().problems)
    with birdsearch.open(index.path) as reader:
        assert len(reader.search(reader.photos()[0], 20)) == 11
    index.repair()
    assert index.verify().ok


def test_engines_that_the_catalog_does_not_name_go_with_the_next_writer(
    index: Index, photos: Path, fake: FakeBackbone
) -> None:
    old = engine_of(index.path)
    with birdsearch.open(index.path, backbone=index.backbone) as reader:
        assert len(reader.search(reader.photos()[0], 20)) == 11
        write(photos / "b" / "20.jpg", bird(20, 80, 60))
        index.add(photos)
        assert {p.name for p in index.path.glob("engine-*")} == {old.name, engine_of(index.path).name}
        assert index.verify().ok
        (index.path / "vectors.faiss").write_bytes(b"of an older birdsearch")
        index.add([])
        assert list(index.path.glob("engine-*")) == [engine_of(index.path)]
        assert not (index.path / "vectors.faiss").exists()
        assert len(reader.search(reader.photos()[0], 20)) == 12
    with birdsearch.open(index.path, backbone=index.backbone) as reader:
        assert reader.search((photos / "b" / "20.jpg").read_bytes(), 1)[0].score == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("damage", ["missing", "flipped", "text"])
def test_a_damaged_classifier_is_written_again(index: Index, fake: FakeBackbone, damage: str) -> None:
    before = index.probabilities([1, 2])
    path = index.path / "classifier.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        flip(path, 400)
    else:
        path.write_text("nothing")
    assert any("classifier.npz" in problem for problem in index.verify().problems)
    with birdsearch.open(index.path) as reader, pytest.raises(IndexDamagedError, match=r"classifier\.npz.*repair"):
        reader.probabilities([1])
    assert index.repair() == ["wrote the classifier again from the backbone"]
    assert index.verify().ok
    assert np.array_equal(index.probabilities([1, 2]), before)
    assert fake.embedded == 0


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"format": 1}', '{"format": 1, "id": 1, "backbone": {}}', b"\xff"]
)
def test_a_damaged_index_json_is_written_again_from_the_catalog(
    index: Index, photos: Path, fake: FakeBackbone, text: str | bytes | None
) -> None:
    path = index.path / "index.json"
    before = json.loads(path.read_text())
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(IndexDamagedError, match=r"index\.json.*run `birdsearch repair --index"):
        birdsearch.open(index.path)
    with pytest.raises((IndexDamagedError, birdsearch.errors.IndexExistsError)):
        birdsearch.create(index.path, backbone=fake)
    assert restore(index.path) == ["wrote index.json again from the catalog"]
    assert json.loads(path.read_text()) == before
    with birdsearch.open(index.path, backbone=index.backbone) as again:
        assert again.verify().ok
        found_by_all(again)


@on_sqlite  # in a database another id says that the address names the parts of another index
@pytest.mark.parametrize(
    "altered", [{"id": "of another"}, {"source": "elsewhere.pt"}, {"created": "2020-01-01T00:00:00+00:00"}]
)
def test_an_altered_index_json_is_refused_and_put_right(index: Index, altered: dict[str, str]) -> None:
    path = index.path / "index.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps({**before, **altered}))
    with pytest.raises(IndexDamagedError, match=r"damaged or of another index.*birdsearch repair --index"):
        birdsearch.open(index.path)
    assert restore(index.path) == ["wrote index.json again from the catalog"]
    with birdsearch.open(index.path) as again:
        assert again.verify().ok
    assert json.loads(path.read_text()) == before


def test_a_catalog_that_lost_its_copy_of_index_json_gets_it_again(index: Index) -> None:
    change(index, "DELETE FROM state WHERE key = 'identity'")
    with pytest.raises(IndexDamagedError, match="birdsearch repair"):
        birdsearch.open(index.path)
    assert restore(index.path) == ["wrote the catalog's copy of index.json again"]
    with birdsearch.open(index.path) as again:
        assert again.verify().ok


def test_restore_leaves_alone_what_it_must_not_touch(index: Index, tmp_path: Path) -> None:
    assert restore(index.path) == []
    path = index.path / "index.json"
    newer = {**json.loads(path.read_text()), "format": 99}
    path.write_text(json.dumps(newer))
    with pytest.raises(IndexVersionError):
        restore(index.path)
    assert json.loads(path.read_text()) == newer
    with pytest.raises(IndexMissingError):
        restore(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_label_that_no_record_gives(index: Index) -> None:
    change(index, "UPDATE photos SET species = 'Dodo' WHERE id = 3")
    assert index.verify().problems == ("photo 3 shows a label or species that its records do not give",)
    index.repair()
    assert index.verify().ok
    assert index.photo(3).species != "Dodo"


@on_sqlite
def test_a_broken_catalog_is_named_and_not_trusted(index: Index) -> None:
    index.close()
    path = index.path / "catalog.sqlite"
    data = bytearray(path.read_bytes())
    for page in range(3, len(data) // 4096):
        data[page * 4096 : page * 4096 + 600] = b"\xaa" * 600
    path.write_bytes(data)
    try:
        with birdsearch.open(index.path) as again:
            report = again.verify()
        assert not report.ok
        assert all("catalog.sqlite" in problem for problem in report.problems)
    except IndexDamagedError as error:
        assert "Restore it from a backup" in str(error)  # noqa: PT017


def test_leftovers_of_a_killed_writer_go_with_the_next(index: Index, photos: Path) -> None:
    shutil.copy(part(index, 1), part(index, 3))
    (index.path / "vectors" / "00000004.parquet.unfinished").write_bytes(b"half")
    (index.path / "index.json.unfinished").write_bytes(b"half")
    (index.path / "engine.npy.unfinished").write_bytes(b"half")
    assert index.verify().ok
    assert index.add(photos).unchanged == 12
    assert sorted(p.name for p in (index.path / "vectors").iterdir()) == [part(index, 1).name, part(index, 2).name]
    assert not [p for p in index.path.iterdir() if p.name.endswith(".unfinished")]


def test_a_mostly_removed_engine_is_built_anew(index: Index, photos: Path) -> None:
    before = engine_of(index.path).stat().st_size
    index.remove(birdsearch.Filter(under=str(photos / "a")))
    assert engine_of(index.path).stat().st_size < before
    assert len(index.search(index.photos()[0], 20)) == 2
    assert index.verify().ok


def test_repair_counts_a_photo_that_has_changed_or_broken_since(index: Index, photos: Path, fake: FakeBackbone) -> None:
    part(index, 2).unlink()
    write(photos / "b" / "9.jpg", bird(30, 90, 60))
    (photos / "b" / "10.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    index.repair()
    assert fake.embedded == 2
    assert len(index) == 11
    assert [Path(failure.path).name for failure in index.failures()] == ["10.jpg"]
    found_by_all(index)


@pytest.fixture
def numbered(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index that an older birdsearch made with an encoder: its projection is taken for classes."""
    with monkeypatch.context() as older:
        older.setattr(classes, "are_numbers", lambda names: False)
        with birdsearch.create(tmp_path / "numbered", backbone=encoder()) as made:
            made.add(photos, labels="folder")
            assert made.photo(1).predictions[0].class_name.isdigit()
    return made.path


def encoder() -> Backbone:
    weights = np.random.default_rng(3).normal(size=(24, FakeBackbone.dim)).astype(np.float32)
    return classifying(tuple(map(str, range(24))), weights, np.zeros(24, np.float32))


def test_a_projection_that_was_taken_for_classes_is_put_right_without_embedding(numbered: Path) -> None:
    backbone = encoder()
    assert backbone.classifier is not None
    with birdsearch.open(numbered, backbone=backbone) as index:
        labels, generation = index.labels(), index.generation
        (problem,) = index.verify().problems
        assert "repair" in problem
        assert "classifier.npz" in problem
        with pytest.raises(BackboneUnavailableError, match="knows no classes"):
            index.probabilities([1])
        (done,) = index.repair()
        assert "projection" in done
        assert index.verify().problems == ()
        assert index.repair() == []
        assert index.generation > generation
        assert index.labels() == labels
        assert all(photo.predictions == () for photo in index.photos())
    with np.load(numbered / "classifier.npz") as stored:
        assert stored["kind"] == "projection"
        np.testing.assert_array_equal(stored["projection"], backbone.classifier.weights)
    with birdsearch.open(numbered) as index:
        assert len(index.photos()) == 12


def test_predictions_of_numbers_are_not_imported(numbered: Path, tmp_path: Path) -> None:
    with birdsearch.open(numbered) as index:
        index.export(tmp_path / "old.parquet")
    today = replace(encoder(), class_names=(), class_species=(), class_ranks=(), classifier=None)
    with birdsearch.create(tmp_path / "new", backbone=today) as index:
        assert index.import_photos(tmp_path / "old.parquet").added == 12
        assert index.verify().problems == ()
        assert all(photo.predictions == () for photo in index.photos())
