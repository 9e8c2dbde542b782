"""Every long method tells how far it is and ends where its caller raises Cancelled; the index stays whole."""

import shutil
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import birdsearch
from birdsearch import Cancelled, Index
from birdsearch.records import Plan
from tests.conftest import write_garden_photos
from tests.support.index_worker import MIRRORED, backbone

LONG: dict[str, Callable[[Index, Path, Any], object]] = {
    "add": lambda index, place, progress: index.add(place / "more", progress=progress),
    "add_vectors": lambda index, place, progress: index.add_vectors([1], index.vectors([2]), progress=progress),
    "apply": lambda index, place, progress: index.apply(plan(index), "trash", progress=progress),
    "audit": lambda index, place, progress: index.audit(progress=progress),
    "clusters": lambda index, place, progress: index.clusters(progress=progress),
    "compare_folder": lambda index, place, progress: index.compare_folder(place / "more", progress=progress),
    "duplicates": lambda index, place, progress: index.duplicates(progress=progress),
    "evaluate": lambda index, place, progress: index.evaluate(progress=progress),
    "evaluate_split": lambda index, place, progress: index.evaluate_split(place, progress=progress),
    "export": lambda index, place, progress: index.export(place / "all.csv", progress=progress),
    "import_photos": lambda index, place, progress: index.import_photos(place / "photos.parquet", progress=progress),
    "map": lambda index, place, progress: index.map([1], progress=progress),
    "optimize": lambda index, place, progress: index.optimize(progress=progress),
    "reembed": lambda index, place, progress: index.reembed(backbone(recipe=MIRRORED), progress=progress),
    "regions_from": lambda index, place, progress: index.regions_from(place / "boxes.csv", progress=progress),
    "repair": lambda index, place, progress: index.repair(progress=progress),
    "species_report": lambda index, place, progress: index.species_report(progress=progress),
    "split": lambda index, place, progress: index.split(progress=progress),
    "tags": lambda index, place, progress: index.tags(progress=progress),
    "undo": lambda index, place, progress: index.undo(progress=progress),
    "verify": lambda index, place, progress: index.verify(progress=progress),
    "write_tags": lambda index, place, progress: index.write_tags(index.tags(), progress=progress),
}


def plan(index: Index) -> Plan:
    return index.plan(index.duplicates(relations=("identical",)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of six photos and a copy, one file taken away, another folder, lists, boxes and an export."""
    place = tmp_path_factory.mktemp("made")
    write_garden_photos(place / "photos")
    write_garden_photos(place / "more")
    for path in (place / "more").rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:-2] + b"\x00\xff\xd9")
    for number in (1, 2):
        shutil.copy(place / f"photos/Wren/{number}.jpg", place / f"photos/Robin/copy{number}.jpg")
    with birdsearch.create(place / "index", backbone=backbone()) as index:
        index.add(place / "photos", labels="folder")
        index.export(place / "photos.parquet")
        both = index.plan(index.duplicates(relations=("identical",)))
        index.apply(Plan(both.steps[:2]), "trash")
    for side, species in (("train", "Wren"), ("test", "Robin")):
        (place / f"{side}.csv").write_text(f"path,species\n{place}/photos/{species}/3.jpg,{species}\n")
    (place / "boxes.csv").write_text(
        f"path,x,y,width,height,category\n{place}/photos/Wren/3.jpg,0.1,0.1,0.4,0.4,bird\n"
    )
    return place


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Index]:
    shutil.copytree(made / "index", tmp_path / "index")
    with birdsearch.open(tmp_path / "index", backbone=backbone()) as opened:
        yield opened


def test_no_long_method_is_forgotten() -> None:
    methods = {name: member for name, member in vars(Index).items() if not name.startswith("_") and callable(member)}
    assert {name for name, member in methods.items() if "progress" in signature(member).parameters} == set(LONG)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", LONG)
def test_a_long_method_tells_and_ends(name: str, index: Index, made: Path) -> None:
    def stop(stage: str, done: int, total: int | None, path: str) -> None:
        assert stage
        raise Cancelled("enough")

    if "tags" in name and shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    with pytest.raises(Cancelled, match="enough"):
        LONG[name](index, made, stop)
    assert index.verify().problems == ()
    index.label({1: "Siskin"})  # the lock is free
    assert not (made / "all.csv").exists()
