"""Boxes are taken in, get vectors, follow their photo, and touch nothing that compares photos."""

import os
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Box, Cancelled, Filter, Index
from birdsearch.errors import InputFileError
from birdsearch.records import AddReport, Region, RegionReport, as_json
from birdsearch.search import whitening
from tests.support import boxed
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


def boxes_of(index: Index, name: str) -> list[Region]:
    """The boxes of one photo."""
    photo_id = next(photo.id or 0 for photo in index.photos() if photo.path.endswith(name))
    return index.regions(ids=[photo_id])


def timeless(record: object) -> object:
    """A record as JSON without the time that it took, and without the id of a report, which names the generation."""
    plain = as_json(record)
    return (
        {key: value for key, value in plain.items() if key not in ("seconds", "id")}
        if isinstance(plain, dict)
        else plain
    )


def answers(index: Index) -> dict[str, object]:
    """What everything that compares photos with each other says."""
    ids = [photo.id or 0 for photo in index.photos()]
    duplicates = index.duplicates()
    return {
        "duplicates": timeless(duplicates),
        "duplicates of a filter": timeless(index.duplicates(Filter(species=("Wren", "Robin")))),
        "clusters": timeless(index.clusters(resolution=0.5)),
        "species": timeless(index.species_report()),
        "audit": timeless(index.audit()),
        "evaluation": timeless(index.evaluate()),
        "split": timeless(index.split(same=duplicates)),
        "life list": timeless(index.life_list()),
        "map": index.map(ids).tolist(),
        "neighbours": [timeless(one) for one in index.classify(index.photo(ids[0]), source="neighbours")],
        "vectors": index.vectors(ids).tolist(),
        "folder": timeless(index.compare_folder(Path(index.photo(ids[0]).path).parent)),
        "table": index.to_arrow().drop_columns(["regions"]).to_pylist(),
        "photos": len(index),
    }


@pytest.mark.slow
def test_nothing_that_compares_photos_sees_a_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "LEAST", 8)
    with boxed.index_of(tmp_path) as index:
        before = answers(index)
        assert boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path)).regions.embedded == 24
        after = answers(index)
        assert {name for name in before if before[name] != after[name]} == set()


def test_a_space_is_fitted_and_judged_on_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "LEAST", 8)
    spaces, recalls = [], []
    for name in ("without", "with"):
        with boxed.index_of(tmp_path / name) as index:
            if name == "with":
                boxed.add_boxes(index, tmp_path / name, *boxed.everywhere(tmp_path / name))
            report = index.optimize(whiten=True)
            recalls.append((report.recall_at_1_before, report.recall_at_1_after, report.whitening))
            spaces += [path.name for path in index.path.glob("whitening-*.npz")]
            assert index.verify().ok
    assert recalls[0] == recalls[1]
    assert spaces[0] == spaces[1]  # named by content


def test_a_photo_answers_once_by_its_best_region(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path) as index:
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path))
        photo = index.photos()[0]
        for k in (1, 3, 5, 11, 12, 40):
            found = index.search(Path(photo.path).read_bytes(), k)
            assert [match.photo.id for match in found] == list(dict.fromkeys(match.photo.id for match in found))
            assert len(found) == min(k, 12)
            assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
            narrow = index.search(Path(photo.path).read_bytes(), k, where=Filter(species="Wren"))
            assert len(narrow) == min(k, 4)
            assert all(match.photo.id != photo.id for match in index.search(photo, k))
            assert len(index.search(photo, k)) == min(k, 11)
        best = index.search(Path(photo.path).read_bytes(), 1)[0]
        assert best.region is not None
        assert (best.region.kind, best.region.box, best.region.photo_id) == ("frame", Box(0, 0, 1, 1), photo.id)


def test_which_boxes_get_a_vector(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        report = boxed.add_boxes(
            index,
            tmp_path,
            "photos/Wren/0.jpg,0.1,0.1,0.1,0.1,person,0.99",
            "photos/Wren/0.jpg,0.2,0.1,0.1,0.1,Bird,0.5",
            "photos/Wren/0.jpg,0.3,0.1,0.1,0.1,animal,0.9",
            "photos/Wren/0.jpg,0.4,0.1,0.1,0.1,vehicle,0.95",
            "photos/Wren/0.jpg,0.5,0.1,0.1,0.1,bird,0.3",
            "photos/Wren/0.jpg,0.6,0.1,0.1,0.1,Troglodytes troglodytes,0.4",
            "photos/Wren/0.jpg,0.7,0.1,0.1,0.1,bird,0.1",
            "photos/Robin/0.jpg,0.7,0.1,0.1,0.1,,",
        )
        assert report.regions == RegionReport(boxes=7, embedded=4, left_out={"confidence below 0.2": 1})
        with_vector = {region.category: region.embedded for region in boxes_of(index, "Wren/0.jpg") if region.embedded}
        assert set(with_vector) == {"Bird", "animal", "Troglodytes troglodytes"}
        assert [region.confidence for region in boxes_of(index, "Robin/0.jpg")] == [None]
        assert index.info()["regions"] == 3 + 4
        assert index.info()["boxes"] == 7
        again = boxed.add_boxes(index, tmp_path, *(tmp_path / "boxes.csv").read_text().splitlines()[1:])
        assert again.regions == RegionReport(unchanged=7, left_out={"confidence below 0.2": 1})
        surer = boxed.add_boxes(
            index,
            tmp_path,
            "photos/Wren/0.jpg,0.2,0.1,0.1,0.1,Bird,0.5",
            *(f"photos/Wren/0.jpg,0.{n},0.5,0.2,0.2,bird,0.8" for n in (1, 2, 3)),
        )
        assert surer.regions == RegionReport(boxes=3, unchanged=1, removed=5, embedded=3)
        assert [r.embedded for r in boxes_of(index, "Wren/0.jpg") if r.category == "Bird"] == [False]
        assert index.verify().ok


def test_min_confidence_and_category(tmp_path: Path) -> None:
    lines = [f"photos/Wren/0.jpg,0.{n},0.1,0.1,0.1,{what},0.{n}" for n, what in enumerate(("bird", "cat", "bird"), 5)]
    with boxed.index_of(tmp_path, 1) as index:
        report = boxed.add_boxes(index, tmp_path, *lines, min_confidence=0.55, categories=["Bird"])
        assert report.regions == RegionReport(
            boxes=1, embedded=1, left_out={"confidence below 0.55": 1, "of another category": 1}
        )
        with pytest.raises(ValueError, match="min_confidence must be 0 to 1"):
            index.add(regions=tmp_path / "boxes.csv", min_confidence=2)


def test_a_box_has_the_vector_of_what_it_shows(tmp_path: Path, fake: FakeBackbone, index: Index) -> None:
    picture = bird(3, 640, 480)
    write(tmp_path / "photos" / "a.png", picture)
    index.add(tmp_path / "photos", regions=boxed.csv(tmp_path / "boxes.csv", "photos/a.png,128px,96,100,100,bird,0.9"))
    shown = np.asarray(picture.crop((118, 86, 238, 206)))  # with 10 % on each side
    best = index.search(shown, 1)[0]
    assert best.score == pytest.approx(1, abs=1e-5)
    assert best.region is not None
    assert best.region.kind == "box"
    assert best.region.box == Box(0.2, 0.2, 100 / 640, 100 / 480)


def test_a_changed_photo_drops_the_vectors_of_its_regions(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path))
        wren = index.photos(Filter(species="Wren"))[0]
        query = np.asarray(bird(0, 320, 240).crop((0, 19, 106, 101)))
        old = index.search(query, 1, where=Filter(species="Wren"))[0].score
        write(Path(wren.path), bird(77, 320, 240))
        report = index.add(tmp_path / "photos")
        assert (report.changed, report.regions.embedded) == (1, 2)
        assert all(region.embedded for region in index.regions(ids=[wren.id or 0]))
        assert index.search(query, 1, where=Filter(species="Wren"))[0].score < old
        assert index.verify().ok
        index.optimize()  # an engine with the new rows alone says the same
        assert index.search(query, 1, where=Filter(species="Wren"))[0].score < old


def test_regions_go_with_their_photo_and_hide_with_it(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path))
        wren = index.photos(Filter(species="Wren"))[0]
        os.rename(wren.path, tmp_path / "away.jpg")
        index.add(tmp_path / "photos")
        assert all(match.photo.id != wren.id for match in index.search(tmp_path / "away.jpg", 10))
        os.rename(tmp_path / "away.jpg", tmp_path / "photos" / "moved.jpg")
        assert index.add(tmp_path / "photos").moved == 1
        assert [region.embedded for region in index.regions(ids=[wren.id or 0])] == [True, True]
        index.remove(Filter(ids=(wren.id or 0,)))
        assert index.info()["boxes"] == 4
        assert index.info()["regions"] == 6


def test_what_a_file_says_of_a_photo_replaces_what_one_said_before(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path))
        report = boxed.add_boxes(index, tmp_path, "photos/Wren/0.jpg,,,,,,")
        assert report.regions == RegionReport(removed=2)
        assert boxes_of(index, "Wren/0.jpg") == []
        assert len(boxes_of(index, "Robin/0.jpg")) == 2


def test_photos_are_named_as_in_a_csv_of_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        report = boxed.add_boxes(
            index,
            tmp_path,
            r"C:\elsewhere\wren\0.JPG,0.1,0.1,0.2,0.2,bird,0.9",
            "0.jpg,0.1,0.1,0.2,0.2,bird,0.9",  # of three
            "gone.jpg,0.1,0.1,0.2,0.2,bird,0.9",
        )
        assert report.regions.boxes == 1
        assert report.regions.left_out == {"of photos that the index does not hold": 2}
        assert len(boxes_of(index, "Wren/0.jpg")) == 1
        assert "line 3: 0.jpg, line 4: gone.jpg" in caplog.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "photos/Wren/0.jpg,0.9,0.1,0.3,0.1,bird,0.9",
            "line 3: photos/Wren/0.jpg: the box 0.9,0.1,0.3,0.1 lies outside",
        ),
        ("photos/Wren/0.jpg,300,10,50,50,bird,0.9", "line 3: photos/Wren/0.jpg: the box"),
        ("photos/Wren/0.jpg,a,0.1,0.3,0.1,bird,0.9", "line 3: x is 'a'. Write a number"),
        ("photos/Wren/0.jpg,0.1,0.1,0,0.1,bird,0.9", "line 3: 0.1,0.1,0,0.1 is no box"),
        ("photos/Wren/0.jpg,0.1,0.1,nan,0.1,bird,0.9", "line 3: width is 'nan'"),
        ("photos/Wren/0.jpg,0.1,0.1,0.2,,bird,0.9", "line 3: height is ''"),
        ("photos/Wren/0.jpg,0.1,0.1,0.2,0.2,bird,90", "line 3: confidence is 90"),
        (",0.1,0.1,0.2,0.2,bird,0.9", "line 3: no path"),
    ],
)
def test_a_line_that_is_no_box_is_refused_and_nothing_changes(tmp_path: Path, line: str, words: str) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        with pytest.raises(InputFileError, match=words.replace(".", r"\.")):
            boxed.add_boxes(index, tmp_path, "photos/Wren/0.jpg,0.1,0.1,0.2,0.2,bird,0.9", line)
        assert index.info()["boxes"] == 0


def test_a_region_whose_file_cannot_be_read_waits(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        wren = Path(index.photos(Filter(species="Wren"))[0].path)
        kept, state = wren.read_bytes(), wren.stat()
        wren.write_bytes(b"\0" * len(kept))
        os.utime(wren, ns=(state.st_atime_ns, state.st_mtime_ns))
        boxes = boxed.csv(tmp_path / "boxes.csv", "photos/Wren/0.jpg,0.1,0.1,0.2,0.2,bird,0.9")
        report = index.add(tmp_path / "photos" / "Robin", regions=boxes)
        assert (report.regions.boxes, report.regions.embedded) == (1, 0)  # its folder was not named
        unread = index.regions_from(boxes)
        assert [(failure.path, failure.stage) for failure in unread.failed] == [(str(wren), "regions")]
        assert [region.embedded for region in index.regions()] == [False]
        wren.write_bytes(kept)
        os.utime(wren, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert index.add(tmp_path / "photos").regions == RegionReport(embedded=1)


@pytest.mark.parametrize("stopped", [Cancelled, KeyboardInterrupt])
def test_a_stopped_run_keeps_what_was_embedded_and_goes_on(tmp_path: Path, stopped: type[BaseException]) -> None:
    with boxed.index_of(tmp_path) as index:

        def stop(stage: str, done: int, total: int | None, path: str) -> None:
            if stage == "regions" and done == 5:
                raise stopped

        with pytest.raises(stopped):
            boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path), progress=stop)
    with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as index:
        done = sum(region.embedded for region in index.regions())
        assert index.verify().ok
        assert index.add(tmp_path / "photos").regions.embedded == 24 - done
        assert index.verify().ok


def test_repair_embeds_lost_regions_again(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path))
        last = max((tmp_path / "index" / "vectors").glob("*.parquet"))
        last.write_bytes(b"lost")
        assert not index.verify().ok
        done = index.repair()
        assert "embedded 6 regions again" in done
        assert not any("photos again" in line for line in done)
        assert index.verify().ok
        assert all(region.embedded for region in index.regions())


def test_an_export_carries_regions(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path), "photos/Wren/0.jpg,0.4,0.4,0.1,0.1,person,0.7")
        index.export(tmp_path / "garden.parquet")
        query = np.asarray(bird(0, 320, 240).crop((0, 19, 106, 101)))
        expected = [(match.score, match.region and match.region.box) for match in index.search(query, 3)]
        regions = [(region.box, region.category, region.embedded) for region in index.regions()]
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as other:
        assert other.import_photos(tmp_path / "garden.parquet").added == 3
        found = [(match.score, match.region and match.region.box) for match in other.search(query, 3)]
        assert [box for _, box in found] == [box for _, box in expected]
        assert [score for score, _ in found] == pytest.approx([score for score, _ in expected], abs=1e-6)
        key = repr
        assert sorted(((r.box, r.category, r.embedded) for r in other.regions()), key=key) == sorted(regions, key=key)
        assert other.verify().ok
        assert other.add(tmp_path / "photos").regions == RegionReport()


def test_regions_return_with_an_undone_photo(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path, 1) as index:
        copy = tmp_path / "photos" / "Wren" / "copy.jpg"
        copy.write_bytes((tmp_path / "photos" / "Wren" / "0.jpg").read_bytes())
        index.add(tmp_path / "photos")
        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path))
        before = sorted(map(repr, index.regions()))
        assert len(before) == 8
        index.apply(index.plan(index.duplicates(relations=("identical",))), "trash")
        assert len(index.regions()) == 6
        index.undo()
        assert sorted(map(repr, index.regions())) == before
        assert index.verify().ok


def test_a_report_without_boxes_is_empty(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", bird(1))
    assert index.add(tmp_path / "a.jpg").regions == AddReport().regions == RegionReport()
