"""Reports of duplicates are found again by their id, in this process and in others, and given page by page."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdsearch import DuplicateGroup, DuplicateReport, Filter, Index, Member, Pair
from birdsearch.duplicates import reports
from birdsearch.duplicates.reports import Reports
from birdsearch.errors import ReportUnknownError
from tests.support import photo_library
from tests.support.photo_library import Library


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three photos with a copy of each."""
    return photo_library.small(tmp_path)


@pytest.fixture
def index(library: Library) -> Iterator[Index]:
    with library.open() as opened:
        yield opened


def found(index: Index) -> DuplicateReport:
    return index.duplicates(relations=("identical",))


def test_a_report_is_found_by_its_id_tomorrow_too(index: Index, library: Library) -> None:
    first, report = found(index), found(index)
    assert first.id == report.id != ""  # they say the same
    assert index.duplicate_report(report.id) is index.duplicate_report(report.id)
    with library.open() as tomorrow:
        again = tomorrow.duplicate_report(report.id)
        assert (again, again.id) == (report, report.id)
        assert [(kept.id, kept.generation, kept.counts) for kept in tomorrow.duplicate_reports()] == [
            (report.id, index.generation, report.counts)
        ]
        assert len(tomorrow.plan(again).steps) == 6


def test_what_shows_that_two_photos_are_the_same_is_kept_as_it_is(library: Library) -> None:
    evidence = {
        "hash_distance": 3,
        "agreement": 0.97,
        "matrix": (1.0, 0.0, 0.5, 0.0, 1.0, 0.25),
        "more_in_a": ("a film",),
    }
    report = DuplicateReport(
        (Pair(1, 2, "variant", 0.9, evidence), Pair(3, 4, "burst", None)),
        (DuplicateGroup("variant", 1, (2,), "larger \udcff", ("variant",), ("smaller",), (2,)),),
        {"photos": 4},
        2.5,
        (5, 6),
    )
    report_id = Reports(library.store()).keep(report, 7).id
    assert Reports(library.store()).get(report_id) == report


def test_groups_come_page_by_page_with_their_photos(index: Index) -> None:
    report, after = found(index), None
    seen: list[tuple[Member, ...]] = []
    while True:
        page = index.duplicate_groups(report.id, after=after, limit=2)
        assert page.total == 3
        seen += page.groups
        if (after := page.next) is None:
            break
    assert [[member.photo.id for member in group] for group in seen] == [
        [group.keep, *group.others] for group in report.groups
    ]
    assert [group[0].group for group in seen] == [1, 2, 3]
    assert [[member.do for member in group] for group in seen] == 3 * [["keep", "remove"]]
    assert all(group[1].photo.path and group[1].pair is not None for group in seen)
    assert index.duplicate_groups(report.id, "identical").groups == tuple(seen)
    assert index.duplicate_groups(report.id, "burst").groups == ()
    assert index.duplicate_groups(report.id, after=99).groups == ()


def test_a_page_shows_what_was_decided(index: Index) -> None:
    report = found(index)
    first = report.groups[0]
    index.decide([first.keep, *first.others], keep=first.others, remove=[first.keep])
    page = index.duplicate_groups(report.id, limit=1)
    assert [member.do for member in page.groups[0]] == ["remove", "keep"]


def test_what_another_page_keeps_is_not_removed_on_this_one(library: Library) -> None:
    kept_elsewhere = DuplicateReport(
        groups=(
            DuplicateGroup("identical", 1, (2,), "", ("identical",)),
            DuplicateGroup("identical", 2, (3,), "", ("identical",)),
        )
    )
    kept = Reports(library.store())
    page = kept.page(kept.keep(kept_elsewhere, 1).id, None, None, 1)
    assert [(member.do, member.stays) for member in page.groups[0]] == [("keep", ""), ("skip", "kept in group 2")]


def test_photos_that_left_the_index_are_left_out_and_told_when_none_is_left(index: Index) -> None:
    report = found(index)
    gone = report.groups[1]
    index.remove(Filter(ids=[gone.keep, *gone.others]))
    assert [group[0].group for group in index.duplicate_groups(report.id).groups] == [1, 3]
    assert len(index.plan(index.duplicate_report(report.id)).steps) == 4
    index.remove(everything=True)
    with pytest.raises(ReportUnknownError, match=f"all photos of the report of duplicates '{report.id}' have left"):
        index.duplicate_groups(report.id)


@pytest.mark.parametrize("report_id", ["", "0123456789abcdef", "../../etc/passwd", "*", "\udcff"])
def test_an_unknown_id_is_answered_in_words(index: Index, report_id: str) -> None:
    found(index)
    with pytest.raises(ReportUnknownError, match=r"there is no report of duplicates .* of this index"):
        index.duplicate_report(report_id)
    with pytest.raises(KeyError):
        index.duplicate_groups(report_id)


def test_a_file_that_says_something_else_is_no_report(index: Index, library: Library, cache: Path) -> None:
    report = found(index)
    (file,) = cache.glob("duplicates-*")
    about, body = gzip.decompress(file.read_bytes()).decode().splitlines()
    swapped = body.replace(f"[{report.groups[0].keep},", f"[{report.groups[1].keep},")
    assert swapped != body
    for data in (
        gzip.compress(f"{about}\n{swapped}\n".encode()),
        file.read_bytes()[:-20],
        b"x",
        gzip.compress(b"[]\n"),
    ):
        file.write_bytes(data)
        with library.open() as tomorrow, pytest.raises(ReportUnknownError):
            tomorrow.duplicate_report(report.id)
        assert index.duplicate_report(report.id) == report  # from memory


def test_without_a_cache_reports_are_kept_in_memory(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "file"))
    report = found(index)
    assert index.duplicate_report(report.id) == report
    assert [kept.id for kept in index.duplicate_reports()] == [report.id]


def test_only_the_last_reports_are_kept_and_a_split_makes_none(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "KEPT", 2)
    monkeypatch.setattr(reports, "IN_MEMORY", 1)
    ids = [index.duplicates(relations=chosen).id for chosen in (("identical",), ("burst",), ())]
    index.split()
    assert len(list(cache.glob("duplicates-*"))) == 2
    assert [kept.id for kept in index.duplicate_reports()] == ids[:0:-1]
    with pytest.raises(ReportUnknownError):
        index.duplicate_report(ids[0])
    assert index.duplicate_report(ids[1]).groups == ()


def test_what_cannot_be_a_page_is_refused(index: Index) -> None:
    report = found(index)
    with pytest.raises(ValueError, match="no relation 'same'"):
        index.duplicate_groups(report.id, "same")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        index.duplicate_groups(report.id, limit=0)
