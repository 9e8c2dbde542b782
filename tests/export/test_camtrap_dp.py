"""Camtrap DP packages, as frictionless judges them by the official schemas."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Filter, Index
from birdsearch.errors import InputFileError, OutputFileError
from birdsearch.export.sightings import DatasetOptions
from birdsearch.records import ExportReport
from tests.export.reading import csv_rows
from tests.support.camtrap_packages import problems
from tests.support.fake_backbone import FakeBackbone
from tests.support.placed_photos import GARDEN, KAKAPO, NOTES, OWNER, SERIAL, photo

BOXES = """path,x,y,width,height,category,confidence
Kakapo/1.jpg,0.1,0.2,0.3,0.333333333333,bird,0.9
American Robin/1.jpg,0.1,0.2,0.3,0.3,bird,0.9
American Robin/1.jpg,0.6,0.2,0.3,0.3,bird,0.8
American Robin/1.jpg,0.6,0.6,0.3,0.3,person,0.8
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos with and without what a package needs, and their index with boxes."""
    place = tmp_path_factory.mktemp("camtrap")
    folder = place / "photos"
    photo(folder / "Kakapo/1.jpg", KAKAPO)
    photo(folder / "American Robin/1.jpg")
    photo(folder / "American Robin/2.jpg", taken="2024:05:17 06:07:30")
    photo(folder / 'American Robin/it\'s "ü", \t.jpg', (52.6, 13.5))
    photo(folder / "American Robin/no offset.jpg", offset=None)
    photo(folder / "American Robin/no time.jpg", taken=None)
    photo(folder / "no label.jpg")
    photo(folder / "no place.jpg", None)
    for name in ("new\nline.jpg", "two..dots.jpg", "=1+1.jpg"):
        photo(folder / name)
    (place / "boxes.csv").write_text(BOXES)
    with birdsearch.create(place / "index", backbone=FakeBackbone()) as made:
        made.add(folder, labels="folder", regions=place / "boxes.csv")
    return place


@pytest.fixture
def index(place: Path, tmp_path: Path) -> Iterator[Index]:
    """A copy of the index."""
    shutil.copytree(place / "index", tmp_path / "index")
    with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as opened:
        yield opened


def package(index: Index, folder: Path, options: DatasetOptions | None = None) -> ExportReport:
    """Export all photos; the package must be valid."""
    report = index.export(folder, format="camtrap-dp", options=options)
    assert problems(folder) == []
    return report


def test_a_package_is_valid_and_says_what_it_leaves_out(index: Index, tmp_path: Path) -> None:
    report = package(index, tmp_path / "out", DatasetOptions(title='"Birds"', license="CC-BY-4.0", contributor="B & C"))
    assert (report.written, report.rounded, report.unnamed) == (5, 1, {"no label": 1})
    assert {why.partition(" (")[0]: count for why, count in report.left_out.items()} == {
        "a time without an offset from UTC": 1,
        "no time": 1,
        "no position": 1,
        "a path that Camtrap DP does not allow": 2,
        "a path that a spreadsheet would run": 1,
    }
    described = json.loads((tmp_path / "out/datapackage.json").read_text())
    assert {one["scientificName"] for one in described["taxonomic"]} == {"Strigops habroptilus", "Turdus migratorius"}
    assert described["coordinatePrecision"] == 0.1
    assert described["licenses"] == [{"name": "CC-BY-4.0", "scope": scope} for scope in ("data", "media")]
    assert described["temporal"] == {"start": "2024-05-17", "end": "2024-05-17"}
    media = csv_rows(tmp_path / "out/media.csv")
    assert sorted(one["filePath"] for one in media)[0] == "American Robin/1.jpg"
    assert {one["filePublic"] for one in media} == {"false"}


def test_a_deployment_is_a_folder_and_knows_how_far_its_photos_are(index: Index, tmp_path: Path) -> None:
    package(index, tmp_path / "out")
    found = {one["locationName"]: one for one in csv_rows(tmp_path / "out/deployments.csv")}
    assert set(found) == {"Kakapo", "American Robin", "photos"}
    assert (found["Kakapo"]["latitude"], found["Kakapo"]["longitude"]) == ("-46.150000", "167.650000")
    assert found["Kakapo"]["coordinateUncertainty"] == "7900"
    assert "0.1 degree" in found["Kakapo"]["deploymentComments"]
    assert 10_000 < int(found["American Robin"]["coordinateUncertainty"]) < 12_000
    assert found["photos"]["coordinateUncertainty"] == ""
    assert found["American Robin"]["deploymentEnd"] == "2024-05-17T06:07:30+02:00"


def test_observations_say_who_said_so_and_never_how_many(index: Index, tmp_path: Path) -> None:
    robin = next(one for one in index.photos() if one.path.endswith("American Robin/2.jpg"))
    index.label({robin.id or 0: "American Robin"}, author="Bo")
    package(index, tmp_path / "out")
    found = csv_rows(tmp_path / "out/observations.csv")
    assert not any(one["count"] for one in found)
    named = [one for one in found if one["scientificName"]]
    assert {one["classificationMethod"] for one in named} == {"human"}
    assert not any(one["classifiedBy"] or one["classificationProbability"] for one in named)
    rare = next(one for one in named if one["scientificName"] == "Strigops habroptilus")
    assert float(rare["bboxHeight"]) == 0.333333333333  # the one bird of the photo is the one of its label
    boxed = [one for one in found if one["bboxX"] and not one["scientificName"]]
    assert [(one["observationType"], one["classificationMethod"]) for one in boxed] == [("animal", "machine")] * 2
    assert any(one["observationType"] == "unclassified" for one in found)
    package(index, tmp_path / "people", DatasetOptions(people=True))
    with_people = csv_rows(tmp_path / "people/observations.csv")
    assert sum(one["observationType"] == "human" for one in with_people) == 1
    (by_bo,) = [one for one in with_people if one["classifiedBy"] == "Bo"]
    assert by_bo["observationTags"] == "label:correction"
    assert by_bo["classificationTimestamp"]
    assert len({one["eventID"] for one in with_people if one["deploymentID"] == by_bo["deploymentID"]}) == 1


@pytest.mark.parametrize("people", [False, True])
def test_no_byte_of_a_package_tells_a_secret(index: Index, tmp_path: Path, people: bool) -> None:
    photo(tmp_path / "more/Mallard/at the nest.jpg", (KAKAPO[0], KAKAPO[1] + 0.001))  # another folder, the same spot
    photo(tmp_path / "more/Mallard/N46.1234 E167.6543.jpg", KAKAPO, seed=7)
    index.add(tmp_path / "more", labels="folder")
    report = package(index, tmp_path / "out", DatasetOptions(people=people))
    assert (report.written, report.rounded) == (6, 2)
    held = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    secrets = [str(tmp_path), "camtrap0", "/home", SERIAL, NOTES, "46.123", "167.654", OWNER]
    assert [secret for secret in secrets if secret.encode() in held] == []


def test_nothing_to_write_is_a_valid_package(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "out", Filter(label="dodo"), format="camtrap-dp").written == 0
    assert problems(tmp_path / "out") == []


def test_a_package_appears_whole_or_not_at_all(index: Index, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    with pytest.raises(OutputFileError, match="something is there already"):
        index.export(tmp_path / "full", format="camtrap-dp")

    def cancel(stage: str, done: int, total: int | None, path: str) -> None:
        if done:
            raise birdsearch.Cancelled

    with pytest.raises(birdsearch.Cancelled):
        index.export(tmp_path / "out", format="camtrap-dp", progress=cancel)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]


MUTANTS = [
    ("media.csv", "fileMediatype", "mediatype"),
    ("media.csv", "American Robin/1.jpg", "../1.jpg"),
    ("media.csv", "American Robin/1.jpg", "/home/1.jpg"),
    ("media.csv", "image/jpeg", "jpeg"),
    ("media.csv", r"\+02:00", ""),
    ("observations.csv", ",human,", ",ai,"),
    ("observations.csv", ",media,animal", ",photo,animal"),
    ("observations.csv", r",0\.1,0\.2,", ",1.1,0.2,"),
    ("observations.csv", r"\n(.*\n)", r"\n\1\1"),  # one id twice
    ("observations.csv", r"\n(\d+-1),(\w+),\d+,", r"\n\1,\2,999,"),  # of a medium that is not there
    ("media.csv", r"\n(\d+),\w+,", r"\n\1,nowhere,"),
    ("deployments.csv", r",52\.5", ",95.5"),
    ("deployments.csv", "deploymentStart", "start"),
    ("deployments.csv", ",7900,", ",far,"),
    ("datapackage.json", '"spatial"', '"spatially"'),
    ("datapackage.json", '"contact"', '"boss"'),
    ("datapackage.json", '"activityDetection"', '"byHand"'),
    ("datapackage.json", r"camtrap-dp/1\.0\.2/media", "camtrap-dp/1.0/media"),
]


def test_the_judge_refuses_wrong_packages(index: Index, tmp_path: Path) -> None:
    package(index, tmp_path / "out")
    for name, old, new in MUTANTS:
        path = tmp_path / "out" / name
        whole = path.read_text(encoding="utf-8")
        path.write_text(re.sub(old, new, whole, count=1), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != whole, (name, old)
        assert problems(tmp_path / "out"), (name, old, new)
        path.write_text(whole, encoding="utf-8")


# A table of deployments


def table(path: Path, text: str, encoding: str = "utf-8") -> DatasetOptions:
    """Options with a table of deployments."""
    path.write_bytes(text.encode(encoding))
    return DatasetOptions(deployments=path, timezone="+02:00")


SHEET = """sep=;
DeploymentID;Ordner;Ort;Breitengrad;Längengrad;Beginn;Ende;Kamera
Uhu 1;American Robin;"Höhe; Süd";52,5;13,25;01.05.2024;31.05.2024;Reconyx
Uhu 2;American Robin;Nord;53,5;14,25;2024-06-01T00:00;2024-06-30;
cam 3;Kakapo;Alm;-46,123456;167,654321;;;
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16"])
def test_a_table_of_deployments_comes_from_any_spreadsheet(index: Index, tmp_path: Path, encoding: str) -> None:
    report = package(index, tmp_path / "out", table(tmp_path / "cameras.csv", SHEET, encoding))
    assert report.written == 5
    assert report.left_out["in none of the deployments of the table"] == 2
    found = {one["deploymentID"]: one for one in csv_rows(tmp_path / "out/deployments.csv")}
    assert set(found) == {"Uhu 1", "cam 3"}
    one, rare = found["Uhu 1"], found["cam 3"]
    assert (one["latitude"], one["longitude"], one["locationName"]) == ("52.500000", "13.250000", "Höhe; Süd")
    assert (one["deploymentStart"], one["deploymentEnd"]) == ("2024-05-01T00:00:00+02:00", "2024-05-31T23:59:59+02:00")
    assert one["cameraModel"] == "Reconyx"
    assert (rare["latitude"], rare["coordinateUncertainty"]) == ("-46.150000", "7900")


def test_a_deployment_of_two_cameras_is_said_to_be_of_neither(tmp_path: Path) -> None:
    for name, camera in (("one/1", "R5"), ("one/2", "R5"), ("two/1", "R5"), ("two/2", "R6")):
        photo(tmp_path / f"photos/{name}.jpg", camera=camera)
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        package(index, tmp_path / "out")
    found = {one["locationName"]: one["cameraModel"] for one in csv_rows(tmp_path / "out/deployments.csv")}
    assert found == {"one": "Canon R5", "two": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deployment,latitude\na,1\n", "no column longitude"),
        ("deployment,latitude,longitude\na,52°31',13\n", "line 2: latitude is"),
        ("deployment,latitude,longitude\na,95,13\n", r"Write a number from -90 to 90, as 52\.5201"),
        ("deployment,latitude,longitude\na,nan,13\n", "line 2: latitude is 'nan'"),
        ("deployment,latitude,longitude\na,5,13\na,6,14\n", "two lines are of the deployment 'a'"),
        ("deployment,latitude,longitude\n,5,13\n", "line 2: the deployment has no name"),
        ("deployment,latitude,longitude,start\na,5,13,spring\n", "line 2: start is 'spring'"),
        ("deployment,latitude,longitude,start,end\na,5,13,2024-05-02,2024-05-01\n", "the end is before the start"),
        ("deployment,latitude,longitude\nNA,5,13\n", "the deployment is called NA, which means nothing"),
        ("", "no column"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(index: Index, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        index.export(tmp_path / "out", format="camtrap-dp", options=table(tmp_path / "cameras.csv", text))
    assert not (tmp_path / "out").exists()


def test_a_place_of_a_table_is_that_of_photos_without_one(index: Index, tmp_path: Path) -> None:
    options = table(tmp_path / "cameras.csv", f"deployment,latitude,longitude\nphotos,{GARDEN[0]},{GARDEN[1]}\n")
    assert package(index, tmp_path / "out", options).written == 7


def test_strange_texts_and_times_make_a_valid_package(tmp_path: Path) -> None:
    photo(tmp_path / "photos/Mallard/1.jpg", taken="0001:01:01 00:00:00", offset="+14:00")
    photo(tmp_path / "photos/Mallard/2.jpg", (90.0, -180.0), taken="9999:12:31 23:59:59", offset="-12:00", seed=2)
    photo(tmp_path / "photos/nan/a\\b.jpg", (0.0, 0.00001), offset=None)
    table_ = tmp_path / "cameras.csv"
    table_.write_text('deployment,latitude,longitude,folder,place\n"=cmd|x",1,2,Mallard,"a ""b""\nc"\n@x,1,2,nan,NA\n')
    zone = "Europe/Berlin"
    strange = DatasetOptions(deployments=table_, timezone=zone, title="<\udcff\n\0>&", contributor='"', license="=cmd")
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos", labels="folder")
        assert package(index, tmp_path / "out", strange).written == 3
        assert package(index, tmp_path / "folders", DatasetOptions(timezone="UTC", url="http://x.y")).written == 3
    assert csv_rows(tmp_path / "folders/media.csv")[0]["filePublic"] == "true"


def test_the_deployments_of_another_package_are_a_table(index: Index, tmp_path: Path) -> None:
    package(index, tmp_path / "first")
    again = DatasetOptions(deployments=tmp_path / "first/deployments.csv")
    assert package(index, tmp_path / "second", again).written == 6  # also the one that has no place of its own
    first, second = (csv_rows(tmp_path / name / "deployments.csv") for name in ("first", "second"))
    assert {one["deploymentID"] for one in first} == {one["deploymentID"] for one in second}
