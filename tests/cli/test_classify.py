"""The command classify: with a network, with an index, by its labelled photos."""

import shutil
from pathlib import Path

import pytest

import birdsearch
from birdsearch.records import Filter, Prediction
from tests.conftest import Garden
from tests.support import drawing
from tests.support.command_line import Answer, run
from tests.support.index_stub import IndexStub
from tests.support.object_store import Bucket


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> IndexStub:
    return IndexStub(monkeypatch, {"classify_many": [[]]})


def command(garden: Garden, name: str, *arguments: object, code: int = 0) -> Answer:
    return run(name, *arguments, "--index", garden.index, code=code)


def test_classify_with_and_without_an_index(garden: Garden) -> None:
    path = garden.photos / "Robin" / "1.jpg"
    answer = run("classify", path, "-k", "3", "--source", "backbone", "--index", garden.index, "--json").json
    assert [p["position"] for p in answer[0]["predictions"]] == [1, 2, 3]
    assert answer[0]["predictions"][0]["rank"] == "ImageNet"
    alone = run("classify", path, path, "-k", "2", "--csv")
    assert len(alone.rows) == 4
    assert "no index named default" in alone.err
    assert "ImageNet: " in run("classify", path, "--backbone", "efficientnet_lite0_imagenet").out
    run("classify", path, "--index", "gardn", code=1)


def test_classify_by_the_labelled_photos(garden: Garden, stub: IndexStub) -> None:
    stub.answers["classify_many"] = [[
        Prediction(None, 0.7, 0, "abstain", "probably none of your species", "neighbours"),
        Prediction("Wren", 0.6, 1, "species", "Wren", "neighbours", (1, 2)),
        Prediction("Emu", 0.1, 2, "species", "Emu", "neighbours", note="possible vagrant", raw=0.4),
    ]]  # fmt: skip
    answer = command(garden, "classify", "a.jpg", "--source", "neighbours", "--burst", "-k", 3)
    images, asked = stub.last("classify_many")
    assert images == (["a.jpg"], 3)
    assert callable(asked.pop("errors"))
    assert (asked.pop("box"), asked.pop("region")) == (None, "frame")
    assert asked == {"source": "neighbours", "checklist": None, "roll_up": None, "burst": True, "calibrate": False}
    sentence = "Probably none of your species (70 %). If it is one of them:"
    assert answer.out.startswith(f"{sentence}\n#  probability  name\n1       60.0 %  Wren\n")
    assert "Emu: possible vagrant (40.0 % without the checklist)" in answer.out
    with birdsearch.open(garden.index) as index:
        assert f"like {index.photo(1).path}" in answer.err
    rows = command(garden, "classify", "a.jpg", "--source", "neighbours", "--csv").rows
    assert (rows[2]["source"], rows[2]["note"]) == ("neighbours", "possible vagrant")


def test_the_photos_below_an_address_are_classified(own: Path, bucket: Bucket, tmp_path: Path) -> None:
    for number in (1, 2):
        drawing.write(tmp_path / "card" / f"{number}.jpg", drawing.bird(number, 90, 60))
    bucket.put_folder(tmp_path / "card", "card")
    for given, names in (("card", {"1.jpg", "2.jpg"}), ("card/2.jpg", {"2.jpg"})):
        answer = run("classify", f"{bucket.url}/{given}", "--csv", "-k", 1, "--index", own)
        assert {row["path"] for row in answer.rows} == {f"{bucket.url}/card/{name}" for name in names}
    assert "nothing lies at" in run("classify", f"{bucket.url}/crd", "--csv", "--index", own, code=1).err


@pytest.fixture
def own(garden: Garden, tmp_path: Path) -> Path:
    """A copy of the index of the garden, to be changed."""
    return Path(shutil.copytree(garden.index, tmp_path / "indexes" / "own"))


def test_a_folder_is_classified_and_what_was_found_becomes_labels(own: Path, tmp_path: Path) -> None:
    card = tmp_path / "card"
    for number in (1, 2):
        drawing.write(card / "100" / f"{number}.jpg", drawing.bird(number, 90, 60))
    (card / "broken.jpg").write_bytes((card / "100" / "1.jpg").read_bytes()[:200])
    (card / "empty.jpg").touch()
    (card / "notes.txt").write_text("three wrens")
    answer = run("classify", card, "--csv", "-k", 2, "--index", own, code=1)
    assert {Path(row["path"]).name for row in answer.rows} == {"1.jpg", "2.jpg"}
    assert "broken.jpg" in answer.err
    assert "empty.jpg: empty file" in answer.err
    assert "notes.txt" not in answer.err
    indexed = run("index", card, "--index", own)
    assert "2 photos got no label." in indexed.err
    assert f"birdsearch classify {card} --csv" in indexed.err
    table = tmp_path / "c.csv"
    table.write_text(answer.out, encoding="utf-8")
    taken = run("label", "--from", table, "--index", own)
    sure = {row["path"]: row["species"] for row in answer.rows if row["position"] == "1"}
    for row in answer.rows:
        if row["rank"] == "abstain":
            del sure[row["path"]]
    assert f"{len(sure)} label" in taken.out
    with birdsearch.open(own) as index:
        assert {photo.path: photo.label for photo in index.photos(Filter(under=card)) if photo.label} == sure


def test_what_is_unlikely_or_like_no_species_is_no_label(garden: Garden, own: Path, tmp_path: Path) -> None:
    photos = [garden.photos / "Robin" / f"{number}.jpg" for number in (1, 2, 3)]
    lines = [
        f"{photos[0]},0,0.7,probably none of your species,,abstain",
        f"{photos[0]},1,0.9,Emu,Emu,species",
        f"{photos[1]},1,0.6,Emu,Emu,species",
        f"{photos[2]},1,0.9,Emu,Emu,species",
        f"{photos[2]},2,0.1,Wren,Wren,species",
    ]
    table = tmp_path / "c.csv"
    table.write_text("\n".join(["path,position,probability,name,species,rank", *lines]), encoding="utf-8")
    answer = run("label", "--from", table, "--min-probability", 0.8, "--index", own)
    assert "1 label changed" in answer.out
    assert "1 photo left as they are: they are probably none of your species" in answer.err
    assert "no species reaches the probability 0.8" in answer.err
    with birdsearch.open(own) as index:
        assert [index.find(photo).label for photo in photos] == ["Robin", "Robin", "Emu"]


def test_classify_shows_the_probability_before_calibration(garden: Garden, stub: IndexStub) -> None:
    stub.answers["classify_many"] = [[Prediction("Emu", 0.1, 1, "species", "Emu", note="possible vagrant", raw=0.4)]]
    answer = command(garden, "classify", "a.jpg", "--calibrate")
    assert stub.last("classify_many")[1]["calibrate"] is True
    assert "(40.0 % without the checklist and calibration)" in answer.out


def test_classify_options_that_cannot_go_together(garden: Garden, stub: IndexStub) -> None:
    command(garden, "classify", "a.jpg", "--burst", "--backbone", "other", code=2)
    command(garden, "classify", "a.jpg", "--calibrate", "--backbone", "other", code=2)
    assert "already" in command(garden, "classify", "a.jpg", "--calibrate", "--source", "neighbours", code=2).err
    command(garden, "classify", "a.jpg", "--roll-up", 2, code=2)
    stub.answers["classify_many"] = [[]]
    assert "no labelled photos in the index" in command(garden, "classify", "a.jpg", "--roll-up", 0.9).out


def test_labelled_photos_answer_where_the_network_knows_no_species(garden: Garden, tmp_path: Path) -> None:
    path = garden.photos / "Robin" / "1.jpg"
    answer = command(garden, "classify", path)
    assert "Robin" in answer.out
    assert "ImageNet" not in answer.out
    assert "so your labelled photos answer; --source backbone" in answer.err
    asked = command(garden, "classify", path, "--source", "backbone")
    assert "ImageNet" in asked.out
    assert "labelled" not in asked.err
    run("index", garden.photos, "--index", "unlabelled")
    hint = run("classify", path, "--index", "unlabelled")
    assert "ImageNet" in hint.out
    assert "birdsearch index DIR --labels folder --index unlabelled" in hint.err


def test_a_checklist_weighs_labelled_photos_and_no_network_without_species(garden: Garden, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("Eurasian Wren\n", encoding="utf-8")
    path = garden.photos / "Robin" / "1.jpg"
    answer = command(garden, "classify", path, "--checklist", "list.txt", "--json").json[0]["predictions"]
    notes = {one["species"]: one["note"] for one in answer if one["species"]}
    assert notes == {"Wren": "", "Robin": "possible vagrant: not on the checklist"}
    refused = command(garden, "classify", path, "--checklist", "list.txt", "--source", "backbone", code=1)
    assert "knows no species, so a checklist cannot weigh its answers" in refused.err


def test_a_burst_gets_one_answer_that_is_printed_once(garden: Garden) -> None:
    paths = [garden.photos / "Robin" / f"{number}.jpg" for number in (1, 2)]
    answer = command(garden, "classify", *paths, "--burst")
    assert answer.out.count("Robin") == 2 + 1  # the two names in the heading, and the answer
    assert len(command(garden, "classify", *paths, "--burst", "--csv", "-k", 1).rows) == 2


def test_the_page_shows_the_photo_its_answer_and_the_reasons(garden: Garden, tmp_path: Path) -> None:
    command(garden, "classify", garden.photos / "Robin" / "1.jpg", "--html", "answer.html")
    page = (tmp_path / "answer.html").read_text(encoding="utf-8")
    assert "<h2>Robin</h2>" in page
    assert "Robin/1.jpg" in page
    assert page.count('<li class="card">') == 2  # the other two Robins


def test_a_box_is_classified(garden: Garden) -> None:
    path, box = garden.photos / "Robin" / "1.jpg", "0.3,0.3,0.4,0.5"
    for source in ("backbone", "neighbours"):
        whole = command(garden, "classify", path, "--source", source, "--json").json
        part = command(garden, "classify", path, "--source", source, "--box", box, "--json").json
        assert part[0]["predictions"]
        assert part != whole
    alone = run("classify", path, "--backbone", birdsearch.DEFAULT_BACKBONE, "--box", box, "--json").json
    assert alone == command(garden, "classify", path, "--source", "backbone", "--box", box, "--json").json
    assert "is not a box" in run("classify", path, "--box", "a", "--index", garden.index, code=2).err
