"""What the benchmarks share: places, the command line, the machine, contestants as processes, tables, RESULTS.md."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"  # made data; ignored by git, may be deleted at any time
ENVIRONMENTS = HERE / ".envs"  # one virtual environment per group of alternatives; ignored as well
WORKERS = HERE / "workers"
RESULTS = HERE / "RESULTS.md"
SHARED_PHOTOS = HERE.parent.parent / "shared/data/birds300"
THREADS = 2  # for everyone
ROUNDS = 3
Figures = dict[str, Any]


class ContestantError(Exception):
    """A contestant's process failed; the message ends with what it last said."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a process printed and took."""

    stdout: str
    seconds: float
    peak_mb: float  # of the largest single process among it and its children
    user_seconds: float  # of a processor, in the process and its children: what a busy machine changes least

    @property
    def answer(self) -> Figures:
        """The last line that it printed, as JSON."""
        figures: Figures = json.loads(self.stdout.strip().splitlines()[-1])
        return figures


def cached(name: str) -> Path:
    """A folder below the cache, which git ignores."""
    return _ignored(CACHE) / name


def environment_folder(name: str) -> Path:
    """Where the virtual environment of a group of alternatives lies."""
    return _ignored(ENVIRONMENTS) / name


def _ignored(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


def python_of(environment: str | None) -> Path:
    """The interpreter of an environment made by `benchmarks.environments`; None is this one."""
    if environment is None:
        return Path(sys.executable)
    python = environment_folder(environment) / "bin/python"
    if not python.exists():
        raise ContestantError(f"no environment {environment}: run `python -m benchmarks.environments {environment}`")
    return python


def birdsearch_command(*words: str | Path) -> list[str | Path]:
    """A birdsearch command line in the interpreter of this process."""
    return [python_of(None), "-m", "birdsearch", *words]


def run(
    command: Sequence[str | Path], *, timeout: float | None = None, cwd: Path | None = None, **variables: str
) -> Finished:
    """Run a process to its end, two threads for every library in it; ContestantError where it fails."""
    settings = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
    settings |= {"RAYON_NUM_THREADS": str(THREADS), "PYTHONPATH": str(HERE.parent), **variables}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            # Where somebody forbids it, every process would compile the checkout's modules anew, and only those.
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | settings,
            cwd=cwd,
        )
        status, used = _wait(process, timeout)
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    if status != 0:
        said = "\n".join((stderr or stdout).strip().splitlines()[-12:])
        raise ContestantError(f"{' '.join(map(str, command[:4]))} ended with {status}:\n{said}")
    return Finished(stdout, seconds, used.ru_maxrss / 1024, used.ru_utime)


def _wait(process: "subprocess.Popen[bytes]", timeout: float | None) -> tuple[int, resource.struct_rusage]:
    """The exit status and what was used (its memory in KiB); a process that takes too long is ended."""
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        # wait4 and not Popen.wait: only it tells the memory of this one child.
        pid, status, usage = os.wait4(process.pid, 0 if until is None else os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if until is not None and time.monotonic() > until:
            process.kill()
            process.wait()
            raise ContestantError(f"not done after {timeout:.0f} s")
        time.sleep(0.02)


def worker(
    environment: str | None, name: str, *options: str | Path, timeout: float | None = None, **variables: str
) -> Figures:
    """Run one of `benchmarks/workers` in its environment; the last line it prints is its answer, as JSON."""
    finished = run([python_of(environment), WORKERS / f"{name}.py", *options], timeout=timeout, cwd=None, **variables)
    return {"peak_mb": finished.peak_mb, **finished.answer}


def alone(name: str, *words: str | Path, timeout: float | None = None) -> Figures:
    """What `python -m benchmarks.NAME --alone WORDS` measures in a process of its own."""
    return run([sys.executable, "-m", f"benchmarks.{name}", "--alone", *words], timeout=timeout).answer


def alone_within(seconds: float, name: str, *words: str | Path) -> Figures | None:
    """The same, which is noted; None where it failed or took longer."""
    what = f"{name} {' '.join(map(str, words))}"
    try:
        found = alone(name, *words, timeout=seconds)
    except ContestantError as error:
        note(f"{what}: {error}")
        return None
    note(f"{what}: {found}")
    return found


def alternating(contestants: Mapping[str, Callable[[], Figures]], rounds: int = ROUNDS) -> dict[str, list[Figures]]:
    """Let everyone run once, then everyone again: a slow minute of the machine then hits all alike.

    Who fails is named on stderr and left out; the rest go on.
    """
    results: dict[str, list[Figures]] = {name: [] for name in contestants}
    out: set[str] = set()
    for number in range(rounds):
        for name, contestant in contestants.items():
            if name in out:
                continue
            try:
                results[name].append(contestant())
                note(f"round {number + 1}/{rounds}, {name}: {_brief(results[name][-1])}")
            except ContestantError as error:
                note(f"{name} is left out: {error}")
                out.add(name)
    return {name: figures for name, figures in results.items() if name not in out}


def _brief(figures: Figures) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in figures.items() if isinstance(value, int | float))


def median(figures: Sequence[Figures], key: str) -> float:
    """The median of one figure over the rounds."""
    return statistics.median(float(figure[key]) for figure in figures)


def note(text: str) -> None:
    """A line for who watches; results go to stdout."""
    print(f"[{datetime.now(UTC):%H:%M:%S}] {text}", file=sys.stderr, flush=True)


def command_line(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of `python -m benchmarks.NAME`, to be added to; its help is the text of the module as it stands."""
    prog, as_it_stands = f"python -m benchmarks.{name}", argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=prog, description=doc, formatter_class=as_it_stands)


def takes_parts(parser: argparse.ArgumentParser, parts: Iterable[str]) -> None:
    """Let the command line name some of these parts; without any, `options.parts` is all of them."""
    names = list(parts)

    def known(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"no part is called {name}: there are {', '.join(names)}")
        return name

    help = f"of {', '.join(names)}; default: all"
    parser.add_argument("parts", nargs="*", type=known, default=names, metavar="PART", help=help)


def stat_of(stat: str | Path) -> tuple[int, float]:
    """Of a process or thread, by its file `stat` below /proc: its parent, and the seconds of a processor it has had."""
    fields = Path(stat).read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """Processor, cores, memory and system in one line."""
    described = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if ":" in line
    )
    facts = {key.strip(): value.strip() for key, value in described.items()}
    extras = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in facts.get("flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{facts.get('model name', platform.processor())} (family {facts.get('cpu family')}, model"
        f" {facts.get('model')}; {' '.join(extras)}), {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()},"
        f" Python {platform.python_version()}"
    )


def versions(*packages: str) -> str:
    """The installed versions of packages of this environment, in one line."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats are shown with three digits that count."""
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def publish(title: str, body: str, *, command: str, keep: bool, on: str | None = None) -> None:
    """Print a section and, where `keep`, put it into RESULTS.md in place of the section of the same title.

    `on` is the machine where that was measured, if not this one.
    """
    stamp = f"`{command}`, {datetime.now(UTC):%Y-%m-%d}. {on or machine()}."
    section = f"## {title}\n\n{stamp}\n\n{body.strip()}\n"
    print(section)
    if keep:
        RESULTS.write_text(_replaced(RESULTS.read_text(encoding="utf-8"), title, section), encoding="utf-8")
        note(f"written to {RESULTS}")


def _replaced(page: str, title: str, section: str) -> str:
    """The page with one section exchanged, or added at the end."""
    head, *sections = ("\n" + page).split("\n## ")
    kept = [f"## {other}".strip() + "\n" for other in sections]
    places = [number for number, other in enumerate(kept) if other.splitlines()[0] == f"## {title}"]
    if places:
        kept[places[0]] = section
    else:
        kept.append(section)
    return head.strip() + "\n\n" + "\n".join(kept)
