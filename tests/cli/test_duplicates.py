"""The commands dedupe and undo: what they ask of the index, and how they show what it says."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import birdsearch
from birdsearch.index import Index
from birdsearch.records import (
    RELATIONS,
    Decision,
    DuplicateGroup,
    DuplicateReport,
    Filter,
    Pair,
    Photo,
    TrashedRun,
    as_json,
)
from tests.conftest import Garden
from tests.support import drawing
from tests.support.command_line import Answer, run
from tests.support.fake_backbone import FakeBackbone
from tests.support.index_stub import IndexStub, garden
from tests.support.object_store import Bucket

__all__ = ["garden"]  # a fixture


@dataclass(frozen=True)
class Done:
    """What an apply or an undo may say."""

    run: str | None = "20260501-083000"
    done: int = 2
    skipped: tuple[tuple[str, str], ...] = ()
    bytes: int = 3_400_000
    seconds: float = 0.4
    failed: int = 0
    as_told: tuple[str, ...] = ()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    answers: dict[str, Any] = {
        "duplicates": DuplicateReport(counts={"photos": 6}),
        "plan": None,
        "apply": Done(),
        "undo": Done(),
        "runs": [],
        "trash": [],
        "empty_trash": Done(run=None),
        "not_duplicates": None,
        "duplicates_again": None,
        "pairs_kept_apart": [(1, 3)],
        "decisions": (),
    }
    return IndexStub(monkeypatch, answers)


def dedupe(garden: Garden, *arguments: object, code: int = 0) -> Answer:
    return run("dedupe", "--index", garden.index, *arguments, code=code)


def duplicate_report() -> DuplicateReport:
    """A variant group of three (one protected), an identical one and a burst; ids are those of the garden."""
    groups = (
        DuplicateGroup(
            "variant", 1, (2, 3), "resolution: 24 MP; 2 others have less", ("variant", "pixels"),
            ("lower resolution: 2.0 MP, not 24 MP", "protected: it stays too; older"), (3,),
        ),
        DuplicateGroup("identical", 4, (5,), "path: shorter", ("identical",), ("longer path",)),
        DuplicateGroup("burst", 6, (1,), "sharpness: the sharpest", ("burst",), ("less sharp",)),
    )  # fmt: skip
    evidence = {"hash_distance": 3, "overlap": 0.81, "agreement": 0.9, "transform": "mirrored", "matrix": (1.0,) * 6}
    pairs = (Pair(1, 2, "variant", 0.95, evidence), Pair(4, 5, "identical", 1.0))
    return DuplicateReport(pairs, groups, {"photos": 6}, 2.25)


# Reporting


def test_report_shows_groups_sums_and_the_next_command(garden: Garden, stub: IndexStub) -> None:
    stub.answers["duplicates"] = duplicate_report()
    answer = dedupe(garden, "--burst-gap", "5")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["group", "id", "do", "relation", "path", "reason"]
    assert [line.split()[:4] for line in lines[1:8]] == [
        ["1", "1", "keep", "variant"], ["1", "2", "remove", "variant"], ["1", "3", "skip", "pixels"],
        ["2", "4", "keep", "identical"], ["2", "5", "remove", "identical"],
        ["3", "6", "keep", "burst"], ["3", "1", "skip", "burst"],
    ]  # fmt: skip
    assert "2 others have less" in lines[1]
    assert any(line.startswith("identical  1 group       1 photo (") for line in lines)
    assert "2 photos to choose from" in answer.out
    assert "3 groups among 6 photos, in 2.2 s; nothing was moved" in answer.out
    assert f"birdsearch dedupe --index {garden.index} --burst-gap 5.0 --plan plan.csv" in answer.err
    again = dedupe(garden, "--html", "page.html", "--force")
    assert f"birdsearch dedupe --index {garden.index} --force --plan plan.csv" in again.err


def test_what_was_decided_of_a_group_stands_in_the_report(garden: Garden, stub: IndexStub, tmp_path: Path) -> None:
    stub.answers |= {"duplicates": duplicate_report(), "decisions": (Decision((4, 5), (5,), (4,)),)}
    rows = [line.split() for line in dedupe(garden).out.splitlines()]
    assert rows[4][:3] == ["2", "4", "remove"]
    assert rows[5][:3] == ["2", "5", "keep"]
    assert "by hand" in " ".join(rows[5])
    dedupe(garden, "--html", tmp_path / "page.html")
    assert "chosen by hand" in (tmp_path / "page.html").read_text()


def test_a_report_without_duplicates_proposes_nothing(garden: Garden, stub: IndexStub) -> None:
    answer = dedupe(garden)
    assert answer.out == "no duplicates among 6 photos\n"
    assert "Next" not in answer.err


def test_options_reach_the_index(garden: Garden, stub: IndexStub, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    dedupe(garden)
    usual = stub.last("duplicates")[1]
    assert usual["relations"] == tuple(RELATIONS)
    assert (usual["where"], usual["burst_gap"], usual["prefer"], usual["protect"]) == (None, 3.0, (), ())
    dedupe(
        garden, "--relation", "burst,identical", "--relation", "pixels", "--burst-gap", 1.5, "--prefer", "a",
        "--prefer", "b", "--protect", "b", "--policy", "resolution, oldest", "--species", "Wren",
    )  # fmt: skip
    given = stub.last("duplicates")[1]
    assert given["relations"] == ("identical", "pixels", "burst")
    assert (given["burst_gap"], given["policy"]) == (1.5, ("resolution", "oldest"))
    assert (given["prefer"], given["protect"]) == ((str(tmp_path / "a"), str(tmp_path / "b")), (str(tmp_path / "b"),))
    assert given["where"] == Filter(species=("Wren",))


def test_json_is_the_report_and_csv_has_a_row_for_each_photo(garden: Garden, stub: IndexStub) -> None:
    stub.answers["duplicates"] = duplicate_report()
    answer = dedupe(garden, "--json")
    assert answer.json == json.loads(json.dumps(as_json(stub.answers["duplicates"])))
    rows = dedupe(garden, "--csv").rows
    assert [(row["group"], row["do"], row["id"]) for row in rows] == [
        ("1", "keep", "1"), ("1", "remove", "2"), ("1", "skip", "3"), ("2", "keep", "4"), ("2", "remove", "5"),
        ("3", "keep", "6"), ("3", "skip", "1"),
    ]  # fmt: skip
    assert (rows[1]["score"], rows[1]["hash_distance"], rows[1]["transform"]) == ("0.95", "3", "mirrored")
    assert rows[1]["reason"] == "lower resolution: 2.0 MP, not 24 MP"
    assert (rows[0]["score"], rows[0]["width"], rows[0]["format"]) == ("", "320", "JPEG")
    assert Path(rows[0]["path"]).is_file()


def test_page_is_written(garden: Garden, stub: IndexStub, tmp_path: Path) -> None:
    stub.answers["duplicates"] = duplicate_report()
    answer = dedupe(garden, "--html", "groups.html", "--json")
    assert "page written to groups.html" in answer.err
    assert (tmp_path / "groups.html").read_text().count("<section") == 3
    assert answer.json["seconds"] == 2.25


def test_many_groups_are_cut_in_the_table_and_nowhere_else(garden: Garden, stub: IndexStub) -> None:
    group = DuplicateGroup("identical", 1, (2,), "older", ("identical",), ("newer",))
    stub.answers["duplicates"] = DuplicateReport((), (group,) * 60, {"photos": 6})
    answer = dedupe(garden)
    assert "Only the first 50 groups" in answer.err
    assert len([line for line in answer.out.splitlines() if " keep " in line]) == 50
    assert "60 groups" in answer.out
    assert len(dedupe(garden, "--csv").rows) == 120


def test_the_photos_of_a_report_are_fetched_in_one_call(
    garden: Garden, stub: IndexStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[list[int]] = []
    photos = Index.photos

    def counted(self: Index, where: Filter | None = None, *, ids: Iterable[int] | None = None) -> list[Photo]:
        fetched.append(list(ids or ()))
        return photos(self, where, ids=ids)

    monkeypatch.setattr(Index, "photos", counted)
    stub.answers["duplicates"] = duplicate_report()
    assert len(dedupe(garden, "--csv").rows) == 7
    assert fetched == [[1, 2, 3, 4, 5, 6]]


# Usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--relation", "same"], "identical, pixels, variant, burst"),
        (["--policy", "biggest"], "safe, protected, original"),
        (["--burst-gap", "nan"], "not between"),
        (["--burst-gap", "-1"], "not between"),
        (["--prefer", "nowhere"], "does not exist"),
        (["--protect", "nowhere"], "does not exist"),
        (["--against", "my card"], "birdsearch new 'my card' --index"),
        (["--apply", "nowhere.csv"], "does not exist"),
        (["--action", "trash"], "needs --apply"),
        (["--apply", "plan.csv", "--action", "burn"], "none of trash, hardlink, move:DIR"),
        (["--apply", "plan.csv", "--action", "move:"], "none of trash, hardlink, move:DIR"),
        (["--apply", "plan.csv", "--plan", "b.csv"], "cannot be combined with --apply"),
        (["--apply", "plan.csv", "--burst-gap", "3"], "cannot be combined with --apply"),
        (["--apply", "plan.csv", "--species", "Wren"], "cannot be combined with --apply"),
        (["--apply", "plan.csv", "--not", "1", "2"], "cannot be combined with --apply"),
        (["--not", "1", "2", "--html", "x.html"], "cannot be combined with --not"),
        (["--not", "1", "1"], "one photo twice"),
        (["--json", "--csv"], "cannot be combined"),
    ],
)
def test_wrong_usage_ends_with_2_and_calls_nothing(
    garden: Garden, stub: IndexStub, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "plan.csv").write_text("group,do,relation,path,sha256,size,reason\n")
    assert message in " ".join(dedupe(garden, *arguments, code=2).err.replace("│", " ").split())
    assert stub.calls == []


# Doing it


def test_what_lies_in_a_store_is_removed_there_by_the_user(bucket: Bucket, tmp_path: Path) -> None:
    drawing.write(tmp_path / "photos" / "1.png", drawing.bird(1, 90, 60))
    for prefix in ("raw", "again"):
        bucket.put_folder(tmp_path / "photos", prefix)
    run("index", f"{bucket.url}/raw", f"{bucket.url}/again", "--index", "own")
    prefer = ("--prefer", f"{bucket.url}/again")
    answer = run("dedupe", *prefer, "--plan", "plan.csv", "--index", "own")
    (kept,) = [line for line in answer.out.splitlines() if "  keep  " in line]
    assert f"preferred: it lies in {bucket.url}/again" in kept
    assert "Next: read plan.csv, and remove in their store what it names" in answer.err
    assert "--apply" not in answer.err
    assert "lies in a store of objects" in run("dedupe", "--apply", "plan.csv", "--index", "own", code=1).err


def test_plan_is_written_and_the_command_that_applies_it_is_named(
    garden: Garden, stub: IndexStub, tmp_path: Path
) -> None:
    from birdsearch import Plan, Step, read_plan

    (tmp_path / "safe").mkdir()
    steps = (Step(1, "keep", "", "/a.jpg", "0" * 64, 1, "old"), Step(1, "remove", "variant", "/b.jpg", "1" * 64, 1, ""))
    stub.answers |= {"duplicates": duplicate_report(), "plan": Plan(steps)}
    answer = dedupe(garden, "--plan", "my plan.csv", "--protect", "safe", "--policy", "oldest", "--species", "Wren")
    assert read_plan(tmp_path / "my plan.csv") == stub.answers["plan"]
    assert stub.last("plan")[1]["protect"] == (str(tmp_path / "safe"),)
    command = (
        f"birdsearch dedupe --index {garden.index} --protect safe --apply 'my plan.csv' --action trash"
        " --relation variant"
    )
    assert command in answer.err
    assert "plan written to my plan.csv" in answer.err
    assert "cannot write no/plan.csv" in dedupe(garden, "--plan", "no/plan.csv", code=1).err


@pytest.mark.parametrize(
    ("arguments", "action", "relations"),
    [
        ([], "trash", ("identical", "pixels")),
        (["--action", "hardlink"], "hardlink", ("identical", "pixels")),
        (["--relation", "variant"], "trash", ("identical", "pixels", "variant")),
        (["--relation", "identical"], "trash", ("identical",)),
        (["--relation", "burst,identical"], "trash", ("identical", "pixels", "burst")),
    ],
)
def test_apply_carries_out_a_plan(
    garden: Garden, stub: IndexStub, tmp_path: Path, arguments: list[str], action: str, relations: tuple[str, ...]
) -> None:
    (tmp_path / "plan.csv").write_text("group,do,relation,path,sha256,size,reason\n")
    answer = dedupe(garden, "--apply", "plan.csv", *arguments)
    given = stub.last("apply")[1]
    assert (given["action"], given["relations"], given["protect"]) == (action, relations, ())
    assert "2 photos (3.4 MB)" in answer.out
    assert f"birdsearch undo 20260501-083000 --index {garden.index}" in answer.err


def test_apply_moves_to_an_absolute_folder_and_names_what_it_skipped(
    garden: Garden, stub: IndexStub, tmp_path: Path
) -> None:
    (tmp_path / "plan.csv").write_text("group,do,relation,path,sha256,size,reason\n")
    stub.answers["apply"] = Done(skipped=tuple((f"/p/{n}\n.jpg", "changed") for n in range(25)))
    answer = dedupe(garden, "--apply", "plan.csv", "--action", "move:out", "--protect", ".")
    assert stub.last("apply")[1]["action"] == f"move:{tmp_path / 'out'}"
    assert stub.last("apply")[1]["protect"] == (str(tmp_path),)
    assert "skipped 25 photos" in answer.out
    assert "skipped: /p/0\\n.jpg: changed" in answer.err
    assert "and 5 more" in answer.err
    assert dedupe(garden, "--apply", "plan.csv", "--json").json["done"] == 2
    stub.answers["apply"] = Done(run=None, done=0, bytes=0)
    assert "undo" not in dedupe(garden, "--apply", "plan.csv").err


def test_a_plan_that_cannot_be_read_is_an_error(garden: Garden, stub: IndexStub, tmp_path: Path) -> None:
    (tmp_path / "plan.csv").write_text("group,do\n1,keep\n")
    assert "plan.csv" in dedupe(garden, "--apply", "plan.csv", code=1).err
    assert stub.calls == []


def test_not_remembers_that_two_photos_are_not_duplicates(garden: Garden, stub: IndexStub) -> None:
    answer = dedupe(garden, "--not", "3", "1")
    assert stub.calls == [("not_duplicates", (3, 1), {})]
    assert "are not duplicates" in answer.out
    assert str(garden.photos) in answer.out
    assert "999" in dedupe(garden, "--not", "999", "1", code=1).err


def test_again_takes_not_back(garden: Garden, stub: IndexStub) -> None:
    assert "may be duplicates" in dedupe(garden, "--again", "3", "1").out
    assert stub.calls == [("pairs_kept_apart", (), {}), ("duplicates_again", (3, 1), {})]
    assert "were not kept apart" in dedupe(garden, "--again", "2", "1").out
    assert "cannot be combined" in dedupe(garden, "--again", "2", "1", "--relation", "burst", code=2).err


def test_undo_and_its_list(garden: Garden, stub: IndexStub) -> None:
    where = ("--index", garden.index)
    assert "run 20260501-083000: restored 2 photos" in run("undo", *where).out
    assert stub.last("undo")[0] == (None,)
    run("undo", "abc", *where)
    assert stub.last("undo")[0] == ("abc",)
    assert run("undo", *where, "--json").json["run"] == "20260501-083000"
    assert "no runs" in run("undo", "--list", *where).out
    stub.answers["runs"] = [Done()]
    assert run("undo", "--list", *where).out.splitlines()[1].startswith("20260501-083000")
    assert run("undo", "--list", "--json", *where).json[0]["done"] == 2
    assert "--list" in run("undo", "abc", "--list", *where, code=2).err


def test_trash_shows_and_ends_what_lies_there(garden: Garden, stub: IndexStub) -> None:
    where = ("--index", garden.index)
    assert "the trash is empty" in run("trash", *where).out
    stub.answers["trash"] = [
        TrashedRun("0001-x", "2026-05-01T08:30:00", 2, 1, 3_400_000, ("/p/.birdsearch-trash/0001-x",))
    ]
    answer = run("trash", *where)
    assert answer.out == "run 0001-x: 2 photos, 1 companion (3.4 MB) in /p/.birdsearch-trash/0001-x\n"
    assert f"birdsearch trash --empty --index {garden.index}" in answer.err
    assert run("trash", *where, "--json").json[0]["photos"] == 2
    assert "empty_trash" not in [name for name, _, _ in stub.calls]
    assert "deleted 2 photos (3.4 MB)" in run("trash", "--empty", *where, "--yes").out


@pytest.mark.parametrize("word", ["apply", "undo", "empty_trash"])
def test_what_was_named_and_not_done_is_an_exit_code(
    garden: Garden, stub: IndexStub, tmp_path: Path, word: str
) -> None:
    (tmp_path / "plan.csv").write_text("group,do,relation,path,sha256,size,reason\n")
    commands = {
        "apply": ("dedupe", "--apply", "plan.csv"),
        "undo": ("undo",),
        "empty_trash": ("trash", "--empty", "--yes"),
    }
    stub.answers[word] = Done(skipped=(("/p/a.jpg", "protected"), ("/p/b.jpg", "changed")), failed=1)
    assert "/p/b.jpg: changed" in run(*commands[word], "--index", garden.index, code=1).err
    assert run(*commands[word], "--index", garden.index, "--json", code=1).json["failed"] == 1
    told = tuple((f"/p/{number}.jpg", "protected") for number in range(30))
    stub.answers[word] = Done(skipped=(*told, ("/p/b.jpg", "changed")), failed=1, as_told=("protected",))
    answer = run(*commands[word], "--index", garden.index, code=1)
    assert [line for line in answer.err.splitlines() if line.startswith("skipped")] == [
        "skipped: 30 photos: protected", "skipped: /p/b.jpg: changed"
    ]  # fmt: skip
    stub.answers[word] = Done(skipped=told, as_told=("protected",))
    run(*commands[word], "--index", garden.index)


# All of it, with nothing stood in


def test_a_copy_is_found_moved_to_the_trash_and_restored(tmp_path: Path, garden: Garden) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(garden.photos, photos)
    copy = photos / "Wren" / "copy of 1.jpg"
    shutil.copy(photos / "Wren" / "1.jpg", copy)
    with birdsearch.create("indexes/mine", backbone=FakeBackbone()) as index:
        index.add(photos)
    answer = run("dedupe", "--index", "mine", "--relation", "identical", "--plan", "plan.csv", "--html", "page.html")
    assert "1 photo (" in answer.out
    assert (tmp_path / "page.html").read_text().count("<section") == 1
    assert copy.exists()
    run("dedupe", "--index", "mine", "--apply", "plan.csv")
    assert not copy.exists()
    assert (photos / "Wren" / "1.jpg").exists()
    assert "done" in run("undo", "--list", "--index", "mine").out
    run("undo", "--index", "mine")
    assert copy.exists()
    answer = run("dedupe", "--index", "mine", "--relation", "identical", "--json")
    keep, (other,) = answer.json["groups"][0]["keep"], answer.json["groups"][0]["others"]
    run("dedupe", "--index", "mine", "--not", keep, other)
    assert run("dedupe", "--index", "mine", "--relation", "identical", "--json").json["groups"] == []
