"""Makes the frozen index of a format, once for every new one.

`python -m tests.support.frozen_index tests/data/format-1.zip`
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

import birdsearch
from birdsearch import Filter, Index
from birdsearch.backbones import Backbone, BackboneSpec
from birdsearch.backbones.classes import Classifier
from birdsearch.backbones.custom import CustomNetwork
from birdsearch.records import as_json
from tests.support.drawing import bird, camera_exif, write
from tests.support.fake_backbone import FakeBackbone

QUESTION = np.linspace(-1, 1, 16, dtype=np.float32)[None]


def backbone(fake: FakeBackbone | None = None) -> Backbone:
    """The fake with three classes, two of which are species."""
    names = ("01_Troglodytes_troglodytes", "02_Erithacus_rubecula", "kite")
    weights = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    spec = BackboneSpec(
        "fake",
        16,
        (64, 64),
        class_names=names,
        class_species=("Troglodytes troglodytes", "Erithacus rubecula", None),
        class_ranks=("species", "species", "ImageNet"),
        classifier=Classifier(weights, np.zeros(3, np.float32)),
    )
    return Backbone.of(spec, CustomNetwork(fake or FakeBackbone()))


def answers(index: Index) -> dict[str, object]:
    """What an index says, as JSON: its photos, failures, counts, probabilities and the answers to one question."""
    photos = index.photos()
    ids = [photo.id for photo in photos if photo.id is not None]
    info = index.info()
    return {
        "photos": as_json(photos),
        "failures": as_json(index.failures()),
        "counts": {name: info[name] for name in ("photos", "missing", "labelled", "failures", "parts", "regions")},
        "labels": info["labels"],
        "probabilities": np.round(index.probabilities(ids), 5).tolist(),
        "matches": [[match.photo.id, round(match.score, 5)] for match in index.search_vectors(QUESTION, 10)[0]],
        "wrens": [photo.id for photo in index.photos(Filter(label="wren"))],
    }


def make(target: Path) -> None:
    """Six photos in two parts: labels, EXIF, an undecodable name, a copy, a changed, a missing and a broken one."""
    with tempfile.TemporaryDirectory(prefix="birds-") as temporary:
        photos, place = Path(temporary) / "photos", Path(temporary) / "frozen"
        write(photos / "Wren" / "camera.jpg", bird(0, 80, 60), exif=camera_exif())
        write(photos / "Wren" / "undecodable \udcff.jpg", bird(1, 80, 60))
        write(photos / "Robin" / "changed.jpg", bird(2, 80, 60))
        write(photos / "Robin" / "missing.jpg", bird(3, 80, 60))
        (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
        with birdsearch.create(place / "index", backbone=backbone()) as index:
            index.add(photos, labels="folder")
            (photos / "Robin" / "missing.jpg").unlink()
            write(photos / "Robin" / "changed.jpg", bird(4, 90, 60))
            write(photos / "new.png", bird(5, 80, 60))
            shutil.copy(photos / "Wren" / "camera.jpg", photos / "copy.jpg")
            index.add(photos)
            expected = answers(index)
        (place / "index" / "lock").unlink(missing_ok=True)
        (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.make_archive(str(target.with_suffix("")), "zip", place)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
