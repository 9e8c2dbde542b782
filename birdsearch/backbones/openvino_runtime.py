"""Networks run by OpenVINO: exported from torch once, checked against it, then opened with no torch and no birder."""

import contextlib
import ctypes
import errno
import hashlib
import json
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import import_module, resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from birdsearch.backbones.backbone import Backbone, BackboneSpec, Network, NetworkOutput, PooledMap
from birdsearch.backbones.classes import Classes
from birdsearch.cache import cache_folder, file_problem, make_private, others_may_write
from birdsearch.errors import BackboneError, BackboneUnavailableError
from birdsearch.files import atomic_write, sha256_of
from birdsearch.photos import decode
from birdsearch.records import Pixels, Progress, Recipe, Vectors

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest

logger = logging.getLogger("birdsearch")

EXPORT_VERSION = 4  # counts up when what is exported, or how, changes
CHUNK = 4  # photos in one call of the network: more gain nothing on a processor
FEW = 4  # photos: up to so many all cores together are faster than one stream each
_SIGNAL_STACK = 64  # bytes, more than the system's stack_t has
_GIVEN_UP = 86_400  # seconds after which an unfinished export is that of a process that was killed
_PACKAGES = ("birder", "torch", "torchvision", "openvino", "onnx", "onnxscript")

Tokens = npt.NDArray[np.int64]

# The vectors of torch and of an export must stay in one space: cosine of every photo, and of the median one.
WORST_COSINE = {"fp32": 0.9999, "bf16": 0.99}
MEDIAN_COSINE = {"fp32": 0.9999, "bf16": 0.999}
_HINT = {"fp32": "f32", "bf16": "bf16"}
_importing = threading.Lock()


def silent_openvino() -> ModuleType:
    """OpenVINO, imported without its telemetry, which would report each import of it to Google Analytics.

    Its converter takes a stub where the package openvino_telemetry is missing, and keeps that for good.
    """
    with _importing:
        if "openvino" not in sys.modules:
            telemetry = sys.modules.get("openvino_telemetry")
            sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None: an import of it fails at once
            try:
                import_module("openvino")
            finally:
                del sys.modules["openvino_telemetry"]
                if telemetry is not None:
                    sys.modules["openvino_telemetry"] = telemetry
        return import_module("openvino")


@dataclass(frozen=True, slots=True)
class ParityCheck:
    """How well an export agrees with torch on pictures."""

    worst: float  # cosine
    median: float
    problem: str | None = None  # why there are no vectors to compare at this precision

    def passes(self, precision: str) -> bool:
        """Whether its vectors may stand beside those of torch."""
        return (
            self.problem is None and self.worst >= WORST_COSINE[precision] and self.median >= MEDIAN_COSINE[precision]
        )


class OpenVinoNetwork:
    """An exported network on the processor: all of it for one photo, a stream on each core for many."""

    runtime = "openvino"
    device = "cpu"

    def __init__(self, folder: Path, precision: str, torch_backbone: Callable[[], Backbone] | None = None) -> None:
        self.precision = precision
        self._folder = folder
        self._torch_backbone = torch_backbone
        self._models: dict[str, CompiledModel] = {}  # by what they are tuned for
        self._compiling = threading.Lock()
        self._requests: list[InferRequest] = []  # of the model for many photos
        self._running = threading.Lock()

    def run(self, pixels: Pixels | Tokens) -> NetworkOutput:
        """(n, h, w, 3) uint8 -> embeddings (n, dim), and scores (n, classes) where the classes are not linear.

        Of a text tower the tokens of texts (n, context) -> their vectors (n, joint).
        """
        if len(pixels) <= FEW:
            model = self._model("LATENCY")
            with self._running:  # the model has one request for all threads
                answer = model(pixels)
                return NetworkOutput(*(np.array(answer[n], dtype=np.float32) for n in range(len(answer))))
        model = self._model("THROUGHPUT")
        with self._running:
            return NetworkOutput(*(np.concatenate(parts) for parts in zip(*self._stream(model, pixels), strict=True)))

    def _stream(self, model: "CompiledModel", pixels: Pixels | Tokens) -> Iterator[list[Vectors]]:
        """The outputs for one chunk after the other, while the streams work on the next ones.

        No Python callback, and so no `AsyncInferQueue`: a stream that is done would take the GIL to drop it, and stand
        still for ever where the network is dropped just then, because that joins the streams while it holds the GIL.
        """
        streams = model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        if not self._requests:
            self._requests.extend(model.create_infer_request() for _ in range(2 * streams))  # one works, one waits
        rounds = -(-len(pixels) // (len(self._requests) * CHUNK))  # as many chunks for each, so that all end together
        working: deque[InferRequest] = deque()
        for n, chunk in enumerate(np.array_split(pixels, min(len(pixels), rounds * len(self._requests)))):
            if len(working) == len(self._requests):
                yield _outputs(working.popleft())
            request = self._requests[n % len(self._requests)]
            request.start_async({0: chunk})
            working.append(request)
        yield from map(_outputs, working)

    def prepare(self) -> None:
        """Open the files now: a damaged one raises RuntimeError here and not at the first photo."""
        self._model("LATENCY")

    def _model(self, hint: str) -> "CompiledModel":
        openvino = silent_openvino()
        with self._compiling:
            if hint not in self._models:
                core = openvino.Core()
                compiled = self._folder / "compiled"
                with contextlib.suppress(OSError):
                    compiled.mkdir(mode=0o700, exist_ok=True)
                    for damaged in _damaged(compiled):  # OpenVINO would take them as they are
                        damaged.unlink(missing_ok=True)
                    core.set_property({"CACHE_DIR": str(compiled)})
                options = {"INFERENCE_PRECISION_HINT": _HINT[self.precision], "PERFORMANCE_HINT": hint}
                with _own_signal_stack():
                    self._models[hint] = core.compile_model(str(self._folder / "network.xml"), "CPU", options)
                with contextlib.suppress(OSError):
                    if _names(compiled) != set(_sums(compiled)):
                        write_sums(compiled)
            return self._models[hint]

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """(h, w, 3) uint8 -> stage name -> (channels, h, w), by torch: the export has no stages."""
        return self._original.feature_map(pixels)

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        """(h, w, 3) uint8 -> the map that is pooled, by torch at 32 bits: the export has only what comes of it."""
        return self._original.pooled_map(pixels)

    @cached_property
    def _original(self) -> Network:
        assert self._torch_backbone is not None  # a text tower has no maps
        return self._torch_backbone().network


def compiled_file(path: Path) -> "CompiledModel":
    """A network in a file of ONNX, ready to run on the processor, one picture at a time."""
    openvino = silent_openvino()
    options = {"INFERENCE_PRECISION_HINT": _HINT[supported_precision("auto")], "PERFORMANCE_HINT": "LATENCY"}
    with _own_signal_stack():
        return openvino.Core().compile_model(str(path), "CPU", options)


@contextlib.contextmanager
def _own_signal_stack() -> Iterator[None]:
    """Keep the stack on which this thread takes signals.

    Each OpenVINO core that uses the processor lays one of its own there, and may leave it there when its memory is
    gone: the next Ctrl-C would end Python.
    """
    if sys.platform != "linux":
        yield
        return
    system, own = ctypes.CDLL(None), ctypes.create_string_buffer(_SIGNAL_STACK)
    system.sigaltstack(None, own)
    try:
        yield
    finally:
        system.sigaltstack(own, None)


def _outputs(request: "InferRequest") -> list[Vectors]:
    """What a request computed, once it has."""
    request.wait()
    return [np.array(tensor.data, dtype=np.float32) for tensor in request.output_tensors]


def export_key(name: str, weights_sha256: str, recipe: Recipe) -> str:
    """What an export depends on, as the name of its folder."""
    packages = (f"{package} {_version(package)}" for package in _PACKAGES)
    parts = [f"export {EXPORT_VERSION}", name, weights_sha256, repr(recipe), *packages]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def exports_folder() -> Path:
    """Where all exports lie."""
    return cache_folder() / "networks"


def supported_precision(precision: str) -> str:
    """ "auto" resolved for this processor."""
    openvino = silent_openvino()
    with _own_signal_stack():
        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "auto":
        return "bf16" if "BF16" in able else "fp32"
    if precision not in _HINT:
        raise BackboneUnavailableError(
            f"OpenVINO on a processor runs fp32 or bf16, not {precision}. Use precision auto"
        )
    return precision


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """What facts.json says of an export: the backbone, without its classes, and how well it agrees with torch."""

    spec: BackboneSpec
    checks: dict[str, ParityCheck]  # by precision

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises one of UNREADABLE where there is no such file, or it is damaged or of another version."""
        stored = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        checks = {precision: ParityCheck(**check) for precision, check in stored.pop("checks").items()}
        for name in ("input_size", "mean", "std"):  # JSON has no tuples
            stored[name] = stored[name] and tuple(stored[name])
        stored["recipe"] = Recipe.of(stored["recipe"])
        return cls(BackboneSpec(**stored), checks)

    def write(self, folder: Path) -> None:
        """The classes are in a file of their own."""
        stored = {name: getattr(self.spec, name) for name in _STORED} | {"recipe": self.spec.recipe.stored}
        stored["checks"] = {precision: asdict(check) for precision, check in self.checks.items()}
        (folder / "facts.json").write_text(json.dumps(stored), encoding="utf-8")


_SUMS = "SHA256SUMS"  # of the files beside it
_STORED = ("name", "dim", "input_size", "source", "parameters", "weights_sha256", "mean", "std")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, BadZipFile)


def find(source: str, recipe: Recipe) -> str | None:
    """The key of the export that a registered name made with the packages of today; None where there is none."""
    for facts in exports_folder().glob("*/facts.json"):
        with contextlib.suppress(*UNREADABLE):
            spec = ExportRecord.read(facts.parent).spec
            if spec.source == source and facts.parent.name == export_key(spec.name, spec.weights_sha256 or "", recipe):
                return facts.parent.name
    return None


def open_export(name: str, precision: str, torch_backbone: Callable[[], Backbone]) -> Backbone | None:
    """The backbone of a cached export; None where there is none that is whole and agrees with torch at a precision."""
    folder = exports_folder() / name
    if not folder.exists() or open_to_others(exports_folder()) is not None:
        return None
    if (problem := problem_in(folder)) is not None:
        logger.warning("%s: exporting the network again.", problem)
        return None
    try:
        record = ExportRecord.read(folder)
        classes = Classes.read(folder / "classes.npz")
    except UNREADABLE:
        return None
    spec = replace(
        record.spec,
        class_names=classes.names,
        class_species=classes.species,
        class_ranks=classes.ranks,
        classifier=classes.classifier,
        projection=classes.projection,
    )
    first = supported_precision(precision)
    for choice in dict.fromkeys((first, "fp32") if precision == "auto" else (first,)):
        if choice in record.checks and record.checks[choice].passes(choice):
            try:
                network = OpenVinoNetwork(folder, choice, torch_backbone)
                network.prepare()
                return Backbone.of(spec, network)
            except RuntimeError as error:
                logger.warning("the exported network in %s cannot be opened at %s (%s)", folder, choice, error)
    return None


def open_to_others(place: Path) -> Path | None:
    """The cache folder, or this one in it, where others may write there: they decide what any index holds."""
    return next((folder for folder in (cache_folder(), place) if others_may_write(folder)), None)


def problem_in(folder: Path) -> str | None:
    """Why the files of an export are not those that were written."""
    try:
        if others_may_write(folder):
            return f"others may write in {folder}"
        return next(iter(_damaged(folder).values()), None)
    except OSError as error:
        return f"{folder} cannot be read ({error.strerror})"


def _damaged(folder: Path) -> dict[Path, str]:
    """Files that are not what the checksums of their folder say, or are not among them -> what is wrong."""
    sums = _sums(folder)
    names = sorted(_names(folder) | set(sums))
    problems = {folder / name: file_problem(folder / name, sums.get(name, "")) for name in names}
    return {path: problem for path, problem in problems.items() if problem is not None}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} - {_SUMS}


def _sums(folder: Path) -> dict[str, str]:
    """File name -> sha256, as it was written down; nothing where that cannot be read."""
    try:
        lines = (folder / _SUMS).read_text(encoding="ascii").splitlines()
        return {name: sha256 for sha256, name in (line.split("  ") for line in lines)}
    except (FileNotFoundError, ValueError):
        return {}


def write_sums(folder: Path) -> None:
    """Write down the sha256 of the files of a folder, as `sha256sum --check` reads them."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in sorted(_names(folder))]
    with atomic_write(folder / _SUMS) as file:
        file.write("".join(lines).encode("ascii"))


def was_refused(name: str, precision: str) -> bool:
    """Whether an export is there whose vectors at this precision do not agree with those of torch."""
    if not (folder := exports_folder() / name).exists() or problem_in(folder) is not None:
        return False
    try:
        checks = ExportRecord.read(folder).checks
    except UNREADABLE:
        return False
    return precision in checks and not checks[precision].passes(precision)


def make_export(backbone: Backbone, progress: Progress | None) -> str | None:
    """Export a torch backbone into the cache; returns its key, or None, with a note, where that does not work."""
    assert backbone.weights_sha256 is not None  # only a user's own object has none
    name = export_key(backbone.name, backbone.weights_sha256, backbone.recipe)
    failed = exports_folder() / f"{name}.failed"
    if failed.exists():
        logger.warning("torch runs %s: %s", backbone.name, failed.read_text(encoding="utf-8").strip())
        return None
    logger.info("preparing the network %s for this computer, which is done once and takes about 20 s", backbone.name)
    if progress:
        progress("prepare", 0, None, backbone.name)
    try:
        folder = unfinished_folder(exports_folder())
    except OSError as error:
        logger.warning("torch runs %s: no place for its export (%s)", backbone.name, error)
        return None
    try:
        reason, final = _exported(backbone, folder, name), True
    except Exception as error:  # torch's exporter raises whatever its many parts raise
        reason = f"its export failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        final = not isinstance(error, OSError)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if reason is None:
        return name
    logger.warning("torch runs %s: %s", backbone.name, reason)
    if final:  # the next process need not try again what takes long and fails
        with contextlib.suppress(OSError):
            failed.write_text(reason, encoding="utf-8")
    return None


def unfinished_folder(place: Path) -> Path:
    """A new folder among the exports in a folder of the cache; those that a killed process left are removed."""
    make_private(place)
    if (unsafe := open_to_others(place)) is not None:
        raise PermissionError(errno.EPERM, f"others may write in {unsafe}: `chmod go-w` it")
    for old in place.glob("unfinished-*"):
        if time.time() - old.stat().st_mtime > _GIVEN_UP:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="unfinished-", dir=place))


def _exported(backbone: Backbone, folder: Path, name: str) -> str | None:
    """Write an export and move it to its place; returns why it is of no use where its vectors are not torch's."""
    write_network(backbone, folder)
    checks = _checked(backbone, folder)
    if not any(check.passes(precision) for precision, check in checks.items()):
        shutil.rmtree(exports_folder() / name, ignore_errors=True)
        return f"its export does not agree with torch ({checks})"
    (folder / "classes.npz").write_bytes(backbone.classes.as_npz())
    ExportRecord(backbone, checks).write(folder)
    write_sums(folder)
    shutil.rmtree(exports_folder() / name, ignore_errors=True)  # one that could not be opened
    with contextlib.suppress(OSError):  # another process was faster: its export is as good
        folder.rename(exports_folder() / name)
    return None


def write_network(backbone: Backbone, folder: Path) -> None:
    """network.xml: uint8 pixels (n, h, w, 3) in, embeddings (and scores, where they are not linear) out."""
    openvino = silent_openvino()
    onnx = folder / "network.onnx"
    backbone.network.export_onnx(onnx)  # type: ignore[attr-defined]
    steps = openvino.preprocess.PrePostProcessor(openvino.Core().read_model(str(onnx)))
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    # The same arithmetic as in torch, in units of a byte.
    mean, std = ([255 * value for value in values or ()] for values in (backbone.mean, backbone.std))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(mean).scale(std)
    openvino.save_model(steps.build(), str(folder / "network.xml"), compress_to_fp16=False)
    for leftover in folder.glob("network.onnx*"):
        leftover.unlink()


def painted(size: tuple[int, int]) -> Pixels:
    """18 painted pictures (18, *size, 3), on which networks are compared: noise would hide a difference."""
    pictures = (resources.files("birdsearch.backbones") / "pictures").iterdir()
    return np.stack([decode.load(picture.read_bytes(), size) for picture in pictures])


def _checked(backbone: Backbone, folder: Path) -> dict[str, ParityCheck]:
    """Embed painted pictures, stored without loss, with both."""
    pixels = painted(backbone.input_size)
    expected = backbone.embed_pixels(pixels).vectors
    return {precision: _checked_at(precision, backbone, folder, pixels, expected) for precision in _HINT}


def _checked_at(precision: str, backbone: Backbone, folder: Path, pixels: Pixels, expected: Vectors) -> ParityCheck:
    """How well one precision agrees with torch; one that gives no vectors costs the others nothing."""
    network = OpenVinoNetwork(folder, precision, lambda: backbone)
    try:
        cosines = (replace(backbone, network=network).embed_pixels(pixels).vectors * expected).sum(axis=1)
    except (BackboneError, RuntimeError) as error:
        return ParityCheck(0.0, 0.0, str(error))
    return ParityCheck(float(cosines.min()), float(np.median(cosines)))
