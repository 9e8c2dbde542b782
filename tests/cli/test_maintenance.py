"""The commands info, failures, remove, verify, repair and optimize."""

import re
import shutil
from pathlib import Path

from tests.conftest import Garden, write_garden_photos
from tests.support.command_line import run


def test_info_names_the_backbone(garden: Garden) -> None:
    assert "efficientnet_lite0_imagenet" in run("info", "--index", garden.index).out
    assert isinstance(run("info", "--index", garden.index, "--json").json, dict)


def test_failures_as_table_csv_and_json(own: Garden, tmp_path: Path) -> None:
    assert "no failures" in run("failures", "--index", "own").out
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much")
    run("index", "bad", "--index", "own")
    assert "b.jpg" in run("failures", "--index", "own").out
    assert run("failures", "--index", "own", "--csv").rows[0]["path"].endswith("b.jpg")
    assert set(run("failures", "--index", "own", "--json").json[0]) == {"path", "stage", "reason"}


def test_remove_asks_first(own: Garden) -> None:
    assert "nothing removed" in run("remove", "--index", "own", "--label", "Robin", input="n\n").err
    assert len(run("photos", "--index", "own", "--json").json) == 6
    assert "removed 3" in run("remove", "--index", "own", "--label", "Robin", input="y\n").out
    assert "removed 1" in run("remove", "--index", "own", "--after", "2024-05-03", "--yes").out
    assert len(run("photos", "--index", "own", "--json").json) == 2
    assert "nothing removed" in run("remove", "--index", "own", "--label", "Robin", "--yes").out
    assert (own.photos / "Robin" / "1.jpg").exists()


def test_remove_takes_everything_only_where_that_is_said(own: Garden) -> None:
    for options in ((), ("--not-species", ""), ("--everything", "--label", "Robin")):
        assert "which photos" in run("remove", "--index", "own", "--yes", *options, code=2).err
    assert "give the path of a folder" in " ".join(run("remove", "--index", "own", "--under", "", code=2).err.split())
    assert "removed 6" in run("remove", "--index", "own", "--everything", "--yes").out


def test_remove_without_an_answer_removes_nothing(own: Garden) -> None:
    assert "give --yes" in run("remove", "--index", "own", "--label", "Robin", input="", code=1).err
    assert len(run("photos", "--index", "own", "--json").json) == 6


def test_verify_and_repair(own: Garden) -> None:
    assert run("verify", "--index", "own").out.strip() == "ok"
    assert run("verify", "--index", "own", "--json").json == {"ok": True, "problems": []}
    assert "nothing to repair" in run("repair", "--index", "own").out
    part = next((own.index / "vectors").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-10] + b"0123456789")
    broken = run("verify", "--index", "own", code=1)
    assert part.name in broken.out
    assert "birdsearch repair --index own" in broken.err
    assert run("repair", "--index", "own").out.strip()
    assert run("verify", "--index", "own").out.strip() == "ok"


def test_a_note_from_within_a_long_question_names_the_index(own: Garden) -> None:
    next(own.index.glob("engine-*")).write_bytes(b"damaged")
    assert "Run `birdsearch repair --index own`" in run("dedupe", "--index", "own").err


def test_optimize_measures_engines_and_names_its_choice(own: Garden) -> None:
    answer = run("optimize", "--index", "own", "--recall", "0.99")
    assert "engine: flat" in answer.out
    assert "the nearest photo has the same label: 100.0 % before, 100.0 % now" in answer.out
    declined = run("optimize", "--index", "own", "--whiten")
    assert "whitening: declined: 6 photos are too few" in declined.out
    report = run("optimize", "--index", "own", "--json").json
    assert report["engine"] == "flat"
    assert report["trials"][-1]["recall"] == 1.0
    assert run("info", "--index", "own", "--json").json["whitened"] is False


def test_optimize_that_cannot_reach_its_recall_ends_with_1(own: Garden) -> None:
    assert "take 'flat'" in run("optimize", "--index", "own", "--engine", "ivf", code=1).err
    run("optimize", "--index", "own", "--recall", "2", code=2)


def test_indexes_lists_names_and_places(own: Garden, tmp_path: Path) -> None:
    answer = run("indexes")
    assert re.search(rf"^own +6 +\S+ .*{re.escape(str(own.index))}$", answer.out, re.MULTILINE)
    shutil.copytree(own.index, tmp_path / "data" / "indexes" / "own")
    answer = run("indexes")
    assert f"The name own opens {own.index}" in answer.err
    assert [one["photos"] for one in run("indexes", "--json").json] == [6, 6]
    assert f"{own.index} is used; another index named own lies at" in run("info", "--index", "own").err


def test_info_shows_folders_as_they_are_spelled(tmp_path: Path) -> None:
    write_garden_photos(tmp_path / "my_birds_2024")
    run("index", "my_birds_2024", "--labels", "folder", "--index", "own")
    info = run("info", "--index", "own").out
    assert re.search(r"^labels +\S+/my_birds_2024: folder$", info, re.MULTILINE)
    assert re.search(r"^size +[\d.,]+ [kM]B$", info, re.MULTILINE)


def test_commands_that_the_library_proposes_name_the_index(own: Garden) -> None:
    (own.index / "classifier.npz").unlink()
    message = run("classify", own.photos / "Wren" / "1.jpg", "--source", "backbone", "--index", "own", code=1).err
    assert "run `birdsearch repair --index own`" in message
    assert "`birdsearch photos --index own`" in run("label", 99, "--as", "Wren", "--index", "own", code=1).err
    assert "`birdsearch indexes` lists" in run("info", "--index", "else", code=1).err
