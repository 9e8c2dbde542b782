"""SpeciesNet's word on photos comes with its boxes: a prediction that stays, never a label."""

from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter, Index, Prediction
from birdsearch.backbones.backbone import Backbone
from birdsearch.errors import InputFileError
from tests.support import boxed, fake_backbone, index_worker
from tests.support.camera_traps import written
from tests.support.fake_backbone import FakeBackbone

TIT, TITS = "u1;aves;passeriformes;paridae;parus;major;great tit", "u2;aves;passeriformes;paridae;;;tit family"
HUMAN = "u3;mammalia;primates;hominidae;homo;sapiens;human"


def file(folder: Path, *images: tuple[str, str, str]) -> Path:
    """SpeciesNet's file with a box in each photo: name, what is found, and the taxon."""
    return written(folder / "predictions.json", {"predictions": [
        {"filepath": f"photos/{name}", "prediction": taxon, "prediction_score": 0.9,
         "detections": [{"category": "1", "label": found, "conf": 0.8, "bbox": [0.1, 0.1, 0.5, 0.5]}]}
        for name, found, taxon in images
    ] + [{"filepath": "photos/Robin/3.jpg", "failures": ["DETECTOR"]}]})  # fmt: skip


def index_of(folder: Path, backbone: Backbone | FakeBackbone | None = None) -> Index:
    """Two photos without labels, of a network that knows no species."""
    boxed.photos(folder / "photos", 2)
    index = birdsearch.create(folder / "index", backbone=backbone or FakeBackbone())
    index.add(folder / "photos")
    return index


def said(index: Index) -> dict[str, tuple[Prediction, ...]]:
    """Name of a photo -> what SpeciesNet says of it."""
    return {
        "/".join(Path(photo.path).parts[-2:]): guesses
        for photo in index.photos()
        if (guesses := tuple(one for one in photo.predictions if one.source == "speciesnet"))
    }


WREN = (Prediction("Parus major", 0.9, 1, "species", "Parus major", "speciesnet"),)
ROBIN = (Prediction(None, 0.9, 1, "family", "Paridae", "speciesnet"),)


def test_the_species_becomes_a_prediction_and_persons_get_no_vector(tmp_path: Path) -> None:
    with index_of(tmp_path) as index:
        given = file(
            tmp_path, ("Wren/0.jpg", "animal", TIT), ("Robin/0.jpg", "animal", TITS), ("Robin/1.jpg", "human", HUMAN)
        )
        report = index.add(regions=given).regions
        assert (report.boxes, report.embedded, report.predicted) == (3, 2, 2)
        assert report.left_out == {"of photos that it could not read: DETECTOR": 1}
        assert said(index) == {"Wren/0.jpg": WREN, "Robin/0.jpg": ROBIN}
        assert index.labels() == []
        (wren,) = index.photos(Filter(species="Great Tit"))
        assert (wren.label, wren.species, wren.species_source) == (None, "Parus major", "prediction")
        assert index.photos(Filter(predicted="Parus major", min_probability=0.8)) == [wren]
        assert index.add(regions=given).regions.predicted == 0
        index.label({wren.id or 0: "Wren"})
        assert index.photo(wren.id or 0).species == "Wren"


def test_another_file_replaces_what_one_has_said(tmp_path: Path) -> None:
    with index_of(tmp_path) as index:
        index.add(regions=file(tmp_path, ("Wren/0.jpg", "animal", TIT), ("Robin/0.jpg", "animal", TITS)))
        index.add(regions=file(tmp_path, ("Wren/0.jpg", "animal", TITS)))
        assert said(index) == {"Wren/0.jpg": ROBIN, "Robin/0.jpg": ROBIN}
        index.add(regions=boxed.csv(tmp_path / "boxes.csv", "photos/Wren/0.jpg,0.1,0.1,0.2,0.2,bird,0.9"))
        assert said(index) == {"Wren/0.jpg": ROBIN, "Robin/0.jpg": ROBIN}


def test_what_a_network_says_stands_beside_it_and_comes_first(tmp_path: Path) -> None:
    names = ("Turdus merula", "Erithacus rubecula")
    backbone = fake_backbone.classifying(names, np.zeros((2, 16), np.float32), np.array([1, 0], np.float32))
    with index_of(tmp_path, backbone) as index:
        index.add(regions=file(tmp_path, ("Wren/0.jpg", "animal", TIT)))
        photo = next(photo for photo in index.photos() if photo.path.endswith("Wren/0.jpg"))
        assert [(one.source, one.position) for one in photo.predictions] == [
            ("backbone", 1), ("backbone", 2), ("speciesnet", 1)
        ]  # fmt: skip
        assert photo.species == "Turdus merula"


def test_it_stays_when_photos_are_embedded_anew_and_goes_with_the_content(tmp_path: Path) -> None:
    with index_of(tmp_path, index_worker.backbone()) as index:
        index.add(regions=file(tmp_path, ("Wren/0.jpg", "animal", TIT), ("Robin/0.jpg", "animal", TITS)))
        index.reembed(index_worker.backbone(recipe=index_worker.MIRRORED))
        assert said(index) == {"Wren/0.jpg": WREN, "Robin/0.jpg": ROBIN}
        (tmp_path / "photos" / "Wren" / "0.jpg").write_bytes((tmp_path / "photos" / "Heron" / "0.jpg").read_bytes())
        index.add(tmp_path / "photos")
        assert said(index) == {"Robin/0.jpg": ROBIN}


def test_an_export_carries_it(tmp_path: Path) -> None:
    with index_of(tmp_path) as index:
        index.add(regions=file(tmp_path, ("Wren/0.jpg", "animal", TIT), ("Robin/0.jpg", "animal", TITS)))
        index.export(tmp_path / "all.parquet")
    with birdsearch.create(tmp_path / "other", backbone=FakeBackbone()) as other:
        other.import_photos(tmp_path / "all.parquet")
        assert said(other) == {"Wren/0.jpg": WREN, "Robin/0.jpg": ROBIN}


@pytest.mark.parametrize("taxon", ["great tit", "a;b;c", 5])
def test_what_is_no_taxon_changes_nothing(tmp_path: Path, taxon: str) -> None:
    with index_of(tmp_path) as index:
        with pytest.raises(InputFileError, match="is no taxon of SpeciesNet"):
            index.add(regions=file(tmp_path, ("Wren/0.jpg", "animal", taxon)))
        assert index.info()["boxes"] == 0
