"""Fixtures shared by all tests."""

import csv
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFile

import birdsearch
from birdsearch import Index
from birdsearch.backbones import Backbone, openvino_runtime
from tests.support import ROOT, fake_backbone, object_store
from tests.support.fake_backbone import FakeBackbone
from tests.support.object_store import Bucket
from tests.support.postgresql import Server, why_not

# A test that takes one of these fixtures, or lies in one of these places, gets a marker (see pyproject.toml).
_MARKED_FIXTURES = {
    "network_garden": "network", "wheel": "wheel", "serve": "server", "chromium": "browser",
    "postgresql": "postgresql",
}  # fmt: skip
_MARKED_PLACES = {
    "tests/backbones/test_backbone.py": "network",
    "tests/backbones/test_openvino_runtime.py": "network",
    "tests/backbones/test_text.py": "network",
    "tests/species/test_gallery.py": "network",
    "tests/crash": "crash",
    "tests/crash/test_index.py": "network",
    "tests/cli/test_hostile.py": "slow",
    "tests/cluster/test_ray_embedding.py": "slow",
    "tests/cli/test_samples.py": "slow",
    "tests/duplicates/test_alignment.py": "slow",
    "tests/project/test_reference.py": "slow",
    "tests/search/test_tuning.py": "slow",
    "tests/web/test_crash.py": "crash",
    "tests/species/test_classifier.py": "slow",
    "tests/species/test_evaluation.py": "slow",
}


# Tests of what every catalog must do: they run on both databases, but for those of `on_sqlite`.
_ON_BOTH_DATABASES = (
    "tests/actions/test_undo.py",
    "tests/indexing/test_committer.py",
    "tests/indexing/test_corrections.py",
    "tests/indexing/test_detector.py",
    "tests/indexing/test_keywords.py",
    "tests/indexing/test_labels.py",
    "tests/indexing/test_pipeline.py",
    "tests/storage/test_catalog.py",
    "tests/storage/test_query.py",
)
# Likewise; of their tests each so many-th runs on PostgreSQL, for its first case alone: all would take minutes.
_SOME_ON_BOTH = {
    "tests/duplicates/cleanup/test_apply.py": 5,
    "tests/duplicates/cleanup/test_trash.py": 3,
    "tests/duplicates/test_decisions.py": 2,
    "tests/duplicates/test_finder.py": 5,
    "tests/duplicates/test_members.py": 1,
    "tests/export/test_exporter.py": 4,
    "tests/export/test_importer.py": 4,
    "tests/export/test_round_trips.py": 1,
    "tests/export/test_sightings.py": 3,
    "tests/indexing/test_box_files.py": 2,
    "tests/indexing/test_caller.py": 5,
    "tests/indexing/test_companions.py": 4,
    "tests/indexing/test_find_birds.py": 2,
    "tests/indexing/test_given_vectors.py": 4,
    "tests/indexing/test_label_files.py": 1,
    "tests/indexing/test_photo_lists.py": 2,
    "tests/indexing/test_reembed.py": 2,
    "tests/indexing/test_regions.py": 4,
    "tests/indexing/test_speciesnet.py": 1,
    "tests/species/test_names.py": 4,
    "tests/storage/test_maintenance.py": 2,
    "tests/storage/test_optimize.py": 4,
    "tests/storage/test_text.py": 4,
    "tests/tags/test_write.py": 6,
    "tests/test_index.py": 1,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the tests of every catalog run on both databases."""
    on_both = any(metafunc.definition.path == ROOT / place for place in (*_ON_BOTH_DATABASES, *_SOME_ON_BOTH))
    ready_made = {"garden", "network_garden"} & set(metafunc.fixturenames)
    chosen = any(marker.args[0] == "database" for marker in metafunc.definition.iter_markers("parametrize"))
    if on_both and not ready_made and not chosen:
        slow = (pytest.mark.postgresql, pytest.mark.slow)
        metafunc.parametrize("database", ["sqlite", pytest.param("postgresql", marks=slow)], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they use, and leave out what `_SOME_ON_BOTH` does."""
    out = _left_out(items)
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
    for item in items:
        for fixture, marker in _MARKED_FIXTURES.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        for place, marker in _MARKED_PLACES.items():
            if item.path.is_relative_to(ROOT / place):
                item.add_marker(marker)


def _left_out(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests on PostgreSQL that `_SOME_ON_BOTH` does without."""
    steps = {ROOT / place: step for place, step in _SOME_ON_BOTH.items()}
    tests, out = dict[Path, list[str]](), []
    for item in items:
        case = getattr(item, "callspec", None)
        if case is not None and case.params.get("database") == "postgresql" and item.path in steps:
            seen, test = tests.setdefault(item.path, []), item.nodeid.partition("[")[0]
            if test in seen or len(seen) % steps[item.path]:
                out.append(item)
            if test not in seen:
                seen.append(test)
    return out


@pytest.fixture(autouse=True)
def _own_settings() -> None:
    """What packages of other tests set for the whole process: how Pillow reads broken files, how long a cell may be."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    csv.field_size_limit(131_072)


@pytest.fixture(autouse=True)
def _network_only_where_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that loads torch or birder costs seconds, and has to carry the marker `network`."""
    before = {"torch", "birder"} & set(sys.modules)
    yield
    if request.node.get_closest_marker("network") is None:
        loaded = {"torch", "birder"} & set(sys.modules) - before
        assert not loaded, f"mark this test `network`: it loads {' and '.join(sorted(loaded))}"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests start with an empty cache and no indexes, as a new computer does, and leave the user's own alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIRDSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("BIRDSEARCH_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of this session; the test is skipped where there is none."""
    if (why := why_not()) is not None:
        pytest.skip(why)
    server = Server.made()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In which database the catalogs of this test lie; in PostgreSQL every path is the address of an index there."""
    kind = getattr(request, "param", "sqlite")
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        server.takes_paths(monkeypatch)
    return str(kind)


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C once, half a second later; also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    once = threading.Lock()

    def press() -> None:
        if once.acquire(blocking=False):
            timer.start()

    yield press
    timer.cancel()
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fake() -> FakeBackbone:
    """A backbone without a network, new for each test, so that its counts start at zero."""
    return FakeBackbone()


@pytest.fixture
def index(tmp_path: Path, fake: FakeBackbone) -> Iterator[Index]:
    """A new, empty index."""
    with birdsearch.create(tmp_path / "index", backbone=fake) as made:
        yield made


@pytest.fixture(scope="session")
def _s3() -> Iterator[str]:
    with object_store.s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(_s3: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new, empty bucket of an S3 on loopback, which the environment names."""
    object_store.name_store(monkeypatch, _s3)
    return object_store.new_bucket(_s3, f"birds-{uuid.uuid4().hex[:8]}")


@dataclass(frozen=True)
class Garden:
    """Six drawn photos of two species and their index."""

    photos: Path  # Wren/1.jpg ... Robin/3.jpg
    index: Path


@pytest.fixture(scope="session")
def _fake_garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    return make_garden(tmp_path_factory.mktemp("garden"), fake_backbone.built_in())


@pytest.fixture
def fake_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the built-in backbone gives a fake: nothing imports torch."""
    monkeypatch.setattr(openvino_runtime, "supported_precision", lambda asked: asked)
    monkeypatch.setattr(openvino_runtime, "open_export", lambda *_: fake_backbone.built_in())


@pytest.fixture
def garden(_fake_garden: Garden, fake_built_in: None) -> Garden:
    """A garden made once, for tests that only read it; its backbone is a fake with the name of the built-in one."""
    return _fake_garden


@pytest.fixture(scope="session")
def network_garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    """The same garden with the built-in backbone itself: what takes it is marked `network`."""
    return make_garden(tmp_path_factory.mktemp("network garden"))


def make_garden(place: Path, backbone: Backbone | FakeBackbone | None = None) -> Garden:
    """The photos and their index below a folder."""
    made = Garden(place / "photos", place / "indexes" / "garden")
    write_garden_photos(made.photos)
    with birdsearch.create(made.index, backbone=backbone) as index:
        index.add(made.photos, labels="folder")
    return made


def write_garden_photos(folder: Path) -> None:
    """Wrens by one camera in spring near Berlin, Robins by another in autumn in the south."""
    looks = {
        "Wren": ((40, 140, 60), (180, 110, 50), "2024-05-0{} 08:30:00", "Canon", (52.5, 13.4)),
        "Robin": ((120, 150, 200), (200, 60, 40), "2023-10-1{} 17:05:00", "Nikon", (-33.9, 18.4)),
    }
    for species, (ground, body, moment, make, (latitude, longitude)) in looks.items():
        (folder / species).mkdir(parents=True)
        for number in (1, 2, 3):
            image = Image.new("RGB", (320, 240), ground)
            draw = ImageDraw.Draw(image)
            draw.ellipse((80 + 20 * number, 80, 200 + 20 * number, 180), fill=body)
            draw.ellipse((180 + 15 * number, 60, 240 + 15 * number, 115), fill=body)
            exif = Image.Exif()
            exif[0x010F], exif[0x0110] = make, "Model X"
            exif.get_ifd(0x8769)[0x9003] = moment.format(number).replace("-", ":")
            place = exif.get_ifd(0x8825)
            place[1], place[2] = "N" if latitude >= 0 else "S", (abs(latitude), 0.0, 0.0)
            place[3], place[4] = "E", (longitude, 0.0, 0.0)
            image.save(folder / species / f"{number}.jpg", quality=90, exif=exif)
