"""Files of boxes as detectors and people write them."""

from pathlib import Path
from typing import Any

import pytest

from birdsearch import Box, Photo
from birdsearch.errors import InputFileError
from birdsearch.indexing.box_files import BoxFile, read_boxes
from tests.support.camera_traps import package, written

WIDE = Photo(1, "/photos/a.jpg", width=4000, height=3000)


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


def speciesnet(*images: dict[str, Any]) -> dict[str, Any]:
    """What SpeciesNet writes of these images."""
    return {"predictions": [{"filepath": f"cam/{n}.jpg", **image} for n, image in enumerate(images)]}


FOUND = {"category": "1", "label": "animal", "conf": 0.9, "bbox": [0.1, 0.2, 0.3, 0.4]}
TIT, TITS = "u1;aves;passeriformes;paridae;parus;major;great tit", "u2;aves;passeriformes;paridae;;;tit family"
HUMAN, BLANK = "u3;mammalia;primates;hominidae;homo;sapiens;human", "u4;;;;;;blank"


def processed(label: str, score: float = 0.8, **more: Any) -> dict[str, Any]:
    """A detection that is classified itself, as since version 5."""
    return {**FOUND, "processed_classification": {"class": label, "score": score, "source": "classifier"}, **more}


def predicted(file: BoxFile) -> dict[str, list[tuple[str | None, str, str, float]]]:
    """Name of a file -> what is predicted of it."""
    assert file.predictions is not None
    return {
        Path(path.decode()).name: [(one.species, one.rank, one.class_name, one.probability) for one in said]
        for path, said in file.predictions.items()
    }


def test_speciesnet_that_says_what_each_image_shows(tmp_path: Path) -> None:
    content = speciesnet(
        {
            "detections": [FOUND, {**FOUND, "category": "2", "label": "human"}],
            "prediction": TIT,
            "prediction_score": 0.91,
        },
        {"detections": [FOUND], "prediction": TITS, "prediction_score": 0.7},
        {"detections": [], "prediction": BLANK, "prediction_score": 0.99},
        {"failures": ["DETECTOR", "CLASSIFIER"]},
        {"detections": [FOUND], "failures": ["CLASSIFIER"]},
        {"detections": [FOUND], "prediction": HUMAN, "prediction_score": 0.9},
    )
    file = read_boxes(written(tmp_path / "predictions.json", content))
    assert file.source == "SpeciesNet"
    assert [(row.photo[-5:], row.category) for row in file.rows] == [
        ("0.jpg", "animal"), ("0.jpg", "human"), ("1.jpg", "animal"), ("2.jpg", None), ("4.jpg", "animal"),
        ("5.jpg", "animal"),
    ]  # fmt: skip
    assert file.rows[3].corners is None
    assert predicted(file) == {
        "0.jpg": [("Parus major", "species", "Parus major", 0.91)], "1.jpg": [(None, "family", "Paridae", 0.7)],
        "2.jpg": [], "4.jpg": [], "5.jpg": [],
    }  # fmt: skip
    assert file.predictions is not None
    assert {one.source for said in file.predictions.values() for one in said} == {"speciesnet"}
    assert file.unread == {"DETECTOR, CLASSIFIER": 1}


def test_speciesnet_that_says_what_each_detection_shows(tmp_path: Path) -> None:
    content = speciesnet(
        {"detections": [processed(TITS, 0.88), processed(TIT, 0.6), processed(TIT, 0.9)]},
        {"detections": [processed(HUMAN), processed("u;;;;;;vehicle"), processed(BLANK), processed("u;aves;;;;;bird")]},
    )
    file = read_boxes(written(tmp_path / "predictions.json", {"info": {"format_version": "20261015"}, **content}))
    assert [row.category for row in file.rows] == ["animal"] * 3 + ["human", "vehicle", "blank", "animal"]
    assert predicted(file) == {
        "0.jpg": [("Parus major", "species", "Parus major", 0.9), (None, "family", "Paridae", 0.88)],
        "1.jpg": [(None, "class", "Aves", 0.8)],
    }


def test_megadetector_with_the_taxa_of_speciesnet(tmp_path: Path) -> None:
    content = megadetector({**FOUND, "classifications": [["0", 0.3], ["1", 0.7]]})
    names = {"classification_categories": {"0": "great tit", "1": "tit family"}}
    assert read_boxes(written(tmp_path / "md.json", content | names)).predictions is None
    described = {"classification_category_descriptions": {"0": TIT, "1": TITS}}
    assert predicted(read_boxes(written(tmp_path / "md.json", content | names | described))) == {
        "a.jpg": [(None, "family", "Paridae", 0.7)]
    }


def test_what_detectors_find_has_its_usual_name_where_the_file_gives_none(tmp_path: Path) -> None:
    detections = [{"category": number, "conf": 0.9, "bbox": [0, 0, 1, 1]} for number in ("1", "2", "3")]
    content = {"images": [{"file": "a.jpg", "detections": detections}]}
    assert [row.category for row in read_boxes(written(tmp_path / "md.json", content)).rows] == [
        "animal", "person", "vehicle"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"predictions": [5]}, r"predictions is not a list of objects \(item 1\)"),
        ({"predictions": {}}, "is not a file of boxes"),
        (speciesnet({"filepath": None}), "image 1: filepath is None"),
        (speciesnet({"detections": 5}), "image 1: detections is not a list of objects"),
        (speciesnet({"failures": 5}), "image 1: failures is 5"),
        (speciesnet({"detections": [{**FOUND, "bbox": [0, 0, float("nan"), 1]}]}), "detection 1: bbox is 'nan'"),
        (speciesnet({"detections": [{**FOUND, "conf": float("inf")}]}), "detection 1: conf is 'inf'"),
        (speciesnet({"detections": [processed("great tit")]}), "image 1: 'great tit' is no taxon of SpeciesNet"),
        (speciesnet({"detections": [processed(TIT, 7)]}), "image 1: the score of .* is 7"),
        (speciesnet({"detections": [FOUND], "prediction": TIT}), "image 1: the score of .* is None"),
        (speciesnet({"detections": []}, {"filepath": "cam/../cam/0.jpg", "detections": []}), "image 2: image 1 is cam"),
    ],
)
def test_a_file_of_speciesnet_that_cannot_be_used_is_told_in_words(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        read_boxes(written(tmp_path / "predictions.json", content))


def test_coco_camera_traps(tmp_path: Path) -> None:
    images = [{"id": name, "file_name": f"{name}.jpg", "width": 100, "height": 100} for name in "abc"]
    content = coco(images=images, annotations=[
        {"image_id": "a", "category_id": 1, "bbox": [10, 10, 20, 20]}, {"image_id": "b", "category_id": 0},
        {"image_id": "c", "category_id": 1},
    ], categories=[{"id": 0, "name": "empty"}, {"id": 1, "name": "Parus major"}])  # fmt: skip
    rows = read_boxes(written(tmp_path / "boxes.json", content)).rows
    assert [(row.photo, row.category, row.corners is None) for row in rows] == [
        ("a.jpg", "Parus major", False), ("b.jpg", None, True)
    ]  # fmt: skip
    del content["annotations"][0]
    with pytest.raises(InputFileError, match=r"has no boxes: it says what whole images show.*--labels"):
        read_boxes(written(tmp_path / "boxes.json", content))


def test_camtrap_dp(tmp_path: Path) -> None:
    box = {"bboxX": "0.1", "bboxY": "0.2", "bboxWidth": "0.3", "bboxHeight": "0.4"}
    media = [
        *({"mediaID": f"m{n}", "filePath": f"a/{n}.jpg"} for n in (1, 2, 3)),
        {"mediaID": "m4", "filePath": "https://example.org/77/file", "fileName": "RCNX0001.JPG"},
    ]
    said = package(tmp_path, media, [
        {"mediaID": "m1", "scientificName": "Parus major", **box},
        {"mediaID": "m1", "scientificName": "Corvus corax", "classificationMethod": "machine", **box},
        {"mediaID": "m2", "observationType": "human", "classificationMethod": "machine",
         "classificationProbability": "0.7", **box},
        {"mediaID": "m3", "observationType": "blank"},
        {"mediaID": "m4", **box},
    ])  # fmt: skip
    rows = read_boxes(said).rows
    assert [(row.photo, row.category, row.confidence) for row in rows] == [
        ("a/1.jpg", "Parus major", None), ("a/2.jpg", "human", 0.7), ("a/3.jpg", None, None),
        ("RCNX0001.JPG", "animal", None),
    ]  # fmt: skip
    assert rows[0].box(WIDE) == Box(0.1, 0.2, 0.3, 0.4)
    for wrong in ({"bboxX": "nan"}, {"bboxWidth": "7"}, {"bboxHeight": ""}):
        with pytest.raises(InputFileError, match=r"observations\.csv, line 2: "):
            read_boxes(package(tmp_path, media, [{"mediaID": "m1", **box, **wrong}]))


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


def test_what_is_read_is_what_megadetector_takes_for_its_own(tmp_path: Path) -> None:
    validator = pytest.importorskip(
        "megadetector.postprocessing.validate_batch_results",
        reason="megadetector-utils is not installed: pip install --no-deps megadetector-utils",
    )
    content = megadetector({**FOUND, "classifications": [["0", 0.7]]})
    content["info"]["format_version"] = "1.5"
    content["images"].append({"file": "b.jpg", "detections": None, "failure": "image access"})
    content |= {
        "classification_categories": {"0": "great tit"}, "classification_category_descriptions": {"0": TIT}
    }  # fmt: skip
    path = written(tmp_path / "md.json", content)
    judged = validator.validate_batch_results(str(path))["validation_results"]
    assert (judged["errors"], judged["warnings"]) == ([], [])
    file = read_boxes(path)
    assert predicted(file) == {"a.jpg": [("Parus major", "species", "Parus major", 0.7)]}
    assert file.unread == {"image access": 1}
