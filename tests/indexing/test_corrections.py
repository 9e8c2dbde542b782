"""Corrections: above folders and CSVs, with author and time; they travel by bytes, and outlive their photos."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from csv import DictReader, DictWriter
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Filter, Index, Label, LabelReport
from birdsearch.errors import InputFileError, PhotoUnknownError
from birdsearch.storage.store import Store
from tests.support.command_line import run
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two Wrens and two Robins in folders of their names."""
    for seed, name in enumerate(["Wren/0.jpg", "Wren/1.jpg", "Robin/2.jpg", "Robin/3.jpg"]):
        write(tmp_path / "photos" / name, bird(seed, 80, 60))
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path, photos: Path) -> Iterator[Index]:
    """Their index."""
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as made:
        made.add(photos, labels="folder")
        yield made


@pytest.fixture
def other(tmp_path: Path, photos: Path) -> Iterator[Index]:
    """The index of somebody else: the same photos at another place, with other ids, and without labels."""
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "a" / "first.jpg", bird(9, 80, 60))
    for number, name in enumerate(["Robin/3.jpg", "Robin/2.jpg", "Wren/1.jpg", "Wren/0.jpg"]):
        shutil.copy(photos / name, elsewhere / "a" / f"p{number}.jpg")
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as made:
        made.add(elsewhere)
        yield made


@pytest.mark.parametrize(
    ("species", "near"), [("Malard", "Mallard"), ("Backgroundd", "Background"), ("Mallard", None), ("Sunset", None)]
)
def test_a_new_label_that_is_spelled_nearly_as_a_known_one_is_told(
    index: Index, species: str, near: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = number(index, "Wren/0.jpg"), number(index, "Wren/1.jpg")
    index.label({first: "Background"})
    caplog.clear()
    index.label({second: species})
    assert index.photo(second).label == species
    told = f"{species} is in no list of birds, and no photo was labelled so: did you mean {near}?"
    assert [told in text for text in caplog.messages] == ([True] if near else [])
    caplog.clear()
    index.label({first: species})  # it is a label of this index now
    assert not caplog.messages


def number(index: Index, name: str) -> int:
    """The id of a photo by the end of its path."""
    return next(photo.id or 0 for photo in index.photos() if photo.path.endswith(name))


def label(index: Index, name: str) -> str | None:
    """The label of a photo by the end of its path."""
    return index.photo(number(index, name)).label


def by_hand(index: Index) -> dict[str, tuple[str, str | None, str | None]]:
    """Sha256 -> species, author and time of every correction."""
    labels = [one for one in index.labels() if one.source == "correction"]
    return {index.photo(one.photo_id).sha256 or "": (one.species, one.author, one.created_at) for one in labels}


def table(path: Path, text: str) -> Path:
    """Write a CSV."""
    path.write_text(text, encoding="utf-8")
    return path


def printed(index: Index, path: Path, *command: str) -> Path:
    """What a command prints with --csv, in a file."""
    return table(path, run(*command, "--csv", "--index", index.path).out)


def edited(path: Path, column: str, value: str, lines: int = 99) -> Path:
    """Write a value into a column of the first lines of a CSV."""
    rows = list(DictReader(path.read_text(encoding="utf-8").splitlines()))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, column: value} if n < lines else row for n, row in enumerate(rows))
    return path


# Given by hand


def test_corrections_count_above_folders_and_are_kept(index: Index, photos: Path) -> None:
    assert index.label({1: "Dunnock", 2: f" {index.photo(2).label} "}, author="Jane") == LabelReport(1, 1)
    index.add(photos)
    index.add(photos, labels="folder")
    assert index.photo(1).label == "Dunnock"
    index.add(photos, labels="none")
    assert [(one.photo_id, one.source, one.author) for one in index.labels()] == [
        (1, "correction", "Jane"), (2, "correction", "Jane")]  # fmt: skip
    index.add(photos, labels="folder")
    assert index.label({1: None}) == LabelReport(changed=1)
    assert index.photo(1).label == Path(index.photo(1).path).parent.name
    with pytest.raises(PhotoUnknownError):
        index.label({99: "Wren"})
    with pytest.raises(ValueError, match="empty label"):
        index.label({1: "  "})
    assert index.verify().ok


def test_labels_say_who_and_when(index: Index) -> None:
    index.label({number(index, "Wren/0.jpg"): "Dunnock"}, author="Ana")
    first, *others = index.labels(Filter(label=("Dunnock", "Wren")))
    assert (first.species, first.source, first.author) == ("Dunnock", "correction", "Ana")
    assert (first.created_at or "").endswith("+00:00")
    assert [(one.species, one.source, one.author, one.created_at) for one in others] == [
        ("Wren", "folder", None, None)]  # fmt: skip


def test_a_folder_without_labels_leaves_corrections(index: Index, photos: Path) -> None:
    index.label({1: "Dunnock"})
    index.add(photos, labels="none")
    assert [one.species for one in index.labels()] == ["Dunnock"]


# From a CSV


def test_a_csv_of_ones_own(index: Index, tmp_path: Path, photos: Path) -> None:
    text = f"path,species,sha256\n{photos}/Wren/0.jpg,Dunnock,\n,Linnet,{index.photo(2).sha256}\nphotos/Robin/2.jpg,,\n"
    assert index.label_from(table(tmp_path / "a.csv", text), author="Ana") == LabelReport(changed=2, unchanged=1)
    assert (label(index, "Wren/0.jpg"), index.photo(2).label) == ("Dunnock", "Linnet")
    with pytest.raises(InputFileError, match="no column path"):
        index.label_from(table(tmp_path / "b.csv", "species\nWren\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,species\n1,Wren\n", "line 2: of which index is 1 the id"),
        ("id,index_id,species\n1,0123,Wren\n", "line 2: 1 is a photo of another index"),
        ("path,species\nnowhere.jpg,Wren\n", r"line 2: the index holds no such photo \(nowhere.jpg\)"),
        ("path,id,species\n{path},2,Wren\n", "line 2: .* is photo 1 of this index, not 2"),
        ("id,index_id,species\n77,{index},Wren\n", r"line 2: the index holds no such photo \(77\)"),
        ("path,species\n{path},Wren\n{path},Kite\n", "lines 2 and 3: .* is Wren and Kite. Leave one"),
        ("path,sha256,species\n{path},,Wren\n,{sha256},Kite\n", "lines 2 and 3: .* is Wren and Kite"),
        ("path,species,confirmed\n{path},,perhaps\n", "confirmed is 'perhaps'"),
        ("path,species,created_at\n{path},Kite,yesterday\n", "created_at is 'yesterday'"),
        ("sha256,species\n0123,Wren\n", "the index holds none of its photos"),
    ],
)
def test_a_line_that_cannot_be_used_changes_nothing(index: Index, tmp_path: Path, text: str, words: str) -> None:
    photo = index.photo(1)
    values = {"path": photo.path, "sha256": photo.sha256, "index": index.provenance.index_id}
    before = index.labels()
    with pytest.raises(InputFileError, match=words):
        index.label_from(table(tmp_path / "a.csv", text.format(**values)))
    assert index.labels() == before


def test_photos_whose_file_is_away_may_be_corrected(index: Index, photos: Path, tmp_path: Path) -> None:
    content = (photos / "Wren/0.jpg").read_bytes()
    (photos / "Wren/0.jpg").unlink()
    assert index.add(photos).missing == 1
    report = index.label_from(table(tmp_path / "a.csv", f"path,species\n{photos}/Wren/0.jpg,Dipper\n"))
    assert report.changed == 1
    assert "Dipper" in {one.species for one in index.labels()}
    (photos / "Wren/0.jpg").write_bytes(content)
    index.add(photos)
    assert label(index, "Wren/0.jpg") == "Dipper"


@pytest.mark.parametrize("command", [("photos",), ("label", "--list")])
def test_what_is_fed_back_as_it_is_pins_nothing(
    index: Index, photos: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert index.label_from(printed(index, tmp_path / "a.csv", *command)) == LabelReport(unchanged=4)
    assert {one.source for one in index.labels()} == {"folder"}
    (photos / "Wren").rename(photos / "Kite")
    index.add(photos)
    assert label(index, "Kite/0.jpg") == "Kite"


def test_the_export_as_csv_is_fed_back_in_the_same_way(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "a.csv", format="csv")
    assert index.label_from(tmp_path / "a.csv") == LabelReport(unchanged=4)
    edited(tmp_path / "a.csv", "species", "Kite", lines=1)
    assert index.label_from(tmp_path / "a.csv") == LabelReport(changed=1, unchanged=3)


def test_an_old_list_does_not_take_back_what_was_corrected_since(index: Index, tmp_path: Path) -> None:
    listed = printed(index, tmp_path / "a.csv", "photos")
    index.label({1: "Kite"}, author="Ana")
    assert index.label_from(listed) == LabelReport(unchanged=4)
    assert index.photo(1).label == "Kite"


def test_what_a_network_predicts_is_confirmed_only_in_words(index: Index, tmp_path: Path) -> None:
    guess = "sha256,species,species_source,label,prediction,confirmed\n{},Kite,prediction,,Kite,{}\n"
    sha256 = index.photo(1).sha256
    assert index.label_from(table(tmp_path / "a.csv", guess.format(sha256, ""))) == LabelReport(unchanged=1)
    assert index.label_from(table(tmp_path / "a.csv", guess.format(sha256, "yes"))) == LabelReport(changed=1)
    index.label({1: None})
    index.add(tmp_path / "photos", labels=str(table(tmp_path / "a.csv", guess.format(sha256, ""))))
    assert index.photo(1).label is None


def test_confirmed_changed_and_as_they_were_are_counted(index: Index, tmp_path: Path) -> None:
    listed = edited(printed(index, tmp_path / "a.csv", "photos"), "species", "Kite", lines=1)
    rows = listed.read_text(encoding="utf-8").splitlines()
    table(
        listed, "\n".join([f"{rows[0]},confirmed", f"{rows[1]},", f"{rows[2]},yes", *(f"{row},no" for row in rows[3:])])
    )
    answer = run("label", "--from", listed, "--author", "Ana", "--index", index.path)
    assert answer.out == "1 label changed, 1 confirmed, 2 as they were\n"
    assert sorted(author or "" for _, author, _ in by_hand(index).values()) == ["Ana", "Ana"]


def test_a_confirmation_stays_when_the_folder_changes(index: Index, photos: Path, tmp_path: Path) -> None:
    edited(printed(index, tmp_path / "a.csv", "photos"), "species", "", lines=1)
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    table(tmp_path / "b.csv", f"sha256,label,species,confirmed\n{index.photo(1).sha256},{index.photo(1).label},,yes\n")
    assert "confirmed" not in text
    assert index.label_from(tmp_path / "b.csv") == LabelReport(confirmed=1)
    index.add(photos, labels="none")
    assert [one.photo_id for one in index.labels()] == [1]


# From another index


def test_a_list_travels_to_another_index_by_bytes(index: Index, other: Index, tmp_path: Path) -> None:
    index.label({1: "Kite", 2: index.photo(2).label}, author="Ana")
    given = by_hand(index)
    answer = run("label", "--from", printed(index, tmp_path / "a.csv", "label", "--list"), "--author", "me",
                 "--index", other.path)  # fmt: skip
    assert answer.out == "2 labels changed, 2 as they were\n"
    assert by_hand(other) == given
    assert len(other.labels()) == 2
    again = run("label", "--from", tmp_path / "a.csv", "--index", other.path)
    assert again.out == "0 labels changed, 4 as they were\n"


def test_the_later_of_two_corrections_counts(index: Index, other: Index, tmp_path: Path) -> None:
    said = "sha256,species,source,author,created_at\n{},{},correction,Ana,{}\n"
    sha256 = index.photo(1).sha256
    for time, report, species in (
        ("2024-05-01T06:00:00+00:00", LabelReport(changed=1), "Kite"),
        ("2024-05-01T07:30:00+02:00", LabelReport(older=1), "Kite"),
        ("2024-05-01T06:30:00", LabelReport(changed=1), "Kite 2024-05-01T06:30:00"),
        ("", LabelReport(older=1), "Kite 2024-05-01T06:30:00"),
    ):
        name = f"Kite {time}".strip() if other.labels() else "Kite"
        assert other.label_from(table(tmp_path / "a.csv", said.format(sha256, name, time))) == report
        assert by_hand(other)[sha256 or ""][0] == species


def test_what_is_edited_in_a_list_is_of_the_one_who_edits(index: Index, other: Index, tmp_path: Path) -> None:
    index.label({1: "Kite"}, author="Ana")
    listed = edited(printed(index, tmp_path / "a.csv", "label", "--list"), "species", "Dunnock", lines=1)
    assert other.label_from(listed, author="Ben").changed == 1
    ((species, author, _),) = by_hand(other).values()
    assert (species, author) == ("Dunnock", "Ben")


def test_an_id_of_another_index_means_nothing(index: Index, other: Index, tmp_path: Path) -> None:
    other.label({1: "Kite"})  # a photo that `index` lacks
    listed = printed(other, tmp_path / "a.csv", "label", "--list")
    answer = run("label", "--from", listed, "--index", index.path, code=1)
    assert "the index holds none of its photos" in answer.err
    assert by_hand(index) == {}
    other.label({number(other, "p3.jpg"): "Dunnock"})
    answer = run("label", "--from", printed(other, listed, "label", "--list"), "--index", index.path)
    assert answer.out == "1 label changed, 1 of photos that are not in this index\n"
    assert label(index, "Wren/0.jpg") == "Dunnock"


def test_of_copies_the_one_in_its_place_is_meant(index: Index, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "Wren/0.jpg", photos / "Robin/copy.jpg")
    index.add(photos)
    listed = printed(index, tmp_path / "a.csv", "photos")
    assert index.label_from(listed) == LabelReport(unchanged=5)
    index.label({number(index, "copy.jpg"): "Kite"})
    listed = printed(index, tmp_path / "b.csv", "label", "--list")
    for photo in index.photos():
        index.label({photo.id or 0: None})
    with birdsearch.create(tmp_path / "third", backbone=FakeBackbone()) as third:
        third.add(shutil.copytree(photos, tmp_path / "third place"))
        assert third.label_from(listed).changed == 1
        assert label(third, "copy.jpg") == "Kite"
        assert label(third, "Wren/0.jpg") is None


def test_ones_own_photo_may_have_been_edited_since(index: Index, photos: Path, tmp_path: Path) -> None:
    listed = edited(printed(index, tmp_path / "a.csv", "photos"), "species", "Kite")
    write(photos / "Wren/0.jpg", bird(30, 80, 60))
    assert index.add(photos).changed == 1
    assert index.label_from(listed).changed == 4
    assert label(index, "Wren/0.jpg") == "Kite"


def test_index_takes_labels_by_bytes(index: Index, tmp_path: Path, photos: Path) -> None:
    listed = printed(index, tmp_path / "a.csv", "photos")
    with birdsearch.create(tmp_path / "third", backbone=FakeBackbone()) as third:
        elsewhere = tmp_path / "third place"
        elsewhere.mkdir()
        shutil.copy(photos / "Wren/0.jpg", elsewhere / "x.jpg")
        shutil.copy(photos / "Robin/2.jpg", elsewhere / "y.jpg")
        third.add(elsewhere, labels=str(listed))
        assert (label(third, "x.jpg"), label(third, "y.jpg")) == ("Wren", "Robin")
        (elsewhere / "x.jpg").rename(elsewhere / "z.jpg")
        third.add(elsewhere)
        assert label(third, "z.jpg") == "Wren"


# Taken back


def all_labels(index: Index) -> list[Label]:
    """Every label, and what lies beneath corrections."""
    with closing(Store.open(index.path)) as store:
        known = list(store.catalog.folder_labels([b"/"]))
    beneath = (Label(one.photo_id, one.label.species, one.label.source) for one in known if one.label is not None)
    return [*index.labels(), *beneath]


def test_labels_are_restored_as_they_were(index: Index, photos: Path, tmp_path: Path) -> None:
    named = table(tmp_path / "l.csv", f"path,species\n{photos}/Wren/1.jpg,Dunnock\n")
    index.add(photos / "Wren", labels=str(named))
    first, second, third = (number(index, name) for name in ("Wren/0.jpg", "Wren/1.jpg", "Robin/2.jpg"))
    index.label({third: "Kite"}, author="Ana")
    before = all_labels(index)
    assert (index.photo(first).label, index.photo(second).label) == (None, "Dunnock")
    for new in ({first: "Owl", second: "Owl", third: "Owl"}, {second: "Dunnock", third: None}):
        report = index.label(new, author="Ben")
        after = all_labels(index)
        assert after != before
        assert set(report.before) == set(new)
        back = index.restore_labels(report)
        assert all_labels(index) == before
        assert back.changed == report.changed
        index.restore_labels(back)
        assert all_labels(index) == after
        index.restore_labels(report)
        assert all_labels(index) == before
    assert report.before[second] == Label(second, "Dunnock", "csv")
    assert index.verify().ok


def test_only_what_was_replaced_is_restored(index: Index, tmp_path: Path) -> None:
    assert index.label({1: None}).before == {}
    report = index.label_from(table(tmp_path / "a.csv", f"path,species\n{index.photo(1).path},Owl\n"))
    assert list(report.before) == [1]
    index.label({2: "Kite"})
    index.remove(Filter(ids=[1]))
    generation = index.generation
    assert index.restore_labels(report) == LabelReport(unknown=1)
    assert index.photo(2).label == "Kite"
    assert index.restore_labels(LabelReport()) == LabelReport()
    assert index.generation == generation


def test_what_was_said_of_a_copy_that_is_gone_is_restored_too(index: Index, photos: Path) -> None:
    shutil.copy(photos / "Wren/0.jpg", photos / "Robin/copy.jpg")
    index.add(photos)
    first, copy = number(index, "Wren/0.jpg"), number(index, "copy.jpg")
    index.label({copy: "Kite"}, author="Ana")
    index.remove(Filter(ids=[copy]))
    index.restore_labels(index.label({first: "Owl"}))
    index.add(photos)
    assert (label(index, "Wren/0.jpg"), label(index, "copy.jpg")) == ("Wren", "Kite")


def test_a_pair_of_different_pictures_is_taken_back(index: Index, photos: Path) -> None:
    def pair(a: int, b: int) -> tuple[int, int]:
        return min(a, b), max(a, b)

    shutil.copy(photos / "Wren/0.jpg", photos / "Robin/copy.jpg")
    index.add(photos)
    first, copy, other = (number(index, name) for name in ("Wren/0.jpg", "copy.jpg", "Robin/2.jpg"))
    index.not_duplicates(other, first)
    index.not_duplicates(copy, first)
    assert index.pairs_kept_apart() == sorted([pair(first, other), pair(first, copy)])
    index.duplicates_again(first, copy)
    assert index.pairs_kept_apart() == [pair(first, other)]
    index.remove(Filter(ids=[first]))  # the pair holds for the copy now, by the bytes
    assert index.pairs_kept_apart() == [pair(copy, other)]
    for _ in range(2):
        index.duplicates_again(copy, other)
    index.add(photos)
    assert index.pairs_kept_apart() == []
    with pytest.raises(PhotoUnknownError):
        index.duplicates_again(copy, 99)


# Photos go and come back


@pytest.mark.parametrize("how", ["remove", "prune"])
def test_what_was_said_returns_with_the_bytes(index: Index, photos: Path, how: str) -> None:
    index.label({1: "Kite", 2: index.photo(2).label}, author="Ana")
    a, b = sorted((number(index, "Wren/0.jpg"), number(index, "Robin/2.jpg")))
    index.not_duplicates(a, b)
    said, contents = by_hand(index), {path: path.read_bytes() for path in photos.rglob("*.jpg")}
    if how == "remove":
        index.remove(Filter(under=str(photos)))
    else:
        for path in contents:
            path.unlink()
        index.add(photos, prune=True)
    assert len(index) == 0
    shutil.rmtree(photos)
    (photos.parent / "again").mkdir()
    for number_, content in enumerate(contents.values()):
        (photos.parent / "again" / f"{number_}.jpg").write_bytes(content)
        index.add(photos.parent / "again")
    assert by_hand(index) == said
    assert len(index.duplicates().pairs) == 0
    assert index.verify().ok


def test_a_second_copy_gets_the_correction_too(index: Index, photos: Path) -> None:
    index.label({1: "Kite"}, author="Ana")
    path = Path(index.photo(1).path)
    content = path.read_bytes()
    index.remove(Filter(label="Kite"))
    for name in ("copy 1.jpg", "copy 2.jpg"):
        (photos / "Robin" / name).write_bytes(content)
        index.add(photos / "Robin")
    assert (label(index, "copy 1.jpg"), label(index, "copy 2.jpg")) == ("Kite", "Kite")
    index.label({number(index, "copy 1.jpg"): None})
    assert label(index, "copy 1.jpg") == "Robin"


def test_a_correction_that_was_taken_back_does_not_return(index: Index, photos: Path) -> None:
    shutil.copy(photos / "Wren/0.jpg", photos / "Robin/copy.jpg")
    index.add(photos)
    first, copy = number(index, "Wren/0.jpg"), number(index, "copy.jpg")
    index.label({first: "Kite", copy: "Kite"})
    index.remove(Filter(under=str(photos / "Robin" / "copy.jpg")))
    index.label({first: None})
    index.add(photos)
    assert label(index, "copy.jpg") == "Robin"


def test_a_pair_of_different_pictures_holds_for_the_copy_that_stays(index: Index, photos: Path) -> None:
    shutil.copy(photos / "Wren/0.jpg", photos / "Robin/copy.jpg")
    index.add(photos)
    index.not_duplicates(number(index, "Wren/0.jpg"), number(index, "Robin/2.jpg"))
    index.remove(Filter(under=str(photos / "Wren" / "0.jpg")))
    pair = sorted(number(index, name) for name in ("copy.jpg", "Robin/2.jpg"))
    with closing(Store.open(index.path)) as store:
        assert store.catalog.not_duplicates() == {tuple(pair)}


def test_a_correction_stays_when_the_file_is_edited_or_moved(index: Index, photos: Path) -> None:
    index.label({number(index, "Wren/0.jpg"): "Kite"})
    (photos / "Wren/0.jpg").rename(photos / "Robin/moved.jpg")
    assert index.add(photos).moved == 1
    assert label(index, "moved.jpg") == "Kite"
    write(photos / "Robin/moved.jpg", bird(40, 80, 60))
    assert index.add(photos).changed == 1
    assert label(index, "moved.jpg") == "Kite"


def test_what_was_said_survives_a_lost_part(index: Index, photos: Path) -> None:
    index.label({1: "Kite"}, author="Ana")
    said, photo = by_hand(index), index.photo(1)
    content = Path(photo.path).read_bytes()
    for part in (index.path / "vectors").iterdir():
        part.write_bytes(b"damaged")
    Path(photo.path).unlink()
    index.repair()
    index.add(photos, prune=True)
    Path(photo.path).write_bytes(content)
    index.add(photos)
    assert by_hand(index) == said
    assert index.verify().ok


def test_a_quotation_mark_that_swallows_lines_changes_nothing(index: Index, tmp_path: Path) -> None:
    lines = [f"{photo.path},{quote}Owl" for photo, quote in zip(index.photos(), ("", '"', "", ""), strict=True)]
    (tmp_path / "c.csv").write_text("path,species\n" + "\n".join(lines) + "\n")
    with pytest.raises(InputFileError, match="line 3: a quotation mark is opened here"):
        index.label_from(tmp_path / "c.csv")
    assert not index.photos(Filter(species="Owl"))
