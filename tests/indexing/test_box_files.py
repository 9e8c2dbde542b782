"""Files of boxes as detectors and people write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from birdsearch import Box, Photo
from birdsearch.errors import InputFileError
from birdsearch.indexing.box_files import read_boxes

WIDE = Photo(1, "/photos/a.jpg", width=4000, height=3000)


def written(path: Path, content: Any) -> Path:
    """JSON in a file."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def megadetector(*detections: dict[str, Any]) -> dict[str, Any]:
    """What its batch run writes of one photo."""
    return {
        "info": {"detector": "md_v5a.0.0.pt", "format_version": "1.3"},
        "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
        "images": [{"file": "cam/a.jpg", "detections": list(detections)}],
    }


def coco(**more: Any) -> dict[str, Any]:
    """A photo with one bird."""
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 4000, "height": 3000}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 16, "bbox": [400, 300, 800, 600]}],
        "categories": [{"id": 16, "name": "bird"}],
        **more,
    }


def test_megadetector(tmp_path: Path) -> None:
    content = megadetector(
        {"category": "1", "conf": 0.8, "bbox": [0.5, 0.25, 0.5003, 0.5]},
        {"category": "2", "conf": 0.9, "bbox": [0, 0, 1, 1]},
    )
    content["images"] += [{"file": "b.jpg", "detections": []}, {"file": "c.jpg", "detections": None, "failure": "x"}]
    file = read_boxes(written(tmp_path / "md.json", content))
    assert file.source == "md_v5a.0.0.pt"
    assert [(row.photo, row.category, row.confidence) for row in file.rows] == [
        ("cam/a.jpg", "animal", 0.8), ("cam/a.jpg", "person", 0.9), ("b.jpg", None, None)
    ]  # fmt: skip
    assert file.rows[0].path == bytes(tmp_path / "cam" / "a.jpg")
    assert file.rows[0].box(WIDE) == Box(0.5, 0.25, 0.5, 0.5)
    assert file.rows[2].corners is None


def test_coco(tmp_path: Path) -> None:
    content = coco()
    content["images"].append({"id": "b", "file_name": "b.jpg", "width": 10, "height": 10})
    content["annotations"][0]["score"] = 0.75
    file = read_boxes(written(tmp_path / "boxes.json", content))
    first, second = file.rows
    assert (first.category, first.confidence, first.box(WIDE)) == ("bird", 0.75, Box(0.1, 0.1, 0.2, 0.2))
    assert (second.photo, second.corners, file.source) == ("b.jpg", None, "boxes.json")
    smaller = Photo(1, "/photos/a.jpg", width=2000, height=1500)  # the detector saw a larger copy
    assert first.box(smaller) == Box(0.1, 0.1, 0.2, 0.2)


def test_a_box_of_a_picture_as_it_is_stored_is_refused(tmp_path: Path) -> None:
    row = read_boxes(written(tmp_path / "boxes.json", coco())).rows[0]
    with pytest.raises(
        InputFileError, match=r"annotation 1: a\.jpg: the box is of a picture of 4000 x 3000 pixels, and"
    ):
        row.box(Photo(1, "/photos/a.jpg", width=3000, height=4000))
    with pytest.raises(InputFileError, match="its size is not known"):
        row.box(Photo(1, "/photos/a.jpg"))


def test_csv_in_shares_and_in_pixels_by_other_names(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("filename;xmin;ymin;w;h;class;score\na.jpg;400;300;800;600;bird;0.5\nb.jpg;0.1;0.1;0.2;0.2;;\n")
    first, second = read_boxes(path).rows
    assert (first.box(WIDE), first.category, first.confidence) == (Box(0.1, 0.1, 0.2, 0.2), "bird", 0.5)
    assert (second.box(WIDE), second.category, second.confidence) == (Box(0.1, 0.1, 0.2, 0.2), None, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "has no list of images"),
        ({"images": 5}, "has no list of images"),
        ({"images": []}, "neither annotations nor detections"),
        (coco(annotations=5), "annotations is not a list"),
        (coco(annotations=[{"image_id": 9, "bbox": [0, 0, 1, 1]}]), "annotation 1: the file has no image 9"),
        (coco(annotations=[{"image_id": 7, "bbox": [0, 0, 1]}]), r"annotation 1: bbox is \[0, 0, 1\]"),
        (coco(annotations=[{"image_id": 7, "bbox": [0, 0, 0, 5]}]), "annotation 1: bbox is .* above 0"),
        (coco(annotations=[{"image_id": 7, "bbox": [0, 0, "a", 5]}]), "annotation 1: bbox is 'a'"),
        (coco(images=[{"id": 7, "file_name": "a.jpg"}]), "image 1: its width and height are None and None"),
        (coco(images=[{"id": 7, "width": 1, "height": 1}]), "image 1: file_name is None"),
        (megadetector({"category": "1", "conf": 2, "bbox": [0, 0, 1, 1]}), "image 1, detection 1: confidence is 2"),
        (megadetector({"category": "1", "bbox": [0, 0, 1, 1]}), "detection 1: conf is 'None'"),
        (megadetector({"category": "1", "conf": 1}), "detection 1: bbox is None"),
    ],
)
def test_json_that_is_no_file_of_boxes_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        read_boxes(written(tmp_path / "boxes.json", content))


def test_what_is_not_json_says_where(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text('{"images": [\n{"file": }]}')
    with pytest.raises(InputFileError, match="line 2: this is not JSON"):
        read_boxes(tmp_path / "boxes.json")
    with pytest.raises(InputFileError, match="cannot read"):
        read_boxes(tmp_path / "gone.csv")
    (tmp_path / "a.csv").write_text("path,x,y,height\na.jpg,0,0,1\n")
    with pytest.raises(InputFileError, match="no column width"):
        read_boxes(tmp_path / "a.csv")
