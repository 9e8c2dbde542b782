"""Labels as other programs hand them on: Camtrap DP, COCO Camera Traps, iNaturalist's export."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from birdsearch import Index
from birdsearch.errors import InputFileError
from birdsearch.indexing.label_files import read_labels
from tests.support import ROOT
from tests.support.camera_traps import Row, package, table, written
from tests.support.drawing import bird, write

EXAMPLE = ROOT.parent / "shared" / "data" / "camtrap-dp" / "example" / "datapackage.json"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of two cameras, whose files have the same names."""
    for seed, name in enumerate(["a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg"]):
        write(tmp_path / "photos" / name, bird(seed, 80, 60))
    return tmp_path / "photos"


def labels(index: Index, folder: Path) -> dict[str, str | None]:
    """Path -> label."""
    return {str(Path(photo.path).relative_to(folder)): photo.label for photo in index.photos()}


MEDIA: Sequence[Row] = [
    {"mediaID": "m1", "filePath": "a/1.jpg"},
    {"mediaID": "m2", "filePath": "a/2.jpg", "timestamp": "2026-05-01T05:00:30Z"},
    {"mediaID": "m3", "filePath": "a/3.jpg", "timestamp": "2026-05-01T09:00:00+02:00"},
    {"mediaID": "m4", "filePath": "b/1.jpg", "deploymentID": "d2"},
]


def test_a_package_labels_by_what_people_said_of_each_photo(photos: Path, index: Index) -> None:
    said = package(photos, MEDIA, [
        {"mediaID": "m1", "scientificName": "Parus major", "classifiedBy": "Ana",
         "classificationTimestamp": "2026-06-01T10:00:00Z"},
        {"mediaID": "m1", "scientificName": "Corvus corax", "classificationMethod": "machine"},
        {"mediaID": "m2", "scientificName": "Corvus corax", "classificationMethod": "machine"},
        {"mediaID": "m3", "observationType": "blank"},
        {"mediaID": "m4", "scientificName": "Homo sapiens", "observationType": "human"},
    ])  # fmt: skip
    report = index.add(photos, labels=said)
    assert labels(index, photos) == {"a/1.jpg": "Parus major", "a/2.jpg": None, "a/3.jpg": None, "b/1.jpg": None}
    assert report.unlabelled == 3
    (label,) = index.labels()
    assert (label.source, label.author, label.created_at) == ("csv", "Ana", "2026-06-01T10:00:00Z")


def test_what_was_said_of_an_event_holds_for_its_photos_but_not_against_their_own(photos: Path, index: Index) -> None:
    event = {
        "observationLevel": "event",
        "eventStart": "2026-05-01T07:00:00+02:00",
        "eventEnd": "2026-05-01T07:01:00+02:00",
    }
    said = package(photos, MEDIA, [
        {**event, "scientificName": "Parus major"},
        {"mediaID": "m2", "observationType": "blank"},
        {"mediaID": "m3", "eventID": "e9", "observationType": "unclassified", "classificationMethod": ""},
        {**event, "eventID": "e9", "eventStart": "2026-05-01T09:00:05Z", "eventEnd": "2026-05-01T09:00:06Z",
         "scientificName": "Sitta europaea"},
    ])  # fmt: skip
    index.add(photos, labels=said)
    # b/1.jpg was taken within the first event, by the camera of another deployment.
    assert labels(index, photos) == {
        "a/1.jpg": "Parus major",
        "a/2.jpg": None,
        "a/3.jpg": "Sitta europaea",
        "b/1.jpg": None,
    }


def test_many_events_at_once_are_read_in_time(tmp_path: Path) -> None:
    media = [{"mediaID": f"m{n}", "filePath": f"{n}.jpg"} for n in range(1000)]
    event = {"observationLevel": "event", "eventID": "e"}
    events = [{**event, "scientificName": f"Genus{n % 50} species"} for n in range(2000)]
    frames = [{"mediaID": f"m{n}", "eventID": "e", "observationType": "unclassified"} for n in range(1000)]
    told = read_labels(package(tmp_path, media, [*frames, *events]))
    assert len(told.several) == 1000
    assert {len(species) for species in told.several.values()} == {10}


def test_a_photo_of_two_species_has_no_label_and_both_are_told(
    photos: Path, index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    said = package(photos, MEDIA, [
        {"mediaID": "m1", "scientificName": "Parus major"},
        {"mediaID": "m1", "scientificName": "Corvus corax"},
        {"mediaID": "m2", "scientificName": "Parus major"},
        {"mediaID": "m2", "scientificName": "Great Tit"},
    ])  # fmt: skip
    report = index.add(photos, labels=said)
    assert labels(index, photos)["a/1.jpg"] is None
    assert labels(index, photos)["a/2.jpg"] == "Parus major"
    assert [one.species for one in report.several_species] == [("Parus major", "Corvus corax")]
    assert index.several_species() == list(report.several_species)
    assert "1 photo got no label, for several species are named of each" in caplog.text


def test_a_package_that_lies_elsewhere_names_photos_by_the_end_of_the_path_or_the_name(
    photos: Path, index: Index, tmp_path: Path
) -> None:
    media = [
        {"mediaID": "m1", "filePath": "a/1.jpg"},
        {"mediaID": "m3", "filePath": "https://example.org/assets/77/file", "fileName": "3.jpg"},
        {"mediaID": "m5", "filePath": "https://example.org/assets/78/file", "fileName": "2.jpg"},
        {"mediaID": "m6", "filePath": "https://example.org/assets/79/file", "fileName": "2.jpg"},
    ]
    said = package(tmp_path / "package", media, [
        {"mediaID": "m1", "scientificName": "Parus major"},
        {"mediaID": "m3", "scientificName": "Corvus corax"},
        {"mediaID": "m5", "scientificName": "Sitta europaea"},
    ])  # fmt: skip
    index.add(photos, labels=said)
    # Two cameras have taken a 2.jpg: which one the photo is nobody can say.
    assert labels(index, photos) == {
        "a/1.jpg": "Parus major",
        "a/2.jpg": None,
        "a/3.jpg": "Corvus corax",
        "b/1.jpg": None,
    }
    index.add(photos)
    assert labels(index, photos)["a/3.jpg"] == "Corvus corax"


@pytest.mark.skipif(not EXAMPLE.exists(), reason="../shared/data is not there")
def test_the_official_example_is_read() -> None:
    table = read_labels(EXAMPLE)
    species = {said.species for said in table.by_path.values()}
    assert {"Anas platyrhynchos", "Anas strepera"} <= species
    assert not {"Homo sapiens", "Ardea"} & species  # a person in the picture; what only a machine has named
    assert ("Ardea cinerea", "Anas platyrhynchos") in table.several.values()
    assert {said.author for said in table.by_path.values()} >= {"Peter Desmet"}


def coco(folder: Path, *annotations: Row, **more: object) -> Path:
    """Annotations of the photos a/1.jpg to a/3.jpg."""
    images = [{"id": f"i{n}", "file_name": f"a/{n}.jpg", "location": "a", "seq_id": "s"} for n in (1, 2, 3)]
    names = [(0, "empty"), (1, "Parus major"), (2, "human"), (3, "bird"), (4, "Corvus corax")]
    categories = [{"id": number, "name": name} for number, name in names]
    given = [{"id": n, **row} for n, row in enumerate(annotations)]
    return written(
        folder / "annotations.json", {"images": images, "annotations": given, "categories": categories, **more}
    )


def test_coco_labels_by_what_people_annotated(photos: Path, index: Index, tmp_path: Path) -> None:
    said = coco(
        tmp_path,
        {"image_id": "i1", "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"image_id": "i1", "category_id": 1},
        {"image_id": "i2", "category_id": 0},
        {"image_id": "i3", "category_id": 1, "score": 0.9},
        {"image_id": "i3", "category_id": 2},
        {"image_id": "i3", "category_id": 3},
    )
    index.add(photos, labels=said)
    assert labels(index, photos) == {"a/1.jpg": "Parus major", "a/2.jpg": None, "a/3.jpg": None, "b/1.jpg": None}


def test_coco_of_two_species_in_a_photo(
    photos: Path, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = coco(tmp_path, *({"image_id": "i1", "category_id": number} for number in (1, 4, 0)))
    report = index.add(photos, labels=said)
    assert [one.species for one in report.several_species] == [("Parus major", "Corvus corax")]
    assert labels(index, photos)["a/1.jpg"] is None
    assert caplog.text.count("1 photo found by the end of the path") == 1


EXPORT = ["id", "observed_on", "user_login", "quality_grade", "image_url", "scientific_name", "common_name"]


def observations(path: Path, *rows: Sequence[str]) -> Path:
    """iNaturalist's export."""
    return table(path, [dict(zip(EXPORT, row, strict=True)) for row in rows])


def test_inaturalist_labels_the_photos_with_the_number_in_their_names(
    tmp_path: Path, index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    for seed, name in enumerate(["1234567.jpg", "obs-2345678_2.jpg", "91234567.jpg", "3456789 and 1234567.jpg"]):
        write(tmp_path / "photos" / name, bird(seed, 80, 60))
    said = observations(
        tmp_path / "observations-1.csv",
        ("1234567", "2024-05-01", "ana", "research", "https://x/1/medium.jpg", "Parus major", "Great Tit"),
        ("2345678", "2024-05-02", "ben", "needs_id", "https://x/2/medium.jpg", "Corvus", "Ravens and crows"),
        ("3456789", "2024-05-02", "ben", "research", "https://x/3/medium.jpg", "Corvus corax", ""),
        ("4567890", "", "", "casual", "", "", ""),
    )
    report = index.add(tmp_path / "photos", labels=said)
    assert labels(index, tmp_path / "photos") == {
        "1234567.jpg": "Parus major", "obs-2345678_2.jpg": "Corvus", "91234567.jpg": None,
        "3456789 and 1234567.jpg": None,
    }  # fmt: skip
    assert [one.species for one in report.several_species] == [("Corvus corax", "Parus major")]
    assert {(label.author, label.created_at) for label in index.labels()} == {
        ("ana", "2024-05-01"),
        ("ben", "2024-05-02"),
    }
    assert "1 of 3 observations are not of research grade" in caplog.text


def test_the_observer_groups_photos_of_which_no_photographer_is_known(tmp_path: Path, index: Index) -> None:
    for number in range(12):
        write(tmp_path / "photos" / f"{1000 + number}.jpg", bird(number, 80, 60))
    rows = [
        (str(1000 + n), f"2024-05-0{1 + n // 6}", "ana" if n % 2 else "Ben", "research", "", "Parus major", "")
        for n in range(12)
    ]
    index.add(tmp_path / "photos", labels=observations(tmp_path / "observations.csv", *rows))
    visits = next(one for one in index.split().leakage if one.rule.startswith("one photographer"))
    assert (visits.groups, visits.pairs, visits.violations) == (4, 12, 0)


@pytest.mark.parametrize(
    ("media", "seen", "words"),
    [
        ({"filePath": "../a/1.jpg"}, {}, r"media\.csv, line 2: filePath is '\.\./a/1\.jpg', which leaves the folder"),
        ({"filePath": "/photos/1.jpg"}, {}, r"media\.csv, line 2: filePath is '/photos/1\.jpg', which leaves"),
        ({"filePath": "C:\\photos\\1.jpg"}, {}, "which leaves the folder"),
        ({"filePath": ""}, {}, "which names no file"),
        ({"mediaID": ""}, {}, "line 2: mediaID: it is empty"),
        ({"timestamp": "yesterday"}, {}, r"line 2: timestamp is 'yesterday'\. Write a time"),
        ({}, {"mediaID": "m7"}, r"observations\.csv, line 2: there is no media 'm7'"),
        ({}, {"mediaID": ""}, "line 2: an observation of media has no mediaID"),
        ({}, {"observationType": "bird"}, "observationType is 'bird'. It is one of animal"),
        ({}, {"classificationMethod": "ai"}, "classificationMethod is 'ai'. It is human or machine"),
        ({}, {"mediaID": "", "observationLevel": "event", "eventEnd": "9999"}, "line 2: eventEnd is '9999'"),
        ({}, {"classificationTimestamp": "soon"}, "classificationTimestamp is 'soon'"),
    ],
)
def test_a_package_that_cannot_be_used_names_the_line(tmp_path: Path, media: Row, seen: Row, words: str) -> None:
    said = package(tmp_path, [{"mediaID": "m1", "filePath": "a/1.jpg", **media}], [{"mediaID": "m1", **seen}])
    with pytest.raises(InputFileError, match=words):
        read_labels(said)


def test_a_package_without_its_tables_is_refused(tmp_path: Path) -> None:
    for path, words in (
        ("../media.csv", "leaves the folder"), ("https://example.org/media.csv", "lies on the web"),
        (["a.csv", "b.csv"], "it names no file of the table media"), ("gone.csv", "cannot read .*gone.csv"),
        (None, "it names no file of the table media"),
    ):  # fmt: skip
        with pytest.raises(InputFileError, match=words):
            read_labels(package(tmp_path, MEDIA, [{"mediaID": "m1"}], {"media": path}))


def test_media_named_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="line 3: mediaID: 'm1' stands in line 2 too"):
        read_labels(package(tmp_path, [*MEDIA[:1], *MEDIA[:1]], [{"mediaID": "m1"}]))
    media = [*MEDIA[:1], {**MEDIA[0], "mediaID": "m9"}]
    with pytest.raises(InputFileError, match=r"media line 3 and media line 2: both are a/1\.jpg"):
        read_labels(package(tmp_path, media, [{"mediaID": n, "scientificName": "Parus major"} for n in ("m1", "m9")]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "line 1: this is not JSON"),
        ("[]", "is no file of labels"),
        ('{"images": [\n{"id": 1,', "line 2: this is not JSON"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}]}', "is no file of labels: it lists neither annotations nor"),
        ('{"images": [1], "annotations": []}', r"images is not a list of objects \(item 1\)"),
        ('{"images": [], "annotations": {}}', "is no file of labels"),
        ('{"images": [{"file_name": "a.jpg"}], "annotations": []}', "image 1 has no id"),
        ('{"images": [{"id": 1, "file_name": 5}], "annotations": []}', "image 1: file_name is 5"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}',
            "has the id 1, as",
        ),
        ('{"images": [], "annotations": [{"image_id": 4}]}', "annotation 1: the file has no image 4"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": 5}]}', "category 1: its name is 5"),
        ('{"images": [], "annotations": [], "categories": 7}', "categories is not a list of objects"),
        ('{"images": [{"id": 1, "file_name": "\\ud800"}], "annotations": []}', "image 1: file_name is"),
        ('{"resources": [{"name": ["media"], "path": "x"}]}', "it names no file of the table media"),
        ('{"resources": []}', "it names no file of the table media"),
        ("{" + '"a":' * 3 + "1}", "line 1: this is not JSON"),
        ('{"a": ' + "[" * 100_000, "line 1: this is not JSON"),
    ],
)
def test_json_that_cannot_be_used_is_told_in_words(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(InputFileError, match=words):
        read_labels(path)


def test_an_export_of_inaturalist_that_cannot_be_used_names_the_line(tmp_path: Path) -> None:
    row = ("1234567", "2024-05-01", "ana", "research", "", "Parus major", "")
    for rows, words in (
        ([("x1", *row[1:])], "line 2: id is 'x1'"),
        ([(row[0], "5/1/2024", *row[2:])], "line 2: observed_on is '5/1/2024'. Write a day"),
        ([row, (*row[:5], "Corvus corax", "")], "lines 2 and 3: observation 1234567 is Parus major and Corvus corax"),
    ):
        with pytest.raises(InputFileError, match=words):
            read_labels(observations(tmp_path / "o.csv", *rows))


def test_entries_that_name_no_photo_are_told(
    photos: Path, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = coco(tmp_path, {"image_id": "i1", "category_id": 1}, images=[{"id": "i1", "file_name": "gone/1.jpg"}])
    with caplog.at_level(logging.WARNING, "birdsearch"):
        index.add(photos, labels=said)
    assert (
        "images of the file that name no photo under these folders for certain: 1 (image 1: gone/1.jpg)" in caplog.text
    )
