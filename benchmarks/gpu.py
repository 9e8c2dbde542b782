"""What a CUDA card gives, in at most eight minutes and without a download: `python -m benchmarks.gpu`.

Part a compares vectors, classes and feature maps on the card, in fp32, bf16 and fp16, with fp32 on the processor: the
built-in network, and the three of the bird model cards with seeded weights. Part b measures photos a second: each
network alone and its share of the card's bf16 peak, as `embed` runs it, decoding by the processor's cores and by
nvJPEG, and a whole `index`. Part c searches a million and ten million vectors of 512 numbers on the card and on the
processor; ten million only where a million took less than a minute. Part d runs the tests marked `network`.

Each part runs alone (`--part b`), says "not available" where a package is missing, and adds each row to one JSON file
(`--out`) as it is found. `--publish FILE` writes such a file, from this machine or another one, into RESULTS.md.
"""

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.common import HERE, command_line, machine, note, publish, table, versions

PICTURES = HERE.parent / "birdsearch/backbones/pictures"
# Dense bf16 operations a second, from the makers' data sheets: NVIDIA H100 and H200 SXM, A100, L40S, L4, RTX 4090.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
DIM = 512
DEPTH = 10
COSINE = {"fp32": 0.9999, "bf16": 0.99, "fp16": 0.99}  # the worst that the parity tests allow
MEDIAN = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}
CAMERA = (4000, 3000)
TRY_LARGER = 60.0  # seconds that a million may have taken


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    cards: bool  # the bird networks beside the built-in one
    small: int  # files of 224 px
    camera: int  # files of 12 megapixels
    batches: tuple[int, ...]
    rows: tuple[int, ...]
    seconds: float  # of each timing


FULL = Size(cards=True, small=2048, camera=128, batches=(64, 256), rows=(1_000_000, 10_000_000), seconds=1.5)
SMALL = Size(cards=False, small=20, camera=2, batches=(4,), rows=(2_000,), seconds=0.1)


@dataclass(slots=True)
class Report:
    """What was found so far; every row is written at once."""

    path: Path
    device: str
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def begin(self, part: str, title: str, head: Sequence[str]) -> None:
        """Start a part anew."""
        self.parts[part] = {"title": title, "head": list(head), "rows": [], "notes": []}
        self._write()

    def row(self, part: str, *cells: object) -> None:
        """Add a row of a part's table."""
        note(f"{part}: " + ", ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))
        self.parts[part]["rows"].append(list(cells))
        self._write()

    def note(self, part: str, text: str) -> None:
        """Add a sentence below a part's table."""
        note(f"{part}: {text}")
        self.parts[part]["notes"].append(text)
        self._write()

    def _write(self) -> None:
        import torch

        named = torch.cuda.get_device_name() if self.device == "cuda" else "no card: the processor stands in"
        shown = {
            "card": named,
            "machine": machine(),
            "versions": versions("torch", "torchvision", "birder", "numpy", "pillow", "faiss-gpu", "faiss-cpu"),
            "parts": self.parts,
        }
        self.path.write_text(json.dumps(shown, indent=1), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to measure: what `load_backbone` takes, and how birder's own code loads the same weights."""

    name: str
    source: str | Path
    network: str | None  # birder's name of it; None for the built-in one

    def bare(self) -> Any:
        """The network as birder has it, fp32, on the processor."""
        from benchmarks import parity

        if self.network is None:
            return parity.built_in_reference().net
        return parity.checkpoint_reference(Path(self.source), self.network).net


def subjects(folder: Path, size: Size) -> Iterator[Subject]:
    """The quick built-in network and, where asked for, those of the bird model cards, written into `folder`."""
    from benchmarks.parity import QUICK
    from tests.support import checkpoints

    yield Subject(QUICK, QUICK, None)
    for card in checkpoints.CARDS if size.cards else ():
        path = folder / f"{card.name}.pt"
        yield Subject(card.name, path if path.exists() else checkpoints.write_card(folder, card), card.network)


# -- a: the same answers -----------------------------------------------------------------------------------------


def same_answers(report: Report, folder: Path, size: Size) -> None:
    """Compare each network and precision on the card with fp32 on the processor, over the pictures of the package."""
    head = (
        "network",
        "precision",
        "worst cosine",
        "median cosine",
        "probabilities apart",
        "feature map apart",
        "right",
    )
    report.begin("a", "A card against the processor", head)
    from birdsearch.backbones import load_backbone
    from birdsearch.photos import decode

    paths = sorted(PICTURES.glob("*.webp"))
    for subject in subjects(folder, size):
        expected_by = load_backbone(subject.source, device="cpu", runtime="torch", precision="fp32")
        pixels = np.stack([decode.load(path, expected_by.input_size) for path in paths])
        expected, expected_map = expected_by.embed_pixels(pixels), expected_by.feature_map(paths[0])
        for precision in ("fp32", "bf16", "fp16") if report.device == "cuda" else ("bf16",):
            backbone = load_backbone(subject.source, device=report.device, runtime="torch", precision=precision)
            got, got_map = backbone.embed_pixels(pixels), backbone.feature_map(paths[0])
            cosines = (got.vectors * expected.vectors).sum(axis=1)
            assert got.probabilities is not None
            assert expected.probabilities is not None
            apart = float(np.abs(got.probabilities - expected.probabilities).max())
            maps = max(
                float(np.abs(got_map[name] - value).max() / np.abs(value).max()) for name, value in expected_map.items()
            )
            worst, median = float(cosines.min()), float(np.median(cosines))
            right = worst >= COSINE[precision] and median >= MEDIAN[precision]
            report.row("a", subject.name, precision, worst, median, apart, maps, "yes" if right else "NO")
    report.note("a", "Feature maps: the largest difference as a share of the largest value.")


# -- b: photos a second ------------------------------------------------------------------------------------------


def photos_a_second(report: Report, folder: Path, size: Size) -> None:
    """The networks alone, as `embed` runs them, decoding alone, and whole runs of `index`."""
    head = ("network", "what", "photos/s", "share of the card's bf16 peak")
    report.begin("b", "Photos a second with a card", head)
    report.note("b", _peaks(report.device))
    small, camera = drawn_photos(folder / "small", size.small, 224), drawn_photos(folder / "camera", size.camera, None)
    for subject in subjects(folder, size):
        _alone(report, subject, size)
        _in_birdsearch(report, subject, folder, small, camera, size)
    _decoding(report, small, camera)


def _peaks(device: str) -> str:
    """What the card's matrix units reach on one large product, beside what its data sheet says."""
    import torch

    if device != "cuda":
        return "no card, no peak"
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    reached = 2 * 8192**3 * rate(lambda: a @ a, 1, device, 1.0) / 1e12
    stated = peak()
    return f"One bf16 product of 8192 x 8192 reaches {reached:.0f} TFLOP/s; the data sheet says {stated / 1e12:.0f}."


def peak() -> float:
    """The card's bf16 operations a second by its data sheet; not a number where it is not listed."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((value for part, value in PEAKS.items() if part in name), float("nan"))


def rate(run: Callable[[], object], photos: int, device: str, seconds: float) -> float:
    """Photos a second: the median over repeated calls, after two that warm up."""
    import torch

    def once() -> float:
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    for _ in range(2):
        once()
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        taken.append(once())
    return photos / float(np.median(taken))


def _alone(report: Report, subject: Subject, size: Size) -> None:
    """The network on pixels that lie on the card: under autocast, with bf16 weights, and compiled."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    net, device = subject.bare().to(report.device), report.device
    height, width = net.size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net.embedding(torch.zeros(1, 3, height, width, device=device))
    operations = counter.get_total_flops()

    def measured(what: str, embedding: Callable[[Any], object], dtype: Any, batch: int) -> None:
        pixels = torch.randn(batch, 3, height, width, device=device, dtype=dtype)
        with torch.inference_mode():
            reached = rate(lambda: embedding(pixels), batch, device, size.seconds)
        share = reached * operations / peak()
        report.row("b", subject.name, f"{what}, batches of {batch}", reached, None if np.isnan(share) else share)

    def autocast(pixels: Any) -> object:
        with torch.autocast(device, dtype=torch.bfloat16):
            return net.embedding(pixels)

    for batch in size.batches:
        measured("network alone, autocast", autocast, torch.float32, batch)
    net = net.to(torch.bfloat16)
    for batch in size.batches:
        measured("network alone, bf16 weights", net.embedding, torch.bfloat16, batch)
    if device == "cuda" and subject.network is not None:
        try:
            measured("the same, compiled", torch.compile(net.embedding), torch.bfloat16, size.batches[-1])
        except Exception as error:  # whatever a compiler may say: the other rows stand
            report.note("b", f"{subject.name}: torch.compile is not available ({str(error).splitlines()[0][:200]}).")
    if device == "cuda":
        del net
        torch.cuda.empty_cache()


def _in_birdsearch(
    report: Report, subject: Subject, folder: Path, small: list[Path], camera: list[Path], size: Size
) -> None:
    """Decoded pixels through `embed_pixels`, and folders through `Index.add`."""
    import birdsearch
    from birdsearch.backbones import load_backbone

    backbone = load_backbone(subject.source, device=report.device, runtime="torch")
    for batch in size.batches:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *backbone.input_size, 3), dtype=np.uint8)
        reached = rate(lambda pixels=pixels: backbone.embed_pixels(pixels), batch, report.device, size.seconds)  # type: ignore[misc]
        report.row("b", subject.name, f"embed_pixels, batches of {batch}", reached, None)
    for what, photos in (("files of 224 px", small), ("files of 12 megapixels", camera)):
        index_folder = folder / "index"
        try:
            with birdsearch.create(index_folder, backbone=backbone) as index:
                started = time.perf_counter()
                added = index.add(photos[0].parent).added
                report.row("b", subject.name, f"index, {what}", added / (time.perf_counter() - started), None)
        except ImportError as error:
            report.note("b", f"{subject.name}: index is not available ({error}).")
        shutil.rmtree(index_folder, ignore_errors=True)


def drawn_photos(folder: Path, count: int, side: int | None) -> list[Path]:
    """JPEGs made of the pictures of the package, all different: squares of `side` pixels, or noisy ones of 12 MP."""
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    if folder.is_dir():
        return paths
    folder.mkdir(parents=True)
    pictures = [Image.open(path).convert("RGB") for path in sorted(PICTURES.glob("*.webp"))]

    def draw(number: int) -> None:
        random = np.random.default_rng(number)
        picture = pictures[number % len(pictures)]
        left, top = (int(random.integers(0, length // 5)) for length in picture.size)
        cut = picture.crop((left, top, left + picture.width * 4 // 5, top + picture.height * 4 // 5))
        if side is None:
            large = np.asarray(cut.resize(CAMERA, Image.Resampling.BICUBIC), dtype=np.int16)
            noisy = large + random.normal(0, 6, large.shape).astype(np.int16)
            made = Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
        else:
            made = cut.resize((side, side), Image.Resampling.LANCZOS)
        made.save(paths[number], quality=92)

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(count)))
    return paths


def _decoding(report: Report, small: list[Path], camera: list[Path]) -> None:
    """Decoding alone: birdsearch's on all cores, and nvJPEG's, which leaves full-size pixels on the card."""
    import os

    import torch

    from birdsearch.photos import decode

    for what, photos in (("files of 224 px", small), ("files of 12 megapixels", camera)):
        with ThreadPoolExecutor() as pool:
            started = time.perf_counter()
            list(pool.map(lambda path: decode.load(path, (224, 224)), photos))
            taken = time.perf_counter() - started
        report.row("b", f"decoding, {os.cpu_count()} cores", what, len(photos) / taken, None)
        if report.device != "cuda":
            continue
        try:
            from torchvision.io import decode_jpeg

            data = [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in photos[:64]]
            reached = rate(lambda data=data: decode_jpeg(data, device="cuda"), len(data), "cuda", 1.0)  # type: ignore[misc]
            report.row("b", "decoding, nvJPEG", what, reached, None)
        except (ImportError, RuntimeError, AssertionError) as error:
            report.note("b", f"nvJPEG is not available ({str(error).splitlines()[0][:200]}).")


# -- c: searching ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Searched:
    """Vectors on the card, questions, and the true neighbours of the questions."""

    vectors: Any  # (n, 512), fp16, rows of length 1
    questions: Any  # (500, 512), fp16
    truth: Any  # (500, 10), numbers of rows


def searching(report: Report, _folder: Path, size: Size) -> None:
    """Exact search by torch, FAISS's engines on the card, and birdsearch's on the processor."""
    head = ("vectors", "engine", "recall at 10", "questions/s, one at a time", "by 10", "by 500", "build, s")
    report.begin("c", f"Searching vectors of {DIM} numbers with a card", head)
    slow: set[str] = set()
    for rows in size.rows:
        data = drawn_vectors(rows, report.device)
        for name, contestant in _contestants(report.device).items():
            if name in slow:
                continue
            started = time.perf_counter()
            try:
                search, seconds = contestant(data)
                _ask(report, f"{rows:,}", name, search, data, seconds)
            except (ImportError, AttributeError, RuntimeError, MemoryError) as error:
                report.note("c", f"{rows:,}, {name}: not available ({str(error).splitlines()[0][:200]}).")
            if time.perf_counter() - started > TRY_LARGER:
                slow.add(name)
        del data


def drawn_vectors(rows: int, device: str) -> Searched:
    """Unit vectors around one centre in a hundred rows, with a spectrum that falls slowly, seeded."""
    import torch

    generator = torch.Generator(device).manual_seed(2026)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, device=device, generator=generator)

    spectrum = torch.arange(1, DIM + 1, device=device, dtype=torch.float32) ** -0.5
    centres = normal(max(1, rows // 100), DIM) * spectrum

    def some(count: int) -> Any:
        chosen = torch.randint(len(centres), (count,), device=device, generator=generator)
        return torch.nn.functional.normalize(centres[chosen] + 0.7 * normal(count, DIM) * spectrum).half()

    vectors = torch.empty(rows, DIM, device=device, dtype=torch.float16)
    for start in range(0, rows, 100_000):
        vectors[start : start + 100_000] = some(min(100_000, rows - start))
    questions = some(500)
    return Searched(vectors, questions, exact(vectors, questions, torch.float32))


def exact(vectors: Any, questions: Any, dtype: Any, depth: int = DEPTH) -> Any:
    """The rows with the largest products, (q, depth), looked at in blocks of a million."""
    import torch

    best, rows = [], []
    for start in range(0, len(vectors), 1_000_000):
        block = vectors[start : start + 1_000_000].to(dtype)
        top = torch.topk(questions.to(dtype) @ block.T, min(depth, len(block)), dim=1)
        best.append(top.values)
        rows.append(top.indices + start)
    order = torch.topk(torch.cat(best, dim=1), depth, dim=1).indices
    return torch.gather(torch.cat(rows, dim=1), 1, order)


Search = Callable[[Any], Any]  # questions (q, 512) on the card -> rows (q, 10)


def _contestants(device: str) -> dict[str, Callable[[Searched], tuple[Search, float]]]:
    """Every engine: what it makes of the vectors, and how long that took."""
    return {
        "torch, exact, fp16" if device == "cuda" else "torch, exact": lambda data: _torch(data, device),
        "FAISS on the card, exact, fp16": lambda data: _faiss_card("flat", data),
        "FAISS on the card, IVF": lambda data: _faiss_card("ivf", data),
        "FAISS on the card, CAGRA": lambda data: _faiss_card("cagra", data),
        "birdsearch on the processor, exact": lambda data: _processor("flat", data),
        "birdsearch on the processor, auto at 0.95": lambda data: _processor("auto", data),
    }


def _torch(data: Searched, device: str) -> tuple[Search, float]:
    import torch

    dtype = torch.float16 if device == "cuda" else torch.float32
    return lambda questions: exact(data.vectors, questions, dtype), 0.0


def _faiss_card(kind: str, data: Searched) -> tuple[Search, float]:
    """One of FAISS's engines on the card."""
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        raise ImportError("this build of FAISS sees no card")
    resources, started = faiss.StandardGpuResources(), time.perf_counter()
    vectors = data.vectors.float().cpu().numpy()
    if kind == "cagra":
        engine = faiss.GpuIndexCagra(resources, DIM, faiss.METRIC_INNER_PRODUCT)
        engine.train(vectors)
    elif kind == "ivf":
        config = faiss.GpuIndexIVFFlatConfig()
        engine = faiss.GpuIndexIVFFlat(resources, DIM, int(4 * len(vectors) ** 0.5), faiss.METRIC_INNER_PRODUCT, config)
        engine.nprobe = 32
        engine.train(vectors)
        engine.add(vectors)
    else:
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        engine = faiss.GpuIndexFlatIP(resources, DIM, config)
        engine.add(vectors)
    return _by_numpy(lambda questions: engine.search(questions, DEPTH)[1]), time.perf_counter() - started


def _processor(kind: str, data: Searched) -> tuple[Search, float]:
    """One of birdsearch's engines, on the processor."""
    from birdsearch.search import tuning

    vectors = data.vectors.float().cpu().numpy()
    started = time.perf_counter()
    engine = tuning.build(vectors, engine=kind, recall=0.95)
    return _by_numpy(lambda questions: engine.search(questions, DEPTH).ids), time.perf_counter() - started


def _by_numpy(search: Callable[[Any], Any]) -> Search:
    import torch

    return lambda questions: torch.from_numpy(np.asarray(search(questions.float().cpu().numpy())))


def _ask(report: Report, rows: str, name: str, search: Search, data: Searched, build: float) -> None:
    """Recall over the 500 questions, and questions a second in batches of three sizes."""
    found = search(data.questions).to(data.truth.device)
    recall = float((found[:, :, None] == data.truth[:, None, :]).any(dim=2).float().mean())
    device = str(data.truth.device.type)
    rates = [
        rate(lambda batch=batch: search(data.questions[:batch]), batch, device, 1.0)  # type: ignore[misc]
        for batch in (1, 10, 500)
    ]
    report.row("c", rows, name, recall, *rates, build)


# -- d: the tests ------------------------------------------------------------------------------------------------


def the_tests(report: Report, _folder: Path, size: Size) -> None:
    """The tests marked `network`, which use the card where there is one."""
    report.begin("d", "The tests marked network on a machine with a card", ("tests", "result"))
    needed = ("pytest", "openvino", "onnxscript", "faiss", "sqlalchemy", "typer", "cv2")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        report.note("d", f"Not available: {', '.join(missing)} not installed.")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "network", "-p", "no:cacheprovider"]
    chosen = command if size.cards else [*command, "tests/cli/test_backbones.py"]
    ended = subprocess.run(chosen, cwd=HERE.parent, capture_output=True, text=True, timeout=240, check=False)
    report.row("d", "pytest -m network", (ended.stdout.strip().splitlines() or ["nothing"])[-1].strip("= "))


PARTS = {"a": same_answers, "b": photos_a_second, "c": searching, "d": the_tests}


def publish_file(path: Path, *, keep: bool = True) -> None:
    """Write what a run found into RESULTS.md."""
    found = json.loads(path.read_text(encoding="utf-8"))
    for name, part in found["parts"].items():
        rows = table(part["head"], part["rows"]) if part["rows"] else ""
        body = "\n\n".join([f"{found['card']}. {found['versions']}.", rows, *part["notes"]])
        publish(part["title"], body, command=f"python -m benchmarks.gpu --part {name}", keep=keep, on=found["machine"])


def main(arguments: list[str] | None = None) -> None:
    """Run the parts that are asked for, or publish what another run found."""
    parser = command_line("gpu", __doc__)
    parser.add_argument("--part", choices=sorted(PARTS), action="append", help="only this one; may be given repeatedly")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE", help="what is found (gpu.json)")
    parser.add_argument("--publish", type=Path, metavar="FILE", help="write what a run found into RESULTS.md")
    parser.add_argument("--stand-in", action="store_true", help="a little of everything, on the processor")
    options = parser.parse_args(arguments)
    if options.publish:
        publish_file(options.publish)
        return
    import torch

    if not torch.cuda.is_available() and not options.stand_in:
        raise SystemExit("torch finds no CUDA card here; --stand-in tries the script on the processor")
    report = Report(options.out, "cpu" if options.stand_in else "cuda")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.part or sorted(PARTS):
            started = time.perf_counter()
            try:
                PARTS[name](report, Path(folder), SMALL if options.stand_in else FULL)
            except ImportError as error:
                report.note(name, f"Not available: {error}.")
            report.note(name, f"The part took {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
