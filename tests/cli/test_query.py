"""The commands query, photos and features."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch.cli import options
from birdsearch.export.tables import PHOTO_COLUMNS
from tests.conftest import Garden, write_garden_photos
from tests.support import fake_finder
from tests.support.colours import Colours
from tests.support.command_line import run


@pytest.mark.network
def test_index_query_and_classify_with_the_built_in_network(tmp_path: Path) -> None:
    write_garden_photos(tmp_path / "pics")
    assert "built-in backbone" in run("index", "pics", "--index", "real", "--labels", "folder").err
    best = run("query", "pics/Wren/1.jpg", "--index", "real", "--json").json[0]["matches"][0]
    assert best["photo"]["label"] == "Wren"
    assert best["score"] > 0.9
    assert "ImageNet: " in run("classify", "pics/Robin/1.jpg", "--index", "real", "--source", "backbone").out


def test_query_finds_the_same_picture_first(garden: Garden, tmp_path: Path) -> None:
    path = shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / "copy.jpg")
    answer = run("query", path, "-k", "3", "--index", garden.index, "--json").json
    assert [entry["query"] for entry in answer] == [str(path)]
    best = answer[0]["matches"][0]
    assert best["photo"]["path"] == str(garden.photos / "Wren" / "1.jpg")
    assert best["score"] == pytest.approx(1.0, abs=1e-4)
    assert best["photo"]["species"] == "Wren"
    assert len(answer[0]["matches"]) == 3


def test_query_of_a_photo_of_the_index_leaves_it_out_and_says_so(garden: Garden) -> None:
    path = garden.photos / "Wren" / "1.jpg"
    answer = run("query", path, "-k", "9", "--index", garden.index, "--json")
    assert str(path) not in {match["photo"]["path"] for match in answer.json[0]["matches"]}
    assert f"{path} is in the index: it is left out of its own matches." in answer.err


def test_commands_answer_for_the_images_that_can_be_read(garden: Garden, tmp_path: Path) -> None:
    good = garden.photos / "Wren" / "1.jpg"
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    index = ["--index", garden.index]
    for command, what in (("query", "matches"), ("classify", "predictions")):
        for more in ([], ["--source", "neighbours"] if command == "classify" else []):
            answer = run(command, good, "broken.jpg", "nowhere.jpg", *index, *more, "--json", code=1)
            assert [(bool(one[what]), "error" in one) for one in answer.json] == [
                (True, False), (False, True), (False, True)
            ]  # fmt: skip
            assert "broken.jpg" in answer.json[1]["error"]
            assert "broken.jpg" in answer.err
            assert "nowhere.jpg" in answer.err
        table = run(command, "broken.jpg", good, *index, code=1)
        assert str(good) in table.out
        assert "broken.jpg" not in table.out
        assert run(command, "broken.jpg", *index, code=1).out == ""
    assert run("query", good, "broken.jpg", "--combine", *index, "--json", code=1).json[0]["query"] == str(good)
    assert run("query", "broken.jpg", "--combine", *index, code=1).out == ""


def test_photos_that_are_not_of_a_species_or_in_a_folder(garden: Garden) -> None:
    index = ["--index", garden.index, "--json"]
    every = len(run("photos", *index).json)
    wrens = len(run("photos", "--species", "Wren", *index).json)
    assert len(run("photos", "--not-species", "Wren", *index).json) == every - wrens
    assert run("photos", "--not-species", "Wren", "--not-species", "Robin", *index).json == []
    assert len(run("photos", "--not-under", garden.photos / "Wren", *index).json) == every - wrens


def test_query_table_csv_and_page(garden: Garden, tmp_path: Path) -> None:
    paths = [garden.photos / "Wren" / "1.jpg", garden.photos / "Robin" / "2.jpg"]
    paths = [Path(shutil.copy(path, tmp_path / f"{n}.jpg")) for n, path in enumerate(paths)]
    table = run("query", *paths, "-k", "2", "--index", garden.index)
    assert str(paths[1]) in table.out.splitlines()
    assert "1.000" in table.out
    assert "2024-05-01 08:30" in table.out
    rows = run("query", *paths, "-k", "2", "--index", garden.index, "--csv").rows
    assert [(row["query"], row["position"]) for row in rows] == [
        (str(path), rank) for path in paths for rank in ("1", "2")
    ]
    assert rows[0]["camera"] == "Canon Model X"
    page = run("query", *paths, "--index", garden.index, "--html", "out.html", "--json")
    assert len(page.json) == 2
    assert "out.html" in page.err
    assert "data:image/jpeg" in (tmp_path / "out.html").read_text()


def test_query_filters(garden: Garden) -> None:
    def species_found(*arguments: str) -> set[str]:
        path = garden.photos / "Wren" / "1.jpg"
        answer = run("query", path, "--index", garden.index, "--json", *arguments).json
        return {Path(match["photo"]["path"]).parent.name for match in answer[0]["matches"]}

    assert species_found() == {"Wren", "Robin"}
    assert species_found("--species", "ROBIN") == {"Robin"}
    assert species_found("--after", "2024") == {"Wren"}
    assert species_found("--before", "2024-01") == {"Robin"}
    assert species_found("--near", "52.5,13.4,10") == {"Wren"}
    assert species_found("--camera", "nikon") == {"Robin"}
    assert species_found("--under", str(garden.photos / "Robin")) == {"Robin"}
    assert species_found("--min-width", "5000") == set()


def test_nothing_similar_is_an_answer_with_exit_0(garden: Garden) -> None:
    path = garden.photos / "Wren" / "1.jpg"
    where = ["--index", str(garden.index)]
    assert "nothing similar" in run("query", path, *where, "--min-score", "0.99999", "--label", "Robin").out
    assert "no photo fits the filter" in run("query", path, *where, "--min-width", "5000").out
    assert run("query", path, *where, "--min-width", "5000", "--json").json == [{"query": str(path), "matches": []}]


def test_diffuse_needs_a_graph_and_orders_by_it(own: Garden) -> None:
    photo, where = own.photos / "Wren" / "1.jpg", ("--index", own.index, "--json")
    refused = run("query", photo, "--diffuse", *where, code=1).err
    assert "no neighbour graph" in refused
    assert "birdsearch optimize --index" in refused
    run("optimize", *where)
    answers = run("query", photo, "-k", "3", "--diffuse", *where).json[0]["matches"]
    score_of = {m["photo"]["id"]: m["score"] for m in run("query", photo, "-k", "99", *where).json[0]["matches"]}
    assert len(answers) == 3
    assert all(abs(score_of[match["photo"]["id"]] - match["score"]) < 1e-6 for match in answers)
    least = run("query", photo, "--diffuse", "--combine", "--min-score", "0.9", *where).json[0]["matches"]
    assert all(match["score"] >= 0.9 for match in least)


def test_combine_makes_one_query_of_all_images(garden: Garden) -> None:
    paths = [garden.photos / "Wren" / "1.jpg", garden.photos / "Wren" / "2.jpg"]
    answer = run("query", *paths, "-k", "2", "--combine", "--index", garden.index, "--json").json
    assert len(answer) == 1
    assert {match["photo"]["label"] for match in answer[0]["matches"]} == {"Wren"}


def test_k_beyond_the_index_is_explained(garden: Garden) -> None:
    answer = run("query", garden.photos / "Wren" / "1.jpg", "-k", "50", "--index", garden.index, "--json")
    assert len(answer.json[0]["matches"]) == 5
    assert "holds 6 photos" in answer.err


def test_query_errors_name_the_file(garden: Garden, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    assert "nothere.jpg" in run("query", "nothere.jpg", "--index", garden.index, code=1).err
    assert "text.jpg" in run("query", "text.jpg", "--index", garden.index, code=1).err
    good = garden.photos / "Wren" / "1.jpg"
    assert "cannot write" in run("query", good, "--index", garden.index, "--html", "no/such/x.html", code=1).err


def test_strange_names_survive_the_way_through(garden: Garden, tmp_path: Path) -> None:
    name = os.fsdecode(b"w\xe4ren\n[b].jpg")
    shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / name)
    answer = run("query", name, "-k", "1", "--index", garden.index, "--html", "page.html")
    assert answer.out.splitlines()[1].startswith("1  1.000")
    assert "w\\xe4ren␊[b].jpg" in (tmp_path / "page.html").read_text()
    assert run("query", name, "--index", garden.index, "--json").json[0]["query"] == "w\\xe4ren\n[b].jpg"
    assert "gone\\n[b].jpg" in run("query", "gone\n[b].jpg", "--index", garden.index, code=1).err


def test_empty_index_says_what_to_do(tmp_path: Path, garden: Garden) -> None:
    (tmp_path / "empty").mkdir()
    run("index", "empty", "--index", "none")
    answer = run("query", garden.photos / "Wren" / "1.jpg", "--index", "none")
    assert "nothing similar" in answer.out
    assert "birdsearch index DIR --index none" in answer.err
    assert "no photos" in run("photos", "--index", "none").out
    assert run("photos", "--index", "none", "--json").json == []


def test_photos_table_limit_csv_and_page(garden: Garden, tmp_path: Path) -> None:
    where = ["--index", str(garden.index)]
    limited = run("photos", *where, "--limit", "2")
    assert len(limited.out.splitlines()) == 3
    assert "first 2" in limited.err
    rows = run("photos", *where, "--csv", "--species", "Wren").rows
    assert [row["label"] for row in rows] == ["Wren"] * 3
    assert tuple(rows[0]) == PHOTO_COLUMNS
    run("photos", *where, "--html", "all.html")
    assert (tmp_path / "all.html").read_text().count("data:image/jpeg") == 6


def test_features_of_a_photo_from_standard_input(garden: Garden, tmp_path: Path) -> None:
    path = garden.photos / "Wren" / "1.jpg"
    written = ["--out", "maps.npz", "--picture", "energy.png", "--index", garden.index]
    files = []
    for image, piped in ((path, None), ("-", path.read_bytes())):
        run("features", image, *written, input=piped)
        files.append([np.load("maps.npz")["stage1"].tobytes(), Path("energy.png").read_bytes()])
    assert files[0] == files[1]


def test_a_question_that_no_photo_answers_says_so_and_is_no_error(garden: Garden, tmp_path: Path) -> None:
    nobody = ["--index", garden.index, "--min-width", "5000"]
    assert "no photo fits the filter" in run("photos", *nobody).out
    for form in ("--json", "--csv"):
        answer = run("photos", *nobody, form)
        assert "No photo fits the filter." in answer.err
        assert "fits" not in answer.out
    assert "No photo fits the filter." in run("export", tmp_path / "a.csv", *nobody).err
    assert "No photo fits the filter." in run("export", tmp_path / "b.csv", *nobody, "--json").err


def test_features_writes_maps_and_a_picture(garden: Garden, tmp_path: Path) -> None:
    path = garden.photos / "Wren" / "1.jpg"
    answer = run("features", path, "--out", "maps.npz", "--picture", "energy.png", "--index", garden.index)
    with np.load(tmp_path / "maps.npz") as maps:
        assert maps.files
        assert all(maps[name].ndim == 3 for name in maps.files)
        assert all(name in answer.out for name in maps.files)
    with Image.open(tmp_path / "energy.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (320, 240)


def test_a_photo_may_come_through_standard_input(garden: Garden, tmp_path: Path) -> None:
    photo = Path(shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / "copy.jpg"))
    for command in ("query", "classify"):
        piped = run(command, "-", "--index", garden.index, "--json", input=photo.read_bytes()).json
        assert piped[0]["query"] == "-"
        named = run(command, photo, "--index", garden.index, "--json").json
        assert {**piped[0], "query": ""} == {**named[0], "query": ""}


def test_photos_are_listed_in_an_order(garden: Garden) -> None:
    listed = run("photos", "--order", "newest", "--index", garden.index, "--json").json
    times = [photo["taken_at"] for photo in listed]
    assert times == sorted(times, reverse=True)
    run("photos", "--order", "latest", "--index", garden.index, code=2)


def test_photos_say_of_how_many_they_are_the_first(garden: Garden, tmp_path: Path) -> None:
    answer = run("photos", "--limit", 2, "--index", garden.index, "--html", "page.html")
    assert "Only the first 2 of 6 are shown" in answer.err
    assert "the first 2 of 6 photos" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_box_asks(garden: Garden, tmp_path: Path) -> None:
    path = shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / "copy.jpg")
    shares = run("query", path, "--box", "0.3,0.3,0.4,0.5", "--index", garden.index, "--json").json[0]["matches"]
    pixels = run("query", path, "--box", "96,72,128,120px", "--index", garden.index, "--json").json[0]["matches"]
    assert shares == pixels
    assert shares[0]["region"]["kind"] == "frame"
    assert shares[0]["score"] < 0.9999
    page = tmp_path / "page.html"
    row = run("query", path, "--box", "96,72,128,120px", "--index", garden.index, "--csv", "--html", page).rows[0]
    assert (row["region"], row["box"]) == ("frame", "0,0,1,1")
    text = page.read_text()
    assert text.count("<rect") == 1  # the box that asked; frames are not drawn
    assert 'viewBox="0 0 320 240"' in text
    assert 'x="96.0" y="72.0" width="128.0" height="120.0"' in text


def test_what_is_no_box_is_told(garden: Garden) -> None:
    path = garden.photos / "Wren" / "1.jpg"
    for box, words in (
        ("0.3,0.3", "is not a box: give X,Y,WIDTH,HEIGHT"),
        ("0.9,0.3,0.4,0.5", "lies outside the picture"),
        ("0.9,0.3,0,0.5", "is empty"),
        ("96,72,128,120", "in pixels"),
    ):
        assert words in " ".join(run("query", path, "--box", box, "--index", garden.index, code=2).err.split())
    beyond = run("query", path, "--box", "300,72,128,120px", "--index", garden.index, code=1).err
    assert "1.jpg: the box 300,72,128,120px lies outside the picture, which is 320 x 240 pixels as shown" in beyond


def test_the_region_that_matches_is_shown(garden: Garden, tmp_path: Path) -> None:
    index, photos = tmp_path / "index", tmp_path / "photos"
    shutil.copytree(garden.index, index)
    shutil.copytree(garden.photos, photos)
    (tmp_path / "boxes.csv").write_text("path,x,y,width,height,category\nphotos/Wren/1.jpg,80px,60,100,100,bird\n")
    told = run("index", photos, "--index", index, "--labels", "folder", "--regions", tmp_path / "boxes.csv").out
    assert "regions    1 new, 1 embedded" in told
    with Image.open(photos / "Wren" / "1.jpg") as picture:
        picture.crop((70, 50, 190, 170)).save(tmp_path / "bird.png")
    page = tmp_path / "page.html"
    answer = run("query", tmp_path / "bird.png", "--index", index, "--html", page).out.splitlines()
    assert "region" in answer[0]
    assert "box 0.25,0.25,0.312,0.417" in answer[1]
    text = page.read_text()
    assert text.count("<rect") == 1
    assert "<title>bird, by boxes.csv</title>" in text
    assert "needs --regions FILE" in run("index", "--index", index, "--category", "bird", code=2).err


def test_explain_says_where_the_score_comes_from(garden: Garden, tmp_path: Path) -> None:
    path = shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / "copy.jpg")
    best = run("query", path, "-k", "1", "--index", garden.index, "--json").json[0]["matches"][0]
    by_id = run("explain", path, best["photo"]["id"], "--index", garden.index, "--json", "--html", "why.html")
    assert by_id.json["score"] == pytest.approx(best["score"], abs=1e-4)
    assert np.sum(by_id.json["share"]) == pytest.approx(best["score"], abs=1e-4)
    assert by_id.json["exact"] is True
    assert "Why these two photos match" in Path("why.html").read_text(encoding="utf-8")
    by_path = run("explain", path, best["photo"]["path"], "--index", garden.index, "--json").json
    assert by_path["share_of_match"] == by_id.json["share_of_match"]
    table = run("explain", path, best["photo"]["id"], "--index", garden.index)
    assert "score 1.000" in table.out
    assert "places of the first photo" in table.out


def test_explain_takes_a_photo_from_standard_input(garden: Garden) -> None:
    photo = (garden.photos / "Wren" / "1.jpg").read_bytes()
    answer = run("explain", "-", "1", "--index", garden.index, "--json", "--html", "why.html", input=photo)
    assert answer.json["query"] == "-"


def test_explain_names_what_is_not_there(garden: Garden) -> None:
    path = garden.photos / "Wren" / "1.jpg"
    assert "4711" in run("explain", path, "4711", "--index", garden.index, code=1).err
    assert "nowhere.jpg" in run("explain", path, "nowhere.jpg", "--index", garden.index, code=1).err


def test_query_explains_the_best_matches_on_its_page(garden: Garden, tmp_path: Path) -> None:
    path = shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / "copy.jpg")
    answer = run("query", "gone.jpg", path, "--index", garden.index, "--html", "page.html", "--explain", code=1)
    assert "3 drawings of why photos match, made in " in answer.err
    assert Path("page.html").read_text(encoding="utf-8").count("Why it matches") == 3
    assert "--html" in run("query", path, "--index", garden.index, "--explain", code=2).err
    combined = ("--html", "other.html", "--explain", "--combine")
    assert "--combine" in run("query", path, path, "--index", garden.index, *combined, code=2).err


def test_region_bird_asks_and_is_proposed(garden: Garden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_finder.install(monkeypatch)
    index, photos = tmp_path / "index", tmp_path / "photos"
    shutil.copytree(garden.index, index)
    shutil.copytree(garden.photos, photos)
    told = run("index", photos, "--index", index, "--labels", "folder", "--regions", "bird").out
    assert "regions    6 photos searched" in told
    (tmp_path / "boxes.csv").write_text("path,x,y,width,height,category\nphotos/Wren/1.jpg,0.3,0.3,0.2,0.3,bird\n")
    run("index", photos, "--index", index, "--regions", tmp_path / "boxes.csv")
    wren = photos / "Wren" / "1.jpg"
    plain = run("query", wren, "--index", index)
    assert f"fills 6.0 % of the picture: birdsearch query {wren} --region bird --index {index}" in plain.err
    alone = run("query", wren, "--index", index, "--region", "bird", "--json")
    assert "fills" not in alone.err
    assert alone.json != run("query", wren, "--index", index, "--json").json
    assert alone.json == run("query", wren, "--index", index, "--box", "0.3,0.3,0.2,0.3", "--json").json
    unknown = shutil.copy(wren, tmp_path / "unknown.jpg")
    assert (
        f"no bird was found in {unknown}: all of it asks."
        in run("query", unknown, "--region", "bird", "--index", index).err
    )
    assert "cannot be combined" in run("query", wren, "--region", "bird", "--box", "0,0,1,1", code=2).err
    assert "needs --regions bird" in run("index", "--index", index, "--finder", "classes", code=2).err
    wrong = run("index", "--index", index, "--regions", "bird", "--finder", "eyes", code=1).err
    assert (
        "finder must be auto, classes, saliency; got 'eyes'. The name of one of birder's detectors works too" in wrong
    )
    assert run("classify", wren, "--index", index, "--region", "bird", "--source", "backbone", "--json").json


@pytest.fixture
def coloured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of one colour each, in an index called default whose backbone knows the words for colours."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, shade in {"one": (220, 20, 30), "two": (20, 200, 40), "three": (30, 20, 220)}.items():
        Image.new("RGB", (40, 40), shade).save(photos / f"{name}.png")
    path = tmp_path / "indexes" / "default"
    with birdsearch.create(path, backbone=Colours()) as index:
        index.add(photos)
    opened = birdsearch.open
    monkeypatch.setattr(birdsearch, "open", lambda path: opened(path, backbone=Colours()))
    return photos


def test_words_are_told_from_files(coloured: Path) -> None:
    answer = run("query", "red bird", "-k", "2", "--json")
    assert "red bird is no file, so it is asked as words." in answer.err
    (result,) = answer.json
    assert result["query"] == "red bird"
    assert Path(result["matches"][0]["photo"]["path"]).name == "one.png"
    assert {match["score_kind"] for match in result["matches"]} == {"text"}
    for file in ("nothing.jpg", "a/b", "nothing.heic", "photos/nothing"):
        missing = run("query", file, code=1)
        assert "as words" not in missing.err
    (Path.cwd() / "red").mkdir()
    assert "as words" not in run("query", "red", code=1).err
    assert "as words" not in run("query", "--text", "red").err


@pytest.mark.parametrize("text", ["heron with a fish", "St. Kilda wren", "wren no. 2", "red - blue", "17", "Wren"])
def test_what_does_not_look_like_a_file_is_words(text: str) -> None:
    assert options.are_words(text)


@pytest.mark.parametrize("text", ["a.jpg", "dir/wren", "C:\\wren", "wren.CR3", "-", "", "./wren", "my wren.heic"])
def test_what_looks_like_a_file_is_one(text: str) -> None:
    assert not options.are_words(text)


def test_words_print_a_score_of_their_own_kind(coloured: Path) -> None:
    assert "text score" in run("query", "--text", "red bird").out
    plain = run("query", coloured / "one.png").out
    assert "score" in plain
    assert "text score" not in plain
    table = run("query", "--text", "red - blue", "--min-score", "0.5", "--csv").rows
    assert [(row["query"], row["score_kind"], Path(row["path"]).name) for row in table] == [
        ("red - blue", "text", "one.png")
    ]
    assert run("query", "--text", "red", "--under", coloured / "nowhere").out.strip() == "no photo fits the filter"


def test_images_and_words_are_asked_each_or_together(coloured: Path) -> None:
    one, two = run("query", coloured / "two.png", "--text", "blue", "-k", "1", "--json").json
    assert [one["matches"][0]["score_kind"], two["matches"][0]["score_kind"]] == ["photo", "text"]
    assert two["query"] == "blue"
    (both,) = run("query", coloured / "one.png", "--text", "blue - red", "--combine", "-k", "1", "--json").json
    assert both["query"].endswith("one.png + blue - red")
    failing = run("query", "gone.png", coloured / "one.png", "--text", "blue", "-k", "1", "--json", code=1)
    assert [len(answer["matches"]) for answer in failing.json] == [0, 1, 1]


def test_words_on_a_page(coloured: Path, tmp_path: Path) -> None:
    run("query", coloured / "one.png", "--text", "green <b>bird", "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "green &lt;b&gt;bird" in page
    assert "Text score" in page


def test_a_photo_that_is_called_as_words_is_shown_on_a_page(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "red").write_bytes((coloured / "one.png").read_bytes())
    run("query", "red", "--text", "red", "-k", "1", "--html", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<h2>red</h2>") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "red", "--diffuse"], "--diffuse"),
        (["--text", "red", "--explain", "--html", "page.html"], "--explain"),
        (["--text", "red", "--box", "0,0,1,1"], "--box"),
    ],
)
def test_what_is_of_images_is_refused_for_words(arguments: list[str], message: str, coloured: Path) -> None:
    assert message in run("query", *arguments, code=2).err


def test_words_that_cannot_be_asked_are_said_in_one_line(coloured: Path) -> None:
    for text, words in (("red - red", "asks for nothing"), ("red -", "no words"), (" ", "no words")):
        told = run("query", "--text", text, code=1).err
        assert words in told
        assert "internal" not in told


def test_an_index_that_knows_no_words_names_backbones_that_do(garden: Garden) -> None:
    known = run("query", "a heron with a fish", "--index", garden.index, code=1).err
    assert "bioclip-v2" in known
    assert "pull-text" in known
    assert "Traceback" not in known
