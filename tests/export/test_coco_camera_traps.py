"""COCO Camera Traps, as pycocotools and MegaDetector's integrity check read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

import birdsearch
from birdsearch import Filter, Index
from birdsearch.export.sightings import DatasetOptions
from tests.support.fake_backbone import FakeBackbone
from tests.support.placed_photos import KAKAPO, NOTES, OWNER, SERIAL, photo

BOXES = """path,x,y,width,height,category,confidence
Kakapo/1.jpg,0.1,0.25,0.5,0.5,bird,0.9
American Robin/1.jpg,0.1,0.2,0.3,0.3,bird,0.9
American Robin/1.jpg,0.6,0.2,0.3,0.3,animal,0.8
American Robin/1.jpg,0.6,0.6,0.3,0.3,person,0.8
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Photos with labels and boxes, and with strange names."""
    folder = tmp_path / "photos"
    photo(folder / "Kakapo/1.jpg", KAKAPO)
    photo(folder / "American Robin/1.jpg")
    photo(folder / "American Robin/un\udcff\n\"'\t.jpg")
    photo(folder / "Blurry/ü.jpg", taken=None)
    photo(folder / "no label.jpg", None)
    (tmp_path / "boxes.csv").write_text(BOXES)
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as made:
        made.add(folder, labels="folder", regions=tmp_path / "boxes.csv")
        yield made


def check(path: Path) -> dict[str, Any]:
    """The contents of a file that pycocotools reads, and MegaDetector's own check finds nothing wrong with."""
    coco = COCO(str(path))
    integrity = pytest.importorskip(
        "megadetector.data_management.integrity_check_json_db",
        reason="megadetector-utils is not installed: pip install --no-deps megadetector-utils",
    )
    options = integrity.IntegrityCheckOptions()
    options.verbose, options.bFindUnusedImages, options.bRequireLocation = False, False, True
    options.requireInfo, options.validateBoxes = True, "error"
    errors = integrity.integrity_check_json_db(str(path), options)[2]
    assert not any(errors.values()), errors
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert len(coco.imgs) == len(data["images"])
    assert len(coco.anns) == len(data["annotations"])
    return data


def test_images_species_and_boxes(index: Index, tmp_path: Path) -> None:
    options = DatasetOptions(license="CC-BY-4.0", url="https://birds.org/p")
    report = index.export(tmp_path / "a.json", format="coco-ct", options=options)
    assert (report.written, report.left_out, report.rounded) == (5, {}, 0)
    assert {why.partition(" (")[0]: count for why, count in report.unnamed.items()} == {
        "no label": 1,
        "a label that is not the sure name of an animal": 1,
    }
    data = check(tmp_path / "a.json")
    names = {one["id"]: one["name"] for one in data["categories"]}
    assert names[0] == "empty"
    images = {one["id"]: one["file_name"] for one in data["images"]}
    said: dict[str, list[tuple[str, Any]]] = {}
    for one in data["annotations"]:
        said.setdefault(images[one["image_id"]], []).append((names[one["category_id"]], one.get("bbox")))
    assert said["Kakapo/1.jpg"] == [("Strigops habroptilus", [8.0, 15.0, 40.0, 30.0])]
    assert [name for name, _ in said["American Robin/1.jpg"]] == ["Turdus migratorius", "bird", "animal"]
    assert said["American Robin/un\\xff\n\"'\t.jpg"] == [("Turdus migratorius", None)]
    assert {one["location"] for one in data["images"]} == {"Kakapo", "American Robin", "Blurry", "photos"}
    assert {one.get("datetime") for one in data["images"]} == {None, "2024-05-17 06:07:08"}
    assert data["licenses"] == [{"id": 1, "name": "CC-BY-4.0", "url": ""}]
    assert {one["license"] for one in data["images"]} == {1}
    addresses = {one["file_name"]: one["coco_url"] for one in data["images"]}
    assert addresses["American Robin/1.jpg"] == "https://birds.org/p/American%20Robin/1.jpg"
    sequences: dict[str, set[str | None]] = {}
    for one in data["images"]:
        sequences.setdefault(one["location"], set()).add(one.get("seq_id"))
    assert sequences["Blurry"] == {None}  # without a time
    assert len(sequences["American Robin"]) == 1  # of two photos
    assert len(set().union(*sequences.values())) == 4


def test_what_a_machine_found_is_marked(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "a.json", format="coco-ct")
    found = check(tmp_path / "a.json")["annotations"]
    assert sum(one.get("machine", False) and one["verified"] is False for one in found) == 2
    assert all("score" not in one for one in found if "machine" not in one)


@pytest.mark.parametrize("people", [False, True])
def test_no_byte_tells_a_secret(index: Index, tmp_path: Path, people: bool) -> None:
    index.export(tmp_path / "a.json", format="coco-ct", options=DatasetOptions(people=people))
    data = check(tmp_path / "a.json")
    assert ("person" in {one["name"] for one in data["categories"]}) == people
    held = (tmp_path / "a.json").read_bytes()
    secrets = [str(tmp_path), "/home", SERIAL, NOTES, OWNER, "46.1", "167.6", "52.5"]
    assert [secret for secret in secrets if secret.encode() in held] == []


def test_nothing_to_write_is_a_valid_file(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "a.json", Filter(label="dodo"), format="coco-ct").written == 0
    assert check(tmp_path / "a.json")["images"] == []
