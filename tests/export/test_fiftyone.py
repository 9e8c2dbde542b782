"""The folder for FiftyOne."""

from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import OutputFileError
from birdsearch.records import as_json
from tests.conftest import Garden
from tests.export.reading import fiftyone_files, vectors


def test_fiftyone_gets_paths_labels_and_vectors_in_one_order(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsearch.export.selection.BATCH", 5)
    assert index.export(tmp_path / "fiftyone", format="fiftyone").written == 16
    paths, labels, rows = fiftyone_files(tmp_path / "fiftyone")
    known = index.photos()
    assert sorted(paths) == list(paths) == list(labels)  # FiftyOne takes them in the order of their names
    assert [int(name) for name in paths] == [photo.id for photo in known]
    assert list(paths.values()) == [as_json(photo.path) for photo in known]
    assert all(path.isprintable() or "\n" in path or "\r" in path for path in paths.values())
    assert np.array_equal(rows, vectors(index))
    assert rows.dtype == np.float32


def test_fiftyone_labels_say_what_is_known(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "fiftyone", format="fiftyone")
    _, labels, _ = fiftyone_files(tmp_path / "fiftyone")
    assert [label and label["label"] for label in labels.values()] == [photo.label for photo in index.photos()]
    assert None in labels.values()
    camera = next(label for label in labels.values() if label and "camera" in label["attributes"])
    assert set(camera) == {"label", "attributes"}
    assert camera["attributes"] == {
        # FiftyOne refuses an attribute "id", which is its own.
        "photo_id": next(photo.id for photo in index.photos() if photo.camera),
        "species": "Wren",
        "taxon": "Passeriformes",
        "species_source": "label",
        "taken_at": "2024-05-17T06:07:08.42",
        "camera": "Canon EOS R5",
        "latitude": pytest.approx(-33.8583, abs=1e-3),
        "longitude": pytest.approx(151.21, abs=1e-3),
    }


def test_fiftyone_takes_predictions_along(garden: Garden, tmp_path: Path) -> None:
    with birdsearch.open(garden.index) as index:
        index.export(tmp_path / "fiftyone", format="fiftyone")
        first = index.photos()[0].predictions[0]
    attributes = next(iter(fiftyone_files(tmp_path / "fiftyone")[1].values()))["attributes"]
    assert (attributes["predicted"], attributes["probability"]) == (first.name, first.probability)


def test_fiftyone_makes_a_folder_of_its_own(index: Index, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for taken in (folder, tmp_path / "file"):
        with pytest.raises(OutputFileError, match=r"something is there already\. Name a new or empty folder"):
            index.export(taken, format="fiftyone", force=True)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(OutputFileError, match="its folder does not exist"):
        index.export(tmp_path / "nowhere" / "a", format="fiftyone")
    (tmp_path / "waiting").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "waiting")
    index.export(tmp_path / "link", format="fiftyone")
    assert len(fiftyone_files(tmp_path / "waiting")[0]) == 16
