"""What a person decides of groups is kept at once, holds for every report of these photos, and rules the plan."""

from pathlib import Path

import pytest

import birdsearch
from birdsearch import Index
from birdsearch.duplicates.cleanup.plan import make_plan, problems
from birdsearch.errors import IndexUnwritableError, PhotoUnknownError
from birdsearch.records import Decision, DuplicateGroup, DuplicateReport, Photo
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone

PHOTOS = {n: Photo(n, f"/birds/{n}.jpg", f"{n:x}" * 64, size=1_000) for n in range(1, 8)}


def report(*groups: tuple[int, ...], relation: str = "burst") -> DuplicateReport:
    return DuplicateReport(groups=tuple(DuplicateGroup(relation, ids[0], ids[1:], "sharpest") for ids in groups))


def planned(found: DuplicateReport, *decisions: Decision, apart: tuple[tuple[int, int], ...] = ()) -> list[str]:
    """What is done with each photo, group by group; the plan is one that can be carried out."""
    plan = make_plan(found, PHOTOS, decisions=decisions, apart=apart)
    assert list(problems(plan)) == []
    return [f"{step.do} {Path(step.path).stem}" for step in plan.steps]


@pytest.fixture
def known(index: Index, tmp_path: Path) -> Index:
    for n in range(4):
        write(tmp_path / "photos" / f"{n}.jpg", bird(n))
    index.add(tmp_path / "photos")
    return index


def test_a_decision_is_kept_and_the_last_one_counts(known: Index) -> None:
    known.decide([2, 1, 3], keep=[2], remove=[1])
    known.decide([3, 4], remove=[4])
    known.decide([1, 2, 3], keep=[1], remove=[3, 2])
    with birdsearch.open(known.path, backbone=FakeBackbone()) as again:
        assert again.decisions() == (Decision((1, 2, 3), (1,), (2, 3)), Decision((3, 4), (), (4,)))
        again.decide([1, 2, 3])
        assert again.decisions() == (Decision((3, 4), (), (4,)),)
    assert known.verify().ok


def test_what_cannot_be_decided_is_refused_in_words(known: Index) -> None:
    with pytest.raises(ValueError, match="photo 4 is not in the group of 1, 2"):
        known.decide([1, 2], keep=[4])
    with pytest.raises(ValueError, match="photo 1 cannot be both"):
        known.decide([1, 2], keep=[1], remove=[1])
    with pytest.raises(ValueError, match="two photos"):
        known.decide([1])
    with pytest.raises(PhotoUnknownError):
        known.decide([1, 99], keep=[1])
    assert known.decisions() == ()


def test_a_torn_line_costs_itself_alone(known: Index, caplog: pytest.LogCaptureFixture) -> None:
    known.decide([1, 2], keep=[1])
    file = known.path / "decisions.jsonl"
    file.write_bytes(file.read_bytes() + b'{"photos": [3, 4], "ke')
    known.decide([2, 3], keep=[3])
    assert [one.photos for one in known.decisions()] == [(1, 2), (2, 3)]
    assert "line 2 cannot be read" in caplog.text


def test_a_full_disk_refuses_a_decision_in_words(known: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    known.decide([1, 2], keep=[1])
    monkeypatch.setattr("birdsearch.duplicates.decisions.os.write", lambda *_: 3)
    with pytest.raises(IndexUnwritableError, match=r"decisions\.jsonl"):
        known.decide([1, 2], keep=[2])
    monkeypatch.undo()
    assert known.decisions() == (Decision((1, 2), (1,), ()),)


def test_the_plan_does_what_was_decided_and_no_more() -> None:
    found = report((1, 2, 3), (4, 5))
    assert planned(found) == ["skip 1", "skip 2", "skip 3", "skip 4", "skip 5"]
    assert planned(found, Decision((1, 2, 3), (2,), (1,))) == ["remove 1", "keep 2", "skip 3", "skip 4", "skip 5"]
    assert planned(report((1, 2, 4)), Decision((1, 2, 3), (2,), (1,))) == ["skip 1", "skip 2", "skip 4"]


def test_nothing_goes_where_nothing_would_be_kept() -> None:
    assert planned(report((1, 2)), Decision((1, 2), (), (1, 2))) == ["skip 1", "skip 2"]
    two = report((1, 2), (1, 3))
    assert planned(two, Decision((1, 2), (1,), (2,)), Decision((1, 3), (3,), (1,))) == [
        "keep 1", "remove 2", "skip 1", "keep 3",
    ]  # fmt: skip


def test_a_decision_outdoes_the_proposal_and_pairs_kept_apart_stay() -> None:
    copies = report((1, 2, 3), relation="pixels")
    assert planned(copies) == ["keep 1", "remove 2", "remove 3"]
    assert planned(copies, Decision((1, 2, 3), (1, 3), ())) == ["keep 1", "skip 2", "keep 3"]
    assert planned(copies, apart=((1, 3),)) == ["keep 1", "remove 2", "skip 3"]
    assert planned(copies, Decision((1, 2, 3), (1,), (3,)), apart=((1, 3),)) == ["keep 1", "skip 2", "remove 3"]


def test_a_protected_photo_stays_whatever_was_decided() -> None:
    group = DuplicateGroup("variant", 1, (2,), "larger", protected=(2,))
    plan = make_plan(DuplicateReport(groups=(group,)), PHOTOS, decisions=[Decision((1, 2), (1,), (2,))])
    assert "remove" not in {step.do for step in plan.steps}


def test_photos_that_have_left_the_index_are_left_out() -> None:
    left = {n: photo for n, photo in PHOTOS.items() if n != 1}
    found = report((1, 2, 3), (4, 1, 5), relation="pixels")
    plan = make_plan(found, left, decisions=[Decision((1, 2, 3), (2,), (3,))])
    assert [(Path(step.path).stem, step.do) for step in plan.steps] == [
        ("2", "skip"), ("3", "skip"), ("4", "keep"), ("5", "remove"),
    ]  # fmt: skip


def test_what_was_decided_is_carried_out_and_taken_back(index: Index, tmp_path: Path) -> None:
    copies = [write(tmp_path / "photos" / f"{n}.png", bird(1)) for n in range(3)]
    index.add(tmp_path / "photos")
    found = index.duplicates()
    index.decide([1, 2, 3], keep=[3], remove=[1])
    everything = index.plan(found, decisions=())
    assert [step.do for step in everything.steps] == ["keep", "remove", "remove"]
    done = index.apply(index.plan(found), "trash")
    assert done.done == 1
    assert [path.exists() for path in copies] == [False, True, True]
    assert index.undo().done == 1
    assert all(path.exists() for path in copies)
