"""What Python users give by mistake is refused at once, in words of birdsearch and not of Python."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter, Index, Plan
from birdsearch.arguments import checked
from birdsearch.errors import BirdsearchError
from tests.conftest import write_garden_photos
from tests.support.fake_backbone import FakeBackbone

# How Python, numpy, SQLAlchemy and pydantic talk.
THEIRS = re.compile(
    "object is not|has no attribute|not supported between|invalid literal|must be a string|expected str|Input should"
    "|could not convert|slice indices|not iterable|SeedSequence|argument must be|unsupported operand"
)


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Three wrens and three robins that nothing changes."""
    place = tmp_path_factory.mktemp("garden")
    write_garden_photos(place / "photos")
    with birdsearch.create(place / "index", backbone=FakeBackbone()) as index:
        index.add(place / "photos", labels="folder")
        yield index


WRONG: list[tuple[Callable[[Any], Any], str]] = [
    (lambda index: index.search(index.photo(1), "5"), "k cannot be '5': give a whole number"),
    (lambda index: index.search(index.photo(1), 2.5), "k cannot be 2.5: give a whole number"),
    (lambda index: index.search(index.photo(1), None), "k cannot be None: give a whole number"),
    (lambda index: index.search(index.photo(1), True), "k cannot be True"),
    (lambda index: index.search(index.photo(1), 0), "k must be at least 1, got 0"),
    (lambda index: index.search(index.photo(1), min_score="0.5"), "min_score cannot be '0.5': give a number"),
    (lambda index: index.search(index.photo(1), where={"species": "Wren"}), "a filter must be a Filter"),
    (lambda index: index.search(None), "a picture must be a path"),
    (lambda index: index.search([index.photo(1)]), "a picture must be a path"),
    (lambda index: index.search_many(None), "takes a list of images, not a NoneType"),
    (lambda index: index.search_many(5), "takes a list of images, not a int"),
    (lambda index: index.search_many("a.jpg"), r"give one image as \[image\]"),
    (lambda index: index.search_vectors(None), r"shape \(n, 16\)"),
    (lambda index: index.search_vectors("x"), r"shape \(n, 16\)"),
    (lambda index: index.photos({"species": "Wren"}), "a filter must be a Filter"),
    (lambda index: index.photos(limit="3"), "limit cannot be '3': give a whole number"),
    (lambda index: index.photos(limit=-1), "limit must be 0 or more"),
    (lambda index: index.photos(ids=1), "ids cannot be 1: give a list of whole numbers"),
    (lambda index: index.photos(ids="1"), "ids cannot be '1'"),
    (lambda index: index.photos(ids=["x"]), "ids cannot be"),
    (lambda index: index.photos(ids=[1.5]), "ids cannot be"),
    (lambda index: index.photo("1"), "photo_id cannot be '1': give a whole number"),
    (lambda index: index.photo(index.photo(1)), "photo_id cannot be Photo"),
    (lambda index: index.photo(10**30), "no photo with id"),
    (lambda index: index.find(None), "path cannot be None: give a path"),
    (lambda index: index.vectors(1), "ids cannot be 1"),
    (lambda index: index.vectors([index.photo(1)]), "ids cannot be"),
    (lambda index: index.add(["a\0.jpg"]), "no such file or folder"),
    (lambda index: index.export("a\0.csv"), "path cannot be .*holds a NUL"),
    (lambda _: birdsearch.open("a\0"), "path cannot be .*holds a NUL"),
    (lambda index: index.count("Wren"), "a filter must be a Filter"),
    (lambda index: index.classify(index.photo(1), roll_up=2), "roll_up must be from 0 to 1"),
    (lambda index: index.classify(index.photo(1), roll_up="x"), "roll_up cannot be 'x': give a number"),
    (lambda index: index.classify(index.photo(1), checklist=5), "checklist cannot be 5"),
    (
        lambda index: index.classify(index.photo(1), source="neighbors"),
        "source must be auto, backbone, neighbours or names",
    ),
    (lambda index: index.label([1]), r"labels cannot be \[1\]: give a mapping of whole number to a text"),
    (lambda index: index.label({"x": "Wren"}), "labels cannot be"),
    (lambda index: index.label({1: 5}), "labels cannot be"),
    (lambda index: index.label({1: "Wren"}, author=5), "author cannot be 5: give a text"),
    (lambda index: index.label_from(None), "path cannot be None"),
    (lambda index: index.clusters(method="kmeans", clusters="3"), "clusters cannot be '3': give a whole number"),
    (lambda index: index.clusters(resolution="x"), "resolution cannot be 'x': give a number"),
    (lambda index: index.clusters(seed="x"), "seed cannot be 'x'"),
    (lambda index: index.life_list(by="week"), "one of species, month"),
    (lambda index: index.split(fractions="x"), "fractions cannot be 'x': give a list of numbers"),
    (lambda index: index.split(fractions=(1, 1)), "fractions must be 3 numbers"),
    (lambda index: index.split(same="x"), "same cannot be 'x': give a DuplicateReport"),
    (lambda index: index.evaluate(seed="x"), "seed cannot be 'x'"),
    (lambda index: index.map(["a"]), "ids cannot be"),
    (lambda index: index.duplicates(relations=None), "relations cannot be None: give a list of texts"),
    (lambda index: index.duplicates(relations="same"), "no relation 'same': there are identical"),
    (lambda index: index.duplicates(burst_gap="x"), "burst_gap cannot be 'x': give a number"),
    (lambda index: index.duplicates(prefer=5), "prefer cannot be 5: give a path or a list"),
    (lambda index: index.compare_folder(None), "folder cannot be None: give a path"),
    (lambda index: index.plan(None), "report cannot be None: give a DuplicateReport"),
    (lambda index: index.apply("x", "trash"), "plan cannot be 'x': give a Plan"),
    (lambda index: index.apply(Plan(), None), "action cannot be None: give a text"),
    (lambda index: index.apply(Plan(), "delete"), "no action"),
    (lambda index: index.undo(5), "run cannot be 5: give a text"),
    (lambda index: index.not_duplicates("a", "b"), "a cannot be 'a': give a whole number"),
    (lambda index: index.add(5), "folders cannot be 5: give a path or a list"),
    (lambda index: index.add([None]), r"folders cannot be \[None\]"),
    (lambda index: index.add(b"x"), "folders cannot be b'x'"),
    (lambda index: index.add(labels=5), "labels cannot be 5: give a path"),
    (lambda index: index.add(exclude=5), "exclude cannot be 5: give a list of texts"),
    (lambda index: index.add(progress=5), "progress cannot be 5: give a function"),
    (lambda index: index.remove([1]), "a filter must be a Filter"),
    (lambda index: index.remove(Filter()), "remove which photos"),
    (lambda index: index.import_photos(None), "path cannot be None"),
    (lambda index: index.export(None), "path cannot be None"),
    (lambda index: index.export("x.csv", format="xls"), "format must be one of"),
    (lambda index: index.optimize(recall="x"), "recall cannot be 'x': give a number"),
    (lambda index: index.optimize(whiten="x"), "whiten cannot be 'x': give True or False"),
    (lambda _: birdsearch.create(None), "path cannot be None: give a path"),  # type: ignore[arg-type]
    (lambda _: birdsearch.open(5), "path cannot be 5"),  # type: ignore[arg-type]
    (lambda _: birdsearch.restore(None), "path cannot be None"),  # type: ignore[arg-type]
    (lambda _: birdsearch.find_index(5), "name cannot be 5: give a text"),  # type: ignore[arg-type]
    (lambda _: birdsearch.find_index(""), "'' is no name of an index"),
    (lambda _: birdsearch.copy_new("x", "y"), "report cannot be 'x': give a FolderReport"),  # type: ignore[arg-type]
    (lambda _: birdsearch.write_plan("x", "p.csv"), "plan cannot be 'x': give a Plan"),  # type: ignore[arg-type]
    (lambda _: birdsearch.find_photos(None), "folder cannot be None"),  # type: ignore[arg-type]
    (lambda _: birdsearch.check_labels(None), "path cannot be None"),  # type: ignore[arg-type]
    (lambda _: birdsearch.near_pairs("x"), "vectors must"),  # type: ignore[arg-type]
    (lambda _: Filter(min_probability="x"), "give a number from 0 to 1"),  # type: ignore[arg-type]
    (lambda _: Filter(min_width="x"), "give a whole number of pixels"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_a_wrong_argument_is_refused_in_our_words(garden: Index, call: Callable[[Index], Any], words: str) -> None:
    generation = garden.generation
    with pytest.raises((TypeError, ValueError, BirdsearchError), match=words) as caught:
        call(garden)
    assert not THEIRS.search(str(caught.value))
    assert garden.generation == generation


def test_what_is_meant_is_taken_in_every_form(garden: Index, tmp_path: Path) -> None:
    assert [photo.id for photo in garden.photos(ids=np.array([2, 1]))] == [2, 1]
    assert len(garden.photos(ids=(n for n in (1, 2)))) == 2
    assert garden.photo(np.int32(1)).id == 1  # type: ignore[arg-type]
    assert len(garden.search(garden.photo(1), np.int64(2), min_score=np.float32(-1))) == 2  # type: ignore[arg-type]
    assert garden.split(fractions=np.array([0.5, 0.25, 0.25])).counts  # type: ignore[arg-type]
    for prefer in (tmp_path, [tmp_path], str(tmp_path)):
        assert garden.duplicates(prefer=prefer).groups == ()
    copy = shutil.copytree(garden.path, tmp_path / "copy")
    with birdsearch.open(copy, backbone=FakeBackbone()) as index:
        (tmp_path / "labels.csv").write_text(f"path,species\n{garden.photo(1).path},Kiwi\n", encoding="utf-8")
        folder = Path(garden.photo(1).path).parent.parent
        index.add(folder, labels=tmp_path / "labels.csv")
        assert index.photo(1).label == "Kiwi"


def test_a_word_that_there_is_not_is_answered_as_python_does() -> None:
    @checked
    def search(k: int = 1) -> int:
        return k

    with pytest.raises(TypeError, match="unexpected keyword argument 'n'"):
        search(n=3)  # type: ignore[call-arg]
