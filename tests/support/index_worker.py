"""A process that works on an index until it is stopped, at any moment or in a chosen line of birdsearch.

`python -m tests.support.index_worker` reads one plan (JSON) a line and forks a child for each: none pays the imports.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import birdsearch
from birdsearch import errors
from birdsearch.backbones import finders
from birdsearch.backbones.backbone import Backbone, BackboneSpec, NetworkOutput, PooledMap
from birdsearch.backbones.classes import Classifier
from birdsearch.backbones.finders import Found
from birdsearch.index import Index
from birdsearch.indexing import caller, committer, embedder, pipeline
from birdsearch.photos.decode import Upright
from birdsearch.records import AS_BIRDER, BIRD, AddReport, Box, Filter, Pixels, Recipe, Region, Vectors
from tests.support import drawing
from tests.support.fake_backbone import FakeBackbone
from tests.support.postgresql import take_paths

PACKAGE = str(Path(birdsearch.__file__).parent)
MIRRORED = Recipe(views=2)  # what `reembed` changes to
REFUSED = 3  # exit status: a BirdsearchError, whose class and text are in the log

Plan = dict[str, Any]
Line = tuple[str, str, int]  # file, function, line
Trace = Callable[[FrameType, str, Any], Any]


class FakeNetwork:
    """FakeBackbone as a network, so that photos get classes too."""

    runtime = device = precision = "fake"

    def __init__(self, delay: float, views: int) -> None:
        self.fake = FakeBackbone(delay)
        self.views = views

    def run(self, pixels: Pixels) -> NetworkOutput:
        """(n, h, w, 3) uint8 -> (n, 16)."""
        seen = [pixels, pixels[:, :, ::-1]][: self.views]
        return NetworkOutput(np.mean([self.fake.embed(view) for view in seen], axis=0))

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """None."""
        return {}

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        """Nothing asks for it."""
        raise NotImplementedError


def backbone(delay: float = 0.0, recipe: Recipe = AS_BIRDER) -> Backbone:
    """A fake with three classes, one of them a species."""
    names = ("Aves_Troglodytes_troglodytes", "thrush", "bulbul")
    weights = np.random.default_rng(7).normal(size=(3, FakeBackbone.dim)).astype(np.float32) * 4
    spec = BackboneSpec(
        "fake",
        FakeBackbone.dim,
        FakeBackbone.input_size,
        class_names=names,
        class_species=("Troglodytes troglodytes", None, None),
        class_ranks=("species", "ImageNet", "ImageNet"),
        classifier=Classifier(weights, np.zeros(3, np.float32)),
        recipe=recipe,
    )
    return Backbone.of(spec, FakeNetwork(delay, recipe.views))


class FakeFinder:
    """Finds a small bird in the same place of most pictures."""

    name = "fake 1"
    size = (48, 64)

    def find(self, pictures: Sequence[Upright]) -> list[Found]:
        """By the pixels alone."""
        region = Region(None, Box(0.2, 0.3, 0.3, 0.4), BIRD, "bird", 0.9, self.name)
        return [Found((region,), small=int(picture.whole.sum()) % 3 > 0) for picture in pictures]


def open_or_create(path: str | Path, delay: float = 0.0) -> Index:
    """The index, taken over where its creation was not finished."""
    try:
        return birdsearch.open(path, backbone=backbone(delay))
    except errors.BackboneMismatchError:
        return birdsearch.open(path, backbone=backbone(delay, MIRRORED))
    except errors.IndexMissingError:
        return birdsearch.create(path, backbone=backbone(delay))


def work(plan: Plan) -> AddReport | None:
    """Do what a plan says: `index`, `delay`, `batch`, `commit`, and `step` with what to call."""
    batch, commit = plan.get("batch", 2), plan.get("commit", 4)
    sizes = (embedder, "NETWORK_BATCH", batch), (pipeline, "AHEAD", 2 * batch), (committer, "COMMIT_PHOTOS", commit)
    with ExitStack() as stack:
        stack.enter_context(patch.object(caller, "LET_IN_SECONDS", 0.0))
        stack.enter_context(patch.object(finders, "finder", lambda _: FakeFinder()))
        stack.enter_context(patch.object(finders, "version_of", lambda _: FakeFinder.name))
        if plan.get("postgresql"):  # of the test that wrote the plan; its own process has that in its environment
            take_paths(stack.enter_context(pytest.MonkeyPatch.context()), plan["postgresql"])
        for module, name, size in sizes:
            stack.enter_context(patch.object(module, name, size))
        return _carry_out(plan)


def _carry_out(plan: Plan) -> AddReport | None:
    step = dict(plan["step"])
    name = step.pop("call")
    with open_or_create(plan["index"], plan.get("delay", 0.0)) as index:
        if name == "remove":
            index.remove(Filter(**step))
        elif name == "repair":
            index.repair()
        elif name == "reembed":
            index.reembed(backbone(plan.get("delay", 0.0), MIRRORED))
        elif name == "look":
            assert len(index) == plan.get("count", len(index))
            look(index, Path(step["until"]))
        elif name == "speak":
            while not Path(step["until"]).exists():
                with suppress(errors.PhotoUnknownError):  # another process has removed it meanwhile
                    say(index, Path(plan["said"]))
        elif name == "add" and "said" in plan:
            index.add(**step, between_commits=lambda: say(index, Path(plan["said"])))
        elif name == "import":
            return index.import_photos(step["file"])
        else:
            return index.add(**step)
    return None


def say(index: Index, said: Path) -> None:
    """Label one more photo and remove another one; a file gets a line once a person would be told that it is done."""
    by_hand = {label.photo_id for label in index.labels() if label.source == "correction"}
    left = [photo.id for photo in index.photos() if photo.id is not None and photo.id not in by_hand]
    if len(left) > 2:
        index.label({left[0]: "Linnet"})
        index.remove(Filter(ids=[left[-1]]))
        with said.open("a") as file:
            file.write(f"{left[0]} {left[-1]}\n")


def look(index: Index, until: Path) -> None:
    """Ask over and over while another process writes, until a file appears; every answer must make sense."""
    rounds = 0
    while not until.exists() or rounds < 3:
        rounds += 1
        before = index.generation
        photos = index.photos()
        found = index.search_vectors(np.ones((2, FakeBackbone.dim), np.float32), k=10_000)[1]
        count = len(index)
        counted = index.info()["photos"]
        if index.generation == before:  # nobody committed meanwhile
            assert len(photos) == len(found) == count == counted
        assert len({m.photo.id for m in found}) == len(found), "a photo came twice"
        assert all(a.score >= b.score for a, b in pairwise(found)), "not best first"
        labelled = index.search_vectors(np.ones((1, FakeBackbone.dim), np.float32), k=5, where=Filter(label="Wren"))[0]
        assert all(m.photo.label == "Wren" for m in labelled)
        report = index.verify()
        assert report.ok, report.problems


def _watch(plan: Plan) -> None:
    """Stop in one line (`at`), or write down every line that is run (`record`)."""
    seen: list[Line] = []

    def inside(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            here = (frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)
            if "record" in plan and here not in seen:
                seen.append(here)
                Path(plan["record"]).write_text(json.dumps(seen))
            if list(here) == plan.get("at"):
                plan["skip"] = plan.get("skip", 0) - 1
                if plan["skip"] < 0:
                    _stop(plan)
        return inside

    wanted = set(plan["functions"])

    def entered(frame: FrameType, _event: str, _arg: Any) -> Any:
        code = frame.f_code
        return inside if code.co_name in wanted and code.co_filename.startswith(PACKAGE) else None

    threading.settrace(entered)
    sys.settrace(entered)


def _stop(plan: Plan) -> None:
    if plan["how"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if threading.current_thread() is threading.main_thread():
        plan["at"] = None
        raise KeyboardInterrupt


def _child(plan: Plan) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = Path(plan["log"])
    try:
        if "user" in plan:
            os.setgroups([])
            os.setgid(plan["user"])
            os.setuid(plan["user"])
        if "functions" in plan:
            _watch(plan)
        report = work(plan)
        sys.settrace(None)
        log.write_text("done" if report is None else f"done, {report}")
        return 0
    except KeyboardInterrupt:
        log.write_text("interrupted")
        return 130
    except errors.BirdsearchError as error:
        log.write_text(f"{type(error).__name__}: {error}")
        return REFUSED
    except BaseException:
        log.write_text(traceback.format_exc())
        return 1


def main() -> None:
    """Fork a child for every plan; print its process id, then how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        # One run here, so that the children find everything imported.
        drawing.write(Path(folder, "photos/1.png"), drawing.bird(1, 72, 54))
        work({"index": folder + "/index", "step": {"call": "add", "folders": folder + "/photos"}})
        work({"index": folder + "/index", "step": {"call": "repair"}})
        with open_or_create(folder + "/index") as index:
            index.photos(Filter(label="Wren"))  # the names of birds are read once
    pid = 0
    for line in sys.stdin:
        plan: Plan = json.loads(line)
        if pid:
            os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _child(plan)
            finally:
                os._exit(code)
        print("started", pid, flush=True)
        # Not reaped before the next plan comes: a signal that is late must not hit a stranger with the same id.
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print("ended", ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)


if __name__ == "__main__":
    main()
