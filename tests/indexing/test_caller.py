"""Who waits for a run may end it, and may change the index between its commits: what was said then stays."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Cancelled, Filter, Index, attended
from birdsearch.indexing import caller, committer, embedder
from birdsearch.photos import overlap, scan
from birdsearch.records import Pixels, Vectors
from tests.support import boxed
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_worker import MIRRORED, backbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos of two species."""
    for seed in range(6):
        write(tmp_path / "photos" / ("Wren" if seed < 3 else "Robin") / f"{seed}.jpg", bird(seed, 80, 60))
    return tmp_path / "photos"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits of two photos; the caller may change the index at every photo."""
    monkeypatch.setattr(embedder, "NETWORK_BATCH", 1)
    monkeypatch.setattr(committer, "COMMIT_PHOTOS", 2)
    monkeypatch.setattr(caller, "LET_IN_SECONDS", -1)


def once(change: Callable[[], object]) -> Callable[[], None]:
    """A function that does this at its first call."""
    left = [change]

    def called() -> None:
        if left:
            left.pop()()

    return called


def change_all(photos: Path) -> None:
    """Other pictures under the old names."""
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        write(path, bird(100 + number, 90, 60))


def id_of(index: Index, name: str) -> int:
    return next(photo.id for photo in index.photos() if photo.path.endswith(name) and photo.id is not None)


@pytest.mark.usefixtures("often")
def test_what_a_person_says_between_commits_stays(photos: Path, index: Index, tmp_path: Path) -> None:
    index.add(photos, labels="folder")
    wren, other, gone = (id_of(index, f"{number}.jpg") for number in (1, 2, 5))
    change_all(photos)
    write(photos / "P1" / "6.jpg", bird(6, 80, 60))
    names = tmp_path / "names.csv"
    names.write_text("name,species\nP1,Dunnock\n")

    def speak() -> None:
        assert index.label({wren: "Siskin"}, author="Ana").changed == 1
        index.not_duplicates(wren, other)
        assert index.remove(Filter(ids=[gone])) == 1
        assert index.set_names(names) == 1
        assert index.photo(wren).species == "Siskin"

    report = index.add(photos, labels="folder", between_commits=once(speak))
    assert report.added == 1
    assert [(label.species, label.author) for label in index.labels(Filter(ids=[wren]))] == [("Siskin", "Ana")]
    assert index.photo(id_of(index, "6.jpg")).label == "P1"  # the name means a bird since
    assert index.duplicates().counts["photos"] == 6
    assert [Path(photo.path).name for photo in index.photos()] == ["3.jpg", "4.jpg", "0.jpg", "1.jpg", "2.jpg", "6.jpg"]
    assert index.verify().problems == ()
    with pytest.raises(birdsearch.BirdsearchError, match="no photo"):
        index.photo(gone)
    assert index.add(photos).added == 1  # its file is still there
    assert index.verify().ok


@pytest.mark.usefixtures("often")
def test_a_photo_that_moved_and_is_removed_between_commits_is_gone(photos: Path, index: Index) -> None:
    index.add(photos, labels="folder")
    ids = [photo.id for photo in index.photos() if photo.id is not None]
    (photos / "Wren").rename(photos / "Dunnock")

    met: list[str] = []

    def remove_wrens() -> None:
        if met:
            index.remove(Filter(ids=ids[3:]))

    def meet(stage: str, done: int, total: int | None, path: str) -> None:
        met.extend([path] if done == 2 else [])

    report = index.add(photos, labels="folder", progress=meet, between_commits=remove_wrens)
    assert (report.moved, report.added) == (2, 1)  # the third came after its photo was removed
    assert len(index) == 4
    assert index.verify().problems == ()


@pytest.mark.usefixtures("often")
def test_photos_and_their_boxes_that_are_removed_between_commits_are_gone(tmp_path: Path) -> None:
    with boxed.index_of(tmp_path) as index:
        seen: list[int] = []

        def remove_one() -> None:
            found = [photo.id for photo in index.photos() if photo.id is not None]
            if len(found) > 1:
                seen.append(found[-1])
                index.remove(Filter(ids=[found[-1]]))

        boxed.add_boxes(index, tmp_path, *boxed.everywhere(tmp_path), between_commits=remove_one)
        assert seen
        assert not {photo.id for photo in index.photos()} & set(seen)
        assert index.verify().problems == ()


@pytest.mark.usefixtures("often")
def test_a_reembed_lets_changes_in(photos: Path, tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "made", backbone=backbone()) as index:
        index.add(photos, labels="folder")
        wren, gone = id_of(index, "1.jpg"), id_of(index, "5.jpg")

        def speak() -> None:
            index.label({wren: "Siskin"})
            index.remove(Filter(ids=[gone]))

        index.reembed(backbone(recipe=MIRRORED), between_commits=once(speak))
        assert index.photo(wren).label == "Siskin"
        assert len(index) == 5
        assert index.verify().problems == ()


def test_long_work_between_commits_is_refused(photos: Path, index: Index) -> None:
    def add_again() -> None:
        index.add(photos)

    with pytest.raises(ValueError, match="between the commits of a run"):
        index.add(photos, between_commits=add_again)
    assert index.verify().ok
    index.label({1: "Wren"})  # the lock is free again


def test_a_network_that_takes_long_does_not_hold_the_caller_up(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attended, "TICK", 0.01)
    monkeypatch.setattr(embedder, "NETWORK_BATCH", 2)
    go, real = threading.Event(), fake.embed

    def slow(images: Pixels) -> Vectors:
        if fake.calls == 2:
            go.wait(60)
        return real(images)

    def stop(stage: str, done: int, total: int | None, path: str) -> None:
        if fake.calls == 2 and done == 5:
            raise Cancelled

    monkeypatch.setattr(fake, "embed", slow)
    with pytest.raises(Cancelled):
        index.add(photos, progress=stop)
    go.set()
    assert len(index) == 4
    assert index.add(photos).added == 2
    assert index.verify().ok


def test_while_a_file_does_not_answer_the_index_can_be_changed_and_the_run_ended(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(photos / "Robin")
    back, real = threading.Event(), scan.read_up_to

    def hanging(*given: object) -> bytes:
        back.wait(60)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(scan, "read_up_to", hanging)
    monkeypatch.setattr(caller, "LET_IN_SECONDS", 0.01)
    monkeypatch.setattr(overlap, "IDLE_SECONDS", 0.01)

    def speak() -> None:
        index.label({1: "Siskin"})
        back.set()

    assert index.add(photos, between_commits=speak).added == 3
    assert index.photo(1).label == "Siskin"
    back.clear()
    write(photos / "Wren" / "new.jpg", bird(9, 80, 60))

    def stop(stage: str, done: int, total: int | None, path: str) -> None:
        if stage == "index":
            raise Cancelled

    with pytest.raises(Cancelled):
        index.add(photos, progress=stop)
    back.set()
    assert index.add(photos).added == 1
    assert index.verify().ok
