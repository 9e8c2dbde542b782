"""What becomes of each photo of a group is the same in plans, pages and tables; a new relation is a few lines."""

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import birdsearch.actions
import birdsearch.duplicates.cleanup
from birdsearch.duplicates.cleanup.plan import make_plan, problems
from birdsearch.duplicates.grouping import grouped
from birdsearch.duplicates.keeper import Choice
from birdsearch.duplicates.members import members
from birdsearch.export.html.duplicates import duplicates_page
from birdsearch.records import RELATIONS, DuplicateGroup, DuplicateReport, Pair, Photo, Relation

PHOTOS = {n: Photo(n, f"/birds/{n}.jpg", "ab" * 32, size=1_000) for n in range(1, 8)}


def group(relation: str, *ids: int, protected: tuple[int, ...] = ()) -> DuplicateGroup:
    others = ids[1:]
    reasons = ("older",) * len(others)
    return DuplicateGroup(relation, ids[0], others, "newest", (relation,) * len(others), reasons, protected)


def done(*groups: DuplicateGroup) -> list[list[tuple[str, str]]]:
    """What is done with each photo, and why it stays."""
    return [[(m.do, m.stays) for m in each] for each in members(DuplicateReport(groups=groups), PHOTOS)]


def test_copies_go_and_exposures_stay() -> None:
    assert done(group("variant", 1, 2)) == [[("keep", ""), ("remove", "")]]
    assert done(group("burst", 1, 2)) == [[("keep", ""), ("skip", "burst: choose by hand")]]


def test_protected_photos_and_those_of_other_groups_stay() -> None:
    assert done(group("variant", 1, 2, 3, protected=(3,)))[0][1:] == [("remove", ""), ("skip", "protected")]
    two = done(group("variant", 1, 2), group("variant", 3, 1, 2))
    assert two[1][1:] == [("skip", "kept in group 1"), ("skip", "removed in group 1")]
    assert members(DuplicateReport(groups=(group("pixels", 1, 2),)), PHOTOS, protect=["/birds"])[0][1].protected


def test_a_photo_without_checksum_stays() -> None:
    photos = {**PHOTOS, 2: replace(PHOTOS[2], sha256=None)}
    report = DuplicateReport(groups=(group("variant", 1, 2),))
    assert members(report, photos)[0][1].stays.startswith("the index does not know its bytes")


def test_a_plan_says_what_the_members_say() -> None:
    report = DuplicateReport(groups=(group("variant", 1, 2, 3, protected=(3,)), group("burst", 4, 5)))
    plan = make_plan(report, PHOTOS)
    assert [step.do for step in plan.steps] == ["keep", "remove", "keep", "skip", "skip"]
    assert [step.reason for step in plan.steps] == [
        "newest", "older", "protected", "newest", "burst: choose by hand; older",
    ]  # fmt: skip
    assert [step.relation for step in plan.steps] == ["", "variant", "variant", "", "burst"]


# A relation of one's own


def test_a_new_relation_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RELATIONS, "stack", Relation("stack", "one scene, focus bracketed", 15, False, False, False))
    report = DuplicateReport(groups=(group("stack", 1, 2),))
    assert done(group("stack", 1, 2))[0][1] == ("skip", "stack: choose by hand")
    page = duplicates_page(report, PHOTOS)
    for words in ("one scene, focus bracketed", ">proposed<", ">your choice<"):
        assert words in page
    assert make_plan(report, PHOTOS, relations=["stack"]).steps[1].do == "remove"
    assert list(problems(make_plan(report, PHOTOS))) == []


def test_a_new_relation_of_one_picture_makes_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RELATIONS, "print", Relation("print", "a photo of its print", 15, True, False, False))

    def lowest(ids: Sequence[int], _pictures: Sequence[int]) -> Choice:
        return Choice(ids[0], "lowest", ("higher",) * (len(ids) - 1))

    pairs = [Pair(1, 2, "print", None), Pair(1, 3, "variant", None), Pair(1, 4, "identical", 1.0)]
    (made,) = grouped(pairs, lowest)
    assert (made.relation, made.relations) == ("print", ("print", "variant", "identical"))
    stronger = [*pairs, Pair(1, 2, "variant", None)]
    assert grouped(stronger, lowest)[0].relations[0] == "variant"


def test_relations_are_named_only_where_they_are_listed_or_detected() -> None:
    names = "|".join(RELATIONS)
    source = Path(birdsearch.__file__).parent
    for path in [*source.rglob("*.py"), *source.rglob("*.html")]:
        found = re.findall(rf"""[=!]= ?["'](?:{names})["']|\bin \(["'](?:{names})["']""", path.read_text("utf-8"))
        assert not found, path


# Files of users


def test_only_one_module_moves_links_or_removes_files() -> None:
    moving = {"rename", "renames", "replace", "link", "symlink", "unlink", "remove", "removedirs", "rmdir", "move"}
    moving |= {"copyfile", "copyfileobj", "copystat", "copy", "copy2", "rmtree", "truncate"}
    of_the_index = ("folder.engine", "own_journal")
    found = set()
    places = (Path(package.__path__[0]) for package in (birdsearch.actions, birdsearch.duplicates.cleanup))
    for path in (path for place in places for path in place.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            owner = ast.unparse(node.value)
            path_method = node.attr in ("unlink", "rename", "symlink_to", "hardlink_to") and owner not in of_the_index
            if (owner in ("os", "shutil") and node.attr in moving) or path_method:
                found.add(path.name)
    assert found == {"filesystem.py", "renames.py"}
