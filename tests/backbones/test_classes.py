"""What an index keeps of the last layer of a network, on disk."""

from pathlib import Path

import numpy as np
import pytest

from birdsearch.backbones import classes
from birdsearch.backbones.classes import Classes, Classifier, Projection, are_numbers

WEIGHTS, BIAS = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)


def written(folder: Path, layer: Classes) -> Path:
    path = folder / "classifier.npz"
    path.write_bytes(layer.as_npz())
    return path


def test_a_projection_is_kept_as_one(tmp_path: Path) -> None:
    path = written(tmp_path, Classes((), (), (), None, Projection(WEIGHTS, BIAS)))
    with np.load(path) as stored:
        assert stored["kind"] == "projection"
        np.testing.assert_array_equal(stored["projection"], WEIGHTS)
    read = Classes.read(path)
    assert (read.names, read.classifier, read.mistaken) == ((), None, False)
    assert read.projection is not None
    np.testing.assert_array_equal(read.projection.weights, WEIGHTS)


def test_classes_are_kept_as_classes(tmp_path: Path) -> None:
    path = written(tmp_path, Classes(("Wren", "Robin"), (None, None), ("", ""), Classifier(WEIGHTS, BIAS)))
    with np.load(path) as stored:
        assert stored["kind"] == "classes"
    read = Classes.read(path)
    assert (read.names, read.projection) == (("Wren", "Robin"), None)
    assert read.classifier is not None


@pytest.mark.parametrize("names", [("0", "1"), ("class 0", "class 1"), ("0000", "-1.5"), (" 7 ", "")])
def test_classes_that_are_numbers_are_read_as_a_projection(
    names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, Classes(names, (None, None), ("class", "class"), Classifier(WEIGHTS, BIAS)))
    read = Classes.read(path)
    assert (read.names, read.classifier, read.mistaken) == ((), None, True)
    assert read.projection is not None
    np.testing.assert_array_equal(read.projection.weights, WEIGHTS)
    monkeypatch.setattr(classes, "are_numbers", lambda names: False)
    assert Classes.read(path).names == names


def test_one_name_among_numbers_makes_them_names() -> None:
    assert are_numbers([])
    assert not are_numbers(["0", "1", "Wren"])
    assert not are_numbers(["class 0", "class birds"])
    assert not are_numbers(["00001_Aves"])


def test_a_projection_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, Classes((), (), (), None, Projection(WEIGHTS, np.ones(3, np.float32))))
    with pytest.raises(ValueError, match="last layer"):
        Classes.read(path)
