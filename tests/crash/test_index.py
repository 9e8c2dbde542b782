"""Kills, interrupts and full disks at any moment: what was committed stays, the next run ends as if nothing was."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import birdsearch
from birdsearch.errors import IndexMissingError, IndexUnwritableError
from birdsearch.records import Photo, Vectors
from tests.support import ROOT, drawing
from tests.support.catalogs import catalog_at, copy_index, forget_index
from tests.support.disks import call_where_disks_mount
from tests.support.index_worker import REFUSED, Line, Plan, backbone, open_or_create, work
from tests.support.killing import until
from tests.support.worker_process import Worker

SPECIES = ("Wren", "Robin", "Dunnock", "Siskin")
MOMENTS = 24  # random kills in all
SPOKEN = 8  # the same of runs that let a person speak
KILLS, INTERRUPTS = 8, 5  # lines tried in every scene; with LINES=all in the environment every line is (half an hour)
NOBODY = 65534
NAMES = (
    "fresh",
    "changed",
    "relabelled",
    "moved",
    "pruned",
    "removed",
    "repaired",
    "imported",
    "reembedded",
    "boxed",
    "found",
)
SEED = 20261

# Where the state on disk changes: a kill is tried in every line of these.
WRITING = [
    "create",
    "_remove_leftovers",
    "writing",
    "sign",
    "_tidy",
    "atomic_write",
    "write_durably",
    "write",
    "transaction",
    "change",
    "changing",
]
WRITING += ["upgrade", "keep", "named_by_content", "remove_leftovers", "refresh", "forget_engine"]
WRITING += ["remove", "ensure_root", "set_label_choices", "commit", "drop_part"]
WRITING += ["_import", "sync_folder", "transaction", "renew", "_settle", "_commit", "write_identity", "reopen"]
# Where the state in memory changes: an interrupt is tried in every line of these.
RUNNING = [
    "run",
    "_compare",
    "_read_all",
    "_take",
    "_take_known",
    "_move",
    "_take_embedded",
    "_embed",
    "_fail",
    "_ignore",
]
RUNNING += ["_hide_missing", "_flush", "_resolved_copies", "_part", "_entry", "commit", "wait", "follow", "refresh"]
RUNNING += ["by_state", "by_content", "missing", "keep", "_ignore", "_keep", "_commit", "_todo", "renew", "reembed"]
RUNNING += ["take_in", "embed_waiting"]


def test_every_function_that_is_stopped_in_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "birdsearch").rglob("*.py"))
    assert [name for name in {*WRITING, *RUNNING} if not re.search(rf"def {name}\b", source)] == []


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One for all tests of this file."""
    made = Worker(tmp_path_factory.mktemp("worker"))
    yield made
    made.close()


@dataclass(frozen=True)
class Held:
    """All that an index says, apart from ids."""

    photos: dict[str, Photo]
    vectors: dict[str, Vectors]
    counts: dict[str, Any]
    failures: tuple[Any, ...]
    regions: list[tuple[str, str, bool, Any]]  # path, box, whether it has a vector, and that


def held(path: Path) -> Held:
    """What an index holds, after the checks that need no comparison."""
    with birdsearch.open(path) as index:
        report = index.verify()
        assert report.ok, report.problems
        photos = index.photos()
        vectors = index.vectors([p.id for p in photos if p.id is not None])
        info = index.info()
        found = index.search_vectors(vectors[:1], k=len(photos) + 5)[0] if photos else []
        assert sorted(m.photo.path for m in found) == sorted(p.path for p in photos)
        failures = tuple(index.failures())
        table = index.to_arrow().select(["path", "regions"]).to_pylist()
    with closing(catalog_at(path)) as catalog:
        listed = {f"{part.id:08d}.parquet" for part in catalog.parts()}
    assert {p.name for p in (path / "vectors").iterdir()} == listed
    left = {p.name for p in path.iterdir()} - {"index.json", "catalog.sqlite", "classifier.npz", "lock", "vectors"}
    assert all(name.startswith("engine-") for name in left), left
    names = ("photos", "missing", "labelled", "species", "failures", "regions", "folders", "labels")
    paths = [p.path for p in photos]
    assert len(set(paths)) == len(paths)
    return Held(
        {p.path: p for p in photos},
        dict(zip(paths, vectors, strict=True)),
        {name: value for name, value in info.items() if name in names},
        failures,
        sorted(
            (row["path"], f"{one['x']} {one['y']}", one["vector"] is not None, one["vector"])
            for row in table for one in row["regions"]
        ),
    )  # fmt: skip


def _plain(photo: Photo) -> Photo:
    """A photo without what may differ: its id, and the last digit of probabilities."""
    return replace(photo, id=None, predictions=tuple(replace(guess, probability=0) for guess in photo.predictions))


def assert_same(found: Held, wanted: Held) -> None:
    """Equal photo by photo."""
    assert found.photos.keys() == wanted.photos.keys()
    for path, photo in wanted.photos.items():
        assert _plain(found.photos[path]) == _plain(photo)
        # The network may see a photo beside others than before: that changes the last digit.
        assert [guess.probability for guess in found.photos[path].predictions] == pytest.approx(
            [guess.probability for guess in photo.predictions], abs=1e-5
        )
    assert found.counts == wanted.counts
    assert [one[:3] for one in found.regions] == [one[:3] for one in wanted.regions]
    for (*_, vector), (*_, expected) in zip(found.regions, wanted.regions, strict=True):
        assert vector == pytest.approx(expected, abs=1e-5)
    assert found.failures == wanted.failures
    for path, vector in wanted.vectors.items():
        assert float(vector @ found.vectors[path]) >= 0.9999, path


@dataclass
class Scene:
    """A run that can be stopped: the index before it, what to call, and what an undisturbed run makes of it."""

    name: str
    before: Path | None
    plan: Plan
    broken_before: bool = False  # verify may find problems until the run has finished
    wanted: Held = field(init=False)

    def attempt(self, folder: Path) -> Plan:
        """The plan over a fresh copy of the index."""
        path = folder / "index"
        if self.before is None:
            forget_index(path)
        else:
            copy_index(self.before, path)
        return {**self.plan, "index": str(path)}

    def check(self, plan: Plan) -> None:
        """After a stop: nothing is broken, the next run finishes and ends as an undisturbed one does."""
        path = Path(plan["index"])
        if not self.broken_before:
            try:
                with birdsearch.open(path) as index:
                    report = index.verify()
                    assert report.ok, report.problems
                    photos = index.photos()
                    assert len(index.search_vectors(np.ones((1, 16), np.float32), k=len(photos) + 9)[0]) == len(photos)
            except IndexMissingError:
                assert self.before is None
        work({**plan, "delay": 0.0})
        assert_same(held(path), self.wanted)


def draw(folder: Path, count: int) -> None:
    """Small photos in folders of species, with twins and a few files that are none."""
    for n in range(count):
        drawing.write(folder / SPECIES[n % 4] / f"{n:03d}.jpg", drawing.bird(n, 72, 54))
    for n in range(0, count, 6):
        shutil.copy(folder / SPECIES[n % 4] / f"{n:03d}.jpg", folder / SPECIES[(n + 1) % 4] / f"twin{n:03d}.jpg")
    (folder / "Wren/broken.jpg").write_bytes((folder / "Wren/000.jpg").read_bytes()[:700])
    (folder / "notes.txt").write_text("seen near the pond")


def scenes(
    folder: Path, count: int, *, commit: int, batch: int, delay: float = 0.0, names: tuple[str, ...] = NAMES
) -> dict[str, Scene]:
    """Every kind of run over `count` photos, each with photos of its own."""
    made: dict[str, Scene] = {}
    sizes = {"commit": commit, "batch": batch, "delay": delay}
    drawn = folder / "drawn"
    draw(drawn, count)
    for name in names:
        photos = folder / name / "photos"
        shutil.copytree(drawn, photos)
        before: Path | None = folder / name / "before"
        step: dict[str, Any] = {"call": "add", "folders": str(photos)}
        first: Plan = {**sizes, "index": str(before), "step": {**step, "labels": "folder"}}
        if name == "fresh":
            before, step = None, first["step"]
        elif name == "found":
            before, step = None, {**first["step"], "regions": "bird"}
        elif name == "imported":
            work({**first, "index": str(folder / name / "exported")})
            with open_or_create(folder / name / "exported") as index:
                index.export(folder / name / "all.parquet")
            step = {"call": "import", "file": str(folder / name / "all.parquet")}
            open_or_create(before or "").close()
        else:
            work({**first, "delay": 0.0})
            step = _change(name, photos, before or Path(), step, count)
        made[name] = Scene(name, before, {**sizes, "step": step}, broken_before=name == "repaired")
    for name, scene in made.items():
        plan = scene.attempt(folder / name)
        work({**plan, "delay": 0.0})
        scene.wanted = held(Path(plan["index"]))
    return made


def _change(name: str, photos: Path, index: Path, step: dict[str, Any], count: int) -> dict[str, Any]:
    """What happened to the photos or to the index since, and the call that follows it."""
    if name == "changed":
        for n in range(0, count, 3):
            drawing.write(photos / SPECIES[n % 4] / f"{n:03d}.jpg", drawing.bird(1000 + n, 72, 54))
        for n in range(count, count + count // 3):
            drawing.write(photos / SPECIES[n % 4] / f"{n:03d}.jpg", drawing.bird(n, 72, 54))
        (photos / "Robin/001.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    elif name == "boxed":
        lines = [
            f"photos/{SPECIES[n % 4]}/{n:03d}.jpg,0.{1 + 3 * half},0.2,0.3,0.5,bird"
            for n in range(count)
            for half in (0, 1)
        ]
        table = photos.parent / "boxes.csv"
        table.write_text("path,x,y,width,height,category\n" + "\n".join(lines) + "\n")
        return {**step, "regions": str(table)}
    elif name == "relabelled":
        lines = [f"photos/{SPECIES[n % 4]}/{n:03d}.jpg,{SPECIES[n // 4 % 4]} indeed" for n in range(count)]
        table = photos.parent / "labels.csv"
        table.write_text("path,species\n" + "\n".join(lines) + "\n")
        return {**step, "labels": str(table)}
    elif name == "moved":
        new = photos.parent / "elsewhere"
        photos.rename(new)
        return {**step, "folders": str(new)}
    elif name == "pruned":
        shutil.rmtree(photos / "Robin")
        return {**step, "prune": True}
    elif name == "reembedded":
        with open_or_create(index) as opened:
            opened.label({photo.id: "Linnet" for photo in opened.photos()[:3] if photo.id is not None})
        (photos / "Robin/001.jpg").unlink()
        return {"call": "reembed"}
    elif name == "removed":
        return {"call": "remove", "species": ["Robin", "Siskin"]}
    else:
        part = sorted((index / "vectors").iterdir())[-1]
        part.write_bytes(part.read_bytes()[:-3] + b"???")
        return {"call": "repair"}
    return step


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Scenes that are over quickly."""
    return scenes(tmp_path_factory.mktemp("short"), 12, commit=4, batch=2)


def _lines(worker: Worker, scene: Scene, folder: Path, functions: list[str]) -> list[Line]:
    """Every line of these functions that the scene runs."""
    plan = {**scene.attempt(folder), "functions": functions, "record": str(folder / "lines.json")}
    assert worker.run(plan) == 0, worker.said()
    return [tuple(line) for line in json.loads((folder / "lines.json").read_text())]


@pytest.mark.parametrize("name", NAMES)
def test_kill_in_a_line_that_writes(name: str, short: dict[str, Scene], worker: Worker, tmp_path: Path) -> None:
    """Each line where files change, for its first or a later time."""
    kill_in_lines(short[name], worker, tmp_path, KILLS)


def kill_in_lines(scene: Scene, worker: Worker, folder: Path, kills: int) -> None:
    """A kill in each of so many lines."""
    chance = random.Random(f"{SEED} {scene.name}")
    for at in _some(_lines(worker, scene, folder, WRITING), kills, chance):
        skip = chance.choice((0, 0, 1, 3))
        plan = {**scene.attempt(folder), "functions": WRITING, "at": at, "skip": skip, "how": "kill"}
        assert worker.run(plan) in (0, -signal.SIGKILL), (at, worker.said())
        _checked(scene, plan, f"killed at {at}, time {skip}")


@pytest.mark.parametrize("name", NAMES)
def test_interrupt_in_a_line_that_thinks(name: str, short: dict[str, Scene], worker: Worker, tmp_path: Path) -> None:
    """Ctrl-C in the main thread, in each line of a run, for its first or a later time."""
    scene = short[name]
    chance = random.Random(f"{SEED} {name}")
    for at in _some(_lines(worker, scene, tmp_path, RUNNING), INTERRUPTS, chance):
        skip = chance.choice((0, 0, 1, 3))
        plan = {**scene.attempt(tmp_path), "functions": RUNNING, "at": at, "skip": skip, "how": "interrupt"}
        assert worker.run(plan) in (0, 130), (at, worker.said())
        _checked(scene, plan, f"interrupted at {at}, time {skip}")


def _some(lines: list[Line], count: int, chance: random.Random) -> list[Line]:
    return lines if os.environ.get("LINES") == "all" else chance.sample(lines, min(count, len(lines)))


def _checked(scene: Scene, plan: Plan, when: str) -> None:
    try:
        scene.check(plan)
    except BaseException as error:
        error.add_note(f"{scene.name}: {when}")
        raise


def test_kill_at_random_moments(worker: Worker, tmp_path: Path) -> None:
    """SIGKILL between the first instant and the last, in every kind of run over 80 photos."""
    chance = random.Random(SEED)
    made = scenes(tmp_path, 80, commit=16, batch=4, delay=0.004)
    (tmp_path / "attempt").mkdir()
    lasts: dict[str, float] = {}
    for name, scene in made.items():
        plan = scene.attempt(tmp_path / "attempt")
        started = time.monotonic()
        assert worker.run(plan) == 0, worker.said()
        lasts[name] = time.monotonic() - started
    killed = 0
    for number in range(MOMENTS):
        scene = made[NAMES[number % len(NAMES)]]
        seconds = lasts[scene.name] * chance.random()
        plan = scene.attempt(tmp_path / "attempt")
        worker.start(plan)
        time.sleep(seconds)
        worker.kill()
        killed += worker.wait() == -signal.SIGKILL
        _checked(scene, plan, f"killed after {seconds:.3f} s (kill {number}, seed {SEED})")
    assert killed >= MOMENTS // 2


def test_what_is_said_during_a_run_outlives_a_kill_of_it(worker: Worker, tmp_path: Path) -> None:
    """Labels and removals between the commits of a run over changed photos, which are killed at random moments."""
    chance = random.Random(SEED)
    scene = scenes(tmp_path, 40, commit=8, batch=2, delay=0.01, names=("changed",))["changed"]
    (tmp_path / "attempt").mkdir()
    said, done = tmp_path / "said", 0
    for _ in range(SPOKEN):
        plan = {**scene.attempt(tmp_path / "attempt"), "said": str(said)}
        said.write_text("")
        worker.start(plan)
        time.sleep(0.1 + 1.2 * chance.random())
        worker.kill()
        worker.wait()
        lines = [line.split() for line in said.read_text().splitlines()]
        done += len(lines)
        with birdsearch.open(plan["index"], backbone=backbone()) as index:
            assert index.verify().problems == ()
            for labelled, removed in lines:
                assert index.photo(int(labelled)).label == "Linnet"  # also where its file has gone, which hides it
                assert not [photo for photo in index.photos() if photo.id == int(removed)]
        work({key: value for key, value in plan.items() if key != "said"} | {"delay": 0.0})
        with birdsearch.open(plan["index"], backbone=backbone()) as index:
            assert index.verify().problems == ()
            assert {photo.path for photo in index.photos()} == set(scene.wanted.photos)
            for labelled, _ in lines:
                assert index.photo(int(labelled)).label == "Linnet"
    assert done > SPOKEN


def test_sigint_commits_what_is_embedded(worker: Worker, short: dict[str, Scene], tmp_path: Path) -> None:
    """The photos that the network has seen are kept, though no commit was due."""
    scene = short["fresh"]
    plan = {**scene.attempt(tmp_path), "commit": 1000, "batch": 2, "delay": 0.15}
    worker.start(plan)
    until(lambda: any(Path(plan["index"]).glob("catalog.sqlite")))
    time.sleep(1)
    worker.kill(signal.SIGINT)
    assert worker.wait() == 130, worker.said()
    with birdsearch.open(plan["index"], backbone=backbone()) as index:
        kept = len(index)
    assert 2 <= kept < 14, kept
    report = work({**plan, "delay": 0.0})
    assert report is not None
    assert report.unchanged == kept
    assert report.added == 14 - kept
    assert_same(held(Path(plan["index"])), scene.wanted)


def _tool(index: Path, photos: Path) -> subprocess.Popen[bytes]:
    """`birdsearch index` with the built-in backbone, slowed down."""
    code = (
        "import sys, time; from birdsearch.indexing import committer, embedder; from birdsearch.cli import main\n"
        "embedder.NETWORK_BATCH, committer.COMMIT_PHOTOS, real = 2, 4, embedder.Embedder.flush\n"
        "embedder.Embedder.flush = lambda self: (time.sleep(0.3), real(self))[1]\n"
        "sys.argv[0] = 'birdsearch'; main()"
    )
    arguments = ["index", str(photos), "--index", str(index), "--labels", "folder", "--runtime", "torch"]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE)


@pytest.mark.network
def test_sigterm_at_the_command_line(tmp_path: Path) -> None:
    """A clean stop that says so; a kill before it, in the first instant, left nothing in its way."""
    draw(tmp_path / "photos", 12)
    path = tmp_path / "index"
    tool = _tool(path, tmp_path / "photos")
    time.sleep(0.2)
    tool.kill()
    tool.communicate()
    tool = _tool(path, tmp_path / "photos")
    until(lambda: any((path / "vectors").glob("*.parquet")))
    tool.terminate()
    said = tool.communicate()[1].decode()
    assert tool.returncode == 143, said
    assert "stopped: finished work is kept" in said
    assert "Traceback" not in said
    with birdsearch.open(path, runtime="torch") as index:
        kept = len(index)
        assert 4 <= kept < 14
        assert index.verify().ok
        report = index.add(tmp_path / "photos")
        assert (report.unchanged, report.added, len(report.failed)) == (kept, 14 - kept, 1)
        assert index.info()["labels"] == {str(tmp_path / "photos"): "folder"}
        assert index.verify().ok
    assert not {"writer.json", "engine.npy.unfinished"} & {p.name for p in path.iterdir()}


# A disk that is full


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("name", ["fresh", "changed"])
def test_write_that_finds_no_room(
    name: str, call: str, short: dict[str, Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first, the second, every write of a run fails: always the same error, and never a loss."""
    scene = short[name]
    owner: Any = os if call == "fsync" else Path
    real = getattr(owner, call)
    said: list[str] = []
    for number in range(100):
        plan, left = scene.attempt(tmp_path), [number]

        def full(*given: Any, plan: Plan = plan, left: list[int] = left, **named: Any) -> Any:
            ours = isinstance(given[0], int) or str(given[0]).startswith(plan["index"])
            if ours and (call != "open" or set("wx") & set(str(given[1:]))):
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[0]))
            return real(*given, **named)

        with monkeypatch.context() as patched:
            patched.setattr(owner, call, full)
            try:
                work(plan)
            except IndexUnwritableError as error:
                said.append(str(error))
        if left[0] >= 0:
            break
        _checked(scene, plan, f"{call} number {number} failed")
    assert len(said) >= 3, "too little was tried"
    assert all("cannot write" in text and "make room" in text for text in said), said


def test_catalog_that_finds_no_room(short: dict[str, Scene], tmp_path: Path) -> None:
    """SQLite may not grow: from the first table on to the last commit."""
    scene = short["fresh"]
    plan = scene.attempt(tmp_path)
    work(plan)
    needed = (Path(plan["index"]) / "catalog.sqlite").stat().st_size // 4096
    said: list[str] = []
    tried = [round(needed * share) for share in (0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)]
    for pages in tried:

        def limit(connection: Any, _record: Any, pages: int = pages) -> None:
            connection.execute(f"PRAGMA max_page_count={max(1, pages)}")

        plan = scene.attempt(tmp_path)
        sa.event.listen(sa.pool.Pool, "connect", limit)
        try:
            work(plan)
        except IndexUnwritableError as error:
            said.append(str(error))
        finally:
            sa.event.remove(sa.pool.Pool, "connect", limit)
        _checked(scene, plan, f"{pages} pages")
    assert len(said) == len(tried), f"{needed} pages should be needed"
    assert all("database or disk is full" in text and "make room" in text for text in said), said


def fill_a_disk(folder: Path) -> None:
    """Run on file systems of ever more kilobytes, until each is full, then with room again. In its own process."""
    scene = scenes(folder, 24, commit=4, batch=2, names=("fresh",))["fresh"]
    disk = folder / "disk"
    disk.mkdir()
    said: list[str] = []
    for kilobytes in (4, 16, 40, 64, 96, 128, 160, 176, 192, 208, 224, 240, 256, 272, 288, 304, 320, 352, 400, 500):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)], check=True)
        plan = scene.attempt(disk)
        try:
            work(plan)
        except IndexUnwritableError as error:
            said.append(str(error))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        _checked(scene, plan, f"{kilobytes} KiB")
        subprocess.run(["umount", str(disk)], check=True)
    assert len(said) >= 5
    assert all("make room" in text for text in said), said


def test_disk_that_is_full(tmp_path: Path) -> None:
    """The same on real file systems without room, where the system lets us make them."""
    call_where_disks_mount(fill_a_disk, tmp_path)


# A folder without permission


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach, unlike those of pytest."""
    if os.name == "nt" or os.getuid() != 0:
        pytest.skip("only root can become somebody without rights")
    if not all(folder.stat().st_mode & 0o001 for folder in (ROOT, *ROOT.parents)):
        pytest.skip("this checkout is closed to other users: somebody without rights could not run it")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_index_that_may_only_be_read(worker: Worker, public: Path) -> None:
    """Everything that reads works, with a writer of another user at work or killed; what writes says why not."""
    draw(public / "photos", 12)
    plan: Plan = {"index": str(public / "index"), "step": {"call": "add", "folders": str(public / "photos")}}
    work(plan)
    theirs = {**plan, "user": NOBODY, "log": str(public / "log")}
    looking = {**theirs, "step": {"call": "look", "until": str(public / "photos")}}
    assert worker.run(looking) == 0, (public / "log").read_text()
    assert worker.run(theirs) == REFUSED
    assert (public / "log").read_text().startswith("IndexUnwritableError: cannot write ")
    assert "permission" in (public / "log").read_text()
    drawing.write(public / "photos/new.png", drawing.bird(77, 72, 54))
    with open_or_create(public / "index") as at_work:
        at_work.add(public / "photos")
        assert (public / "index/catalog.sqlite-wal").exists()
        assert worker.run({**looking, "count": 15}) == 0, (public / "log").read_text()
    worker.start({**plan, "step": {"call": "look", "until": "/nowhere"}})
    time.sleep(0.5)
    worker.kill()
    worker.wait()
    assert worker.run({**looking, "count": 15}) == 0, (public / "log").read_text()


def test_new_index_where_nothing_may_be_made(worker: Worker, public: Path) -> None:
    """No half-made index, no other kind of error."""
    draw(public / "photos", 12)
    (public / "home").mkdir(mode=0o755)
    plan: Plan = {"index": str(public / "home/index"), "step": {"call": "add", "folders": str(public / "photos")}}
    assert worker.run({**plan, "user": NOBODY, "log": str(public / "log")}) == REFUSED
    said = (public / "log").read_text()
    assert said.startswith(f"IndexUnwritableError: cannot write {public / 'home/index'}: Permission denied.")
    assert not (public / "home/index").exists()


def test_photos_that_may_not_be_read(worker: Worker, public: Path) -> None:
    """A photo and a folder without permission are failures; they are tried again when there is permission."""
    draw(public / "photos", 12)
    (public / "photos/Wren/000.jpg").chmod(0)
    (public / "photos/Robin").chmod(0)
    (public / "home").mkdir()
    os.chown(public / "home", NOBODY, NOBODY)
    plan: Plan = {"index": str(public / "home/index"), "step": {"call": "add", "folders": str(public / "photos")}}
    assert worker.run({**plan, "user": NOBODY, "log": str(public / "log")}) == 0, (public / "log").read_text()
    with birdsearch.open(public / "home/index", backbone=backbone()) as index:
        said = {Path(failure.path).name: failure.reason for failure in index.failures()}
        assert said.pop("broken.jpg")
        assert said == {"000.jpg": "no permission", "Robin": "no permission"}
    (public / "photos/Wren/000.jpg").chmod(0o644)
    (public / "photos/Robin").chmod(0o755)
    assert worker.run({**plan, "user": NOBODY, "log": str(public / "log")}) == 0, (public / "log").read_text()
    with birdsearch.open(public / "home/index", backbone=backbone()) as index:
        assert [Path(failure.path).name for failure in index.failures()] == ["broken.jpg"]
        assert len(index) == 14
