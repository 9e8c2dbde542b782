"""Tags written into 720 files by a process that is killed twelve times: `python -m benchmarks.tags`.

A third are sidecars that are there, a third are made, a third are the photos themselves. At each kill every file must
be as before or complete; in the end a run completes all, one more changes nothing, and undo brings every byte back.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import birdsearch
from benchmarks.common import command_line, note, publish, table
from birdsearch.errors import PlanError
from birdsearch.photos.decode import fingerprint
from birdsearch.tags import exiftool
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.sidecar_shapes import SHAPES

PLACES = ("auto", "file")
LISTS = ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList")

MEANING = """Photos of 320 x 240; a process plans, writes and is killed (SIGKILL, with its ExifTool) at random moments.
Broken: neither the bytes of before nor a file with every tag and value of before, every new one, and equal pixels."""


def make(place: Path, files: int) -> None:
    """A folder of photos for each place, with sidecars as nine programs write them, and their index."""
    shapes = list(SHAPES.values())
    for number in range(files):
        kind = ("there", "made", "file")[number % 3]
        into = "file" if kind == "file" else "auto"
        photo = write(place / into / f"Mallard/{number}.jpg", bird(number, 320, 240))
        if kind == "there":
            photo.with_suffix(".xmp").write_text(shapes[number // 3 % len(shapes)], "utf-8")
    for into in PLACES:
        with birdsearch.create(place / f"index-{into}", backbone=FakeBackbone()) as index:
            index.add(place / into, labels="folder")


def contents(place: Path) -> dict[str, bytes]:
    """Every file but hidden ones."""
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name[0] != "."}


def hidden(place: Path) -> list[Path]:
    """What a kill has left."""
    return [path for path in place.rglob(".*") if path.is_file()]


def work(place: Path, into: str) -> None:
    """The process that is killed."""
    with birdsearch.open(place / f"index-{into}", backbone=FakeBackbone()) as index:
        plan = index.tags(into=into)
        print(len(plan.changes), flush=True)
        index.write_tags(plan)
        print("done", flush=True)


def killed(place: Path, into: str, wait: float) -> bool:
    """Start the process and kill it and its ExifTool; False where it was done before."""
    command = [sys.executable, "-m", "benchmarks.tags", "--work", into, "--place", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        done = process.poll() is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return not done


def tags_of(paths: list[str]) -> dict[str, dict[str, object]]:
    """What ExifTool reads of files."""
    found = {}
    for start in range(0, len(paths), 100):
        block = paths[start : start + 100]
        for path, answer in zip(block, exiftool.run([exiftool.reading(path) for path in block]), strict=True):
            found[path] = exiftool.tags(answer) or {}
    return found


def is_whole(before: bytes | None, path: str, old: dict[str, object], new: dict[str, object]) -> bool:
    """Whether a file that was written says all of before and what is new; the pixels of a photo are equal."""
    about = ("File:", "System:", "SourceFile", "ExifTool:", "Composite:", "XMP-x:XMPToolkit")
    for name, value in old.items():
        if name.startswith(about) or value in ("", []):
            continue
        now = new.get(name)
        if name in LISTS:
            have, had = (one if isinstance(one, list) else [one] for one in (now, value))
            if not set(map(str, had)) <= set(map(str, have)):
                return False
        elif now != value:
            return False
    subjects = new.get("XMP-dc:Subject")
    if not isinstance(subjects, list) or not {"Mallard", "Anas platyrhynchos"} <= set(subjects):
        return False
    if path.endswith(".jpg") and before is not None:
        with tempfile.NamedTemporaryFile(suffix=".jpg") as copy:
            copy.write(before)
            copy.flush()
            return fingerprint(copy.name) == fingerprint(path)
    return True


def warnings_of(paths: list[str]) -> dict[str, set[str]]:
    """What `exiftool -validate` has to say of each."""
    found = {}
    for start in range(0, len(paths), 100):
        block = paths[start : start + 100]
        asked = [["-validate", "-warning", "-error", "-a", "-s3", path] for path in block]
        for path, answer in zip(block, exiftool.run(asked), strict=True):
            found[path] = set(answer.out.splitlines()) - {"OK"}
    return found


def campaign(place: Path, kills: int, seed: int) -> Counter[str]:
    """Everything, for both places; what was counted."""
    chance, counts = random.Random(seed), Counter[str]()
    for into in PLACES:
        root = place / into
        before = contents(root)
        old_tags, old_warnings = tags_of(sorted(before)), warnings_of(sorted(before))
        for _ in range(kills // len(PLACES)):
            counts["kills"] += killed(place, into, chance.uniform(0.05, 5.0))
            check(before, root, old_tags, counts)
        with birdsearch.open(place / f"index-{into}", backbone=FakeBackbone()) as index:
            started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + time.process_time()
            report = index.write_tags(index.tags(into=into))
            took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + time.process_time() - started
            note(
                f"{into}: the last run wrote {report.done} files in {took:.1f} s of CPU, skipped {len(report.skipped)}"
            )
            counts["skipped"] += len(report.skipped)
            counts["hidden files left in the end"] += len(hidden(root))
            after = contents(root)
            check(before, root, old_tags, counts, final=True)
            counts["photos of which a second run changes something"] += len(index.tags(into=into).changes)
            new_warnings = warnings_of(sorted(after))
            counts["new warnings of -validate"] += sum(
                len(said - old_warnings.get(path, set())) for path, said in new_warnings.items()
            )
            counts["photos embedded again"] += index.add(root).changed
            with suppress(PlanError):
                while True:
                    counts["skipped by undo"] += len(index.undo().skipped)
            counts["files not as before after undo"] += sum(
                contents(root).get(path) != data for path, data in before.items()
            ) + len(contents(root).keys() - before.keys())
    return counts


def check(before: dict[str, bytes], root: Path, old: dict, counts: Counter[str], *, final: bool = False) -> None:  # type: ignore[type-arg]
    """Count old, new and broken files."""
    now = contents(root)
    changed = sorted(path for path, data in now.items() if before.get(path) != data)
    new = tags_of(changed)
    broken = [path for path in changed if not is_whole(before.get(path), path, old.get(path, {}), new[path])]
    lost = before.keys() - now.keys()
    for path in broken:
        note(f"BROKEN {path}")
    counts["broken"] += len(broken) + len(lost)
    counts["written in the end" if final else "new files seen after the kills, in sum"] += len(changed)
    if not final:
        counts["hidden copies left by kills"] += len(hidden(root))


def main() -> None:
    """Kill, count, and write the table down."""
    parser = command_line("tags", __doc__)
    parser.add_argument("--files", type=int, default=720)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", choices=PLACES, help="what the process does that is killed")
    parser.add_argument("--place", type=Path, help="where it works")
    parser.add_argument("--keep", action="store_true", help="write the table into RESULTS.md")
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.place, arguments.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make(place, arguments.files)
        counts = campaign(place, arguments.kills, arguments.seed)
    rows = [[name, count] for name, count in counts.items()]
    text = "\n\n".join([table(["what", "count"], [["files", arguments.files], *rows]), MEANING])
    command = f"python -m benchmarks.tags --files {arguments.files} --kills {arguments.kills} --seed {arguments.seed}"
    publish("Tags written by a process that is killed", text, command=command, keep=arguments.keep)


if __name__ == "__main__":
    main()
