"""Files with random faults, of all formats, and what birdsearch says of them: `python -m benchmarks.fuzzing [N]`.

Every file is indexed, shown and fingerprinted by one process with a backbone that needs no memory. What djpeg (of
libjpeg-turbo) says of the JPEGs and ImageMagick of the others is the measure of which damage has to be told; where they
are not installed those columns stay empty. They do not count what they say of metadata alone.
"""

import random
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common import THREADS, ContestantError, command_line, note, publish, table, versions, worker
from tests.support.mutations import mutated, seeds

COUNT = 5_000
SEED = 11
OUTCOMES = ("whole", "damaged", "refused", "ignored")
PATIENCE = 60.0  # seconds that a judge may take for one file
SHOWN = 10  # files of each kind that are named
# What ImageMagick and djpeg say of metadata, of their own limits, and of files that are whole.
_NO_DAMAGE = re.compile(
    rb"Unknown field with tag|CorruptImageProfile|unknown JFIF revision|Unknown Adobe color transform|cache resources"
    rb"|exceeds limit|not authorized|iCCP|cHRM|gAMA|sRGB|tEXt|eXIf|ICC|profile|no decode delegate"
)


def write_files(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Mutated files in a folder: name -> format."""
    rng = random.Random(seed)
    known = seeds()
    every = [data for several in known.values() for data in several]
    formats = sorted(known)
    made = {}
    for number in range(count):
        format = formats[number % len(formats)]
        name = f"{number:05}.{format.lower()}"
        (folder / name).write_bytes(mutated(rng.choice(known[format]), every, rng))
        made[name] = format
    return made


def faulted(path: Path, format: str) -> bool | None:
    """Whether the judge of a format finds a fault in a file; None where it is not installed, or has nothing to say."""
    judge = shutil.which("djpeg") if format == "JPEG" else shutil.which("convert")
    if judge is None:
        return None
    # The format is given: its own guess by the first bytes is another question.
    kind = {"JPEG2000": "JP2", "HEIF": "HEIC", "PPM": "PNM"}.get(format, format)
    what = ["-fast", "-scale", "1/8", str(path)] if format == "JPEG" else [f"{kind}:{path}[0]", "null:"]
    try:
        done = subprocess.run([judge, *what], capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return None
    lines = [line for line in done.stderr.splitlines() if not _NO_DAMAGE.search(line)]
    return bool(lines) or (done.returncode != 0 and not done.stderr)


def summary(formats: Mapping[str, str], answer: dict[str, Any], verdicts: Mapping[str, bool | None]) -> str:
    """The table of outcomes, and what else there is to say."""
    outcomes = {name: answer["outcomes"].get(name, "ignored") for name in formats}
    head = ("format", "files", *OUTCOMES, "the judge finds a fault", "told by birdsearch", "told by birdsearch alone")
    rows = []
    for format in [*sorted(set(formats.values())), "all"]:
        names = [name for name in formats if format in (formats[name], "all")]
        counts = Counter(outcomes[name] for name in names)
        found = [name for name in names if verdicts[name]]
        told = [name for name in found if outcomes[name] != "whole"]
        alone = [name for name in names if verdicts[name] is False and outcomes[name] in ("damaged", "refused")]
        judged = any(verdicts[name] is not None for name in names)
        shares = (len(found), len(told), len(alone)) if judged else (None, None, None)
        rows.append([format, len(names), *(counts[outcome] for outcome in OUTCOMES), *shares])
    return "\n\n".join(
        [
            f"{versions('pillow', 'pi-heif', 'simplejpeg')}. Every file is in exactly one count:"
            f" {answer['counted']} of {len(formats)}, and {answer['counted_again']} in the next run. Tracebacks:"
            f" {len(answer['unexpected'])}. Memory beyond one small photo: {answer['indexing_mb']:.0f} MB for indexing,"
            f" {answer['beyond_mb']:.0f} MB with thumbnails and fingerprints. Indexing took {answer['seconds']:.0f} s.",
            table(head, rows),
        ]
    )


def main() -> None:
    """Parse the command line, write the files, let birdsearch and the judges look, publish."""
    parser = command_line("fuzzing", __doc__)
    parser.add_argument("count", type=int, nargs="?", default=COUNT, metavar="N", help=f"files ({COUNT})")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the files there and leave them")
    parser.add_argument("--print", action="store_true", help="write nothing into RESULTS.md")
    options: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = options.keep or Path(place) / "files"
        folder.mkdir(parents=True, exist_ok=True)
        formats = write_files(folder, options.count, options.seed)
        try:
            answer = worker(None, "fuzzing_birdsearch", folder)
        except ContestantError as error:
            raise SystemExit(f"birdsearch itself failed: {error}") from error
        note(f"birdsearch is done: {answer['reasons']}")
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(lambda name: faulted(folder / name, formats[name]), formats)
            verdicts = dict(zip(formats, found, strict=True))
    for name in answer["unexpected"][:SHOWN]:
        note(f"unexpected: {name}")
    silent = [name for name in formats if verdicts[name] and answer["outcomes"].get(name) == "whole"]
    note(f"not told: {silent[:SHOWN]}")
    command = f"python -m benchmarks.fuzzing {options.count}"
    publish("Files with random faults", summary(formats, answer, verdicts), command=command, keep=not options.print)


if __name__ == "__main__":
    main()
