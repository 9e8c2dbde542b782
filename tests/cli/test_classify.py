"""The command classify: with a network, with an index, by its labelled photos."""

from pathlib import Path

import pytest

import birdsearch
from birdsearch.records import Prediction
from tests.conftest import Garden
from tests.support.command_line import Answer, run
from tests.support.index_stub import IndexStub


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    return IndexStub(monkeypatch, {"classify_many": [[]]})


def command(garden: Garden, name: str, *arguments: object, code: int = 0) -> Answer:
    return run(name, *arguments, "--index", garden.index, code=code)


def test_classify_with_and_without_an_index(garden: Garden) -> None:
    path = garden.photos / "Robin" / "1.jpg"
    answer = run("classify", path, "-k", "3", "--index", garden.index, "--json").json
    assert [p["position"] for p in answer[0]["predictions"]] == [1, 2, 3]
    assert answer[0]["predictions"][0]["rank"] == "ImageNet"
    alone = run("classify", path, path, "-k", "2", "--csv")
    assert len(alone.rows) == 4
    assert "no index named default" in alone.err
    assert "ImageNet: " in run("classify", path, "--backbone", "efficientnet_lite0_imagenet").out
    run("classify", path, "--index", "gardn", code=1)


def test_classify_by_the_labelled_photos(garden: Garden, stub: IndexStub) -> None:
    stub.answers["classify_many"] = [[
        Prediction(None, 0.7, 0, "abstain", "not like anything in this index", "neighbours"),
        Prediction("Wren", 0.6, 1, "species", "Wren", "neighbours", (1, 2)),
        Prediction("Emu", 0.1, 2, "species", "Emu", "neighbours", note="possible vagrant", raw=0.4),
    ]]  # fmt: skip
    answer = command(garden, "classify", "a.jpg", "--source", "neighbours", "--burst", "-k", 3)
    assert stub.last("classify_many") == (
        (["a.jpg"], 3),
        {"source": "neighbours", "checklist": None, "roll_up": None, "burst": True, "calibrate": False},
    )
    assert "not like anything in this index" in answer.out
    assert "Emu: possible vagrant (40.0 % without the checklist)" in answer.out
    with birdsearch.open(garden.index) as index:
        assert f"like {index.photo(1).path}" in answer.err
    rows = command(garden, "classify", "a.jpg", "--source", "neighbours", "--csv").rows
    assert (rows[2]["source"], rows[2]["note"]) == ("neighbours", "possible vagrant")


def test_classify_shows_the_probability_before_calibration(garden: Garden, stub: IndexStub) -> None:
    stub.answers["classify_many"] = [[Prediction("Emu", 0.1, 1, "species", "Emu", note="possible vagrant", raw=0.4)]]
    answer = command(garden, "classify", "a.jpg", "--calibrate")
    assert stub.last("classify_many")[1]["calibrate"] is True
    assert "(40.0 % without the checklist and calibration)" in answer.out


def test_classify_options_that_cannot_go_together(garden: Garden, stub: IndexStub, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("Wren\n", encoding="utf-8")
    command(garden, "classify", "a.jpg", "--source", "neighbours", "--checklist", "list.txt", code=2)
    command(garden, "classify", "a.jpg", "--burst", "--backbone", "other", code=2)
    command(garden, "classify", "a.jpg", "--calibrate", "--backbone", "other", code=2)
    assert "already" in command(garden, "classify", "a.jpg", "--calibrate", "--source", "neighbours", code=2).err
    command(garden, "classify", "a.jpg", "--roll-up", 2, code=2)
    stub.answers["classify_many"] = [[]]
    assert "no labelled photos in the index" in command(garden, "classify", "a.jpg", "--roll-up", 0.9).out
