"""The command tags: what it asks of the index, and how it shows what it says."""

import pytest

from birdsearch.records import ActionReport, TagChange, TagPlan
from tests.conftest import Garden
from tests.support.command_line import run
from tests.support.index_stub import IndexStub, garden

__all__ = ["garden"]

ADDED: dict[str, tuple[str, ...]] = {
    "XMP-dc:Subject": ("Eurasian Wren",),
    "XMP-xmp:Rating": ("4",),
    "XMP-photoshop:SidecarForExtension": ("CR2",),
}
PLAN = TagPlan(
    (
        TagChange(4, "/p/a b.jpg", "/p/a b.jpg.xmp", ADDED, None),
        TagChange(5, "/p/c.CR2", "/p/c.xmp", ADDED, "0"),
        TagChange(6, "/p/d.jpg", "/p/d.jpg", ADDED, "0"),
    ),
    complete=7,
    left_out={"no label": 3},
    unsure=("Wren",),
)  # fmt: skip


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    return IndexStub(monkeypatch, {"tags": PLAN, "write_tags": ActionReport("0001-x", 2)})


def test_a_dry_run_shows_photo_file_and_what_is_added(garden: Garden, stub: IndexStub) -> None:
    answer = run("tags", "--index", garden.index, "--species", "Wren", "--into", "sidecar")
    (where,), options = stub.last("tags")
    assert where.species == ("Wren",)
    assert (options["into"], options["fields"], options["predictions"]) == ("sidecar", ["species", "rating"], False)
    assert "Eurasian Wren, 4 stars" in answer.out
    assert "/p/a b.jpg  a b.jpg.xmp (new)  Eurasian" in answer.out
    assert "/p/c.CR2    c.xmp              Eurasian" in answer.out
    assert "itself" in answer.out
    assert "CR2," not in answer.out
    assert "7 photos whose file has all of it" in answer.out
    assert "3 photos: no label" in answer.out
    assert "birdsearch names" in answer.err
    assert "--species Wren --into sidecar --apply" in answer.err
    assert not [name for name, _, _ in stub.calls if name == "write_tags"]


def test_the_table_fits_a_narrow_terminal(garden: Garden, stub: IndexStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table, _, counts = run("tags", "--index", garden.index).out.partition("to write")
    assert max(map(len, table.splitlines())) <= 40
    assert "3 photos" in counts


def test_apply_writes_and_says_what_other_programs_need(garden: Garden, stub: IndexStub) -> None:
    answer = run("tags", "--index", garden.index, "--apply", "--predictions", "--fields", "rating")
    assert stub.last("tags")[1]["fields"] == ["rating"]
    assert stub.last("tags")[1]["predictions"] is True
    assert stub.last("write_tags")[0] == (PLAN,)
    for words in ("Read Metadata from File", "no sidecar of a JPEG", "digiKam", "darktable", "birdsearch undo 0001-x"):
        assert words in answer.err


def test_what_was_skipped_is_said_and_ends_with_one(garden: Garden, stub: IndexStub) -> None:
    skipped = (("/p/c.xmp", "changed since the plan was made"),)
    stub.answers["write_tags"] = ActionReport(None, 0, skipped, failed=1)
    answer = run("tags", "--index", garden.index, "--apply", code=1)
    assert "/p/c.xmp: changed since the plan was made" in answer.err
    assert "Lightroom" not in answer.err


def test_json_is_the_plan_or_plan_and_report(garden: Garden, stub: IndexStub) -> None:
    assert run("tags", "--index", garden.index, "--json").json["changes"][0]["photo_id"] == 4
    assert run("tags", "--index", garden.index, "--json", "--apply").json["report"]["done"] == 2


def test_wrong_words_are_refused(garden: Garden) -> None:
    assert "species, rating" in run("tags", "--index", garden.index, "--fields", "caption", code=2).err
    assert "sidecar" in run("tags", "--index", garden.index, "--into", "raw", code=2).err
