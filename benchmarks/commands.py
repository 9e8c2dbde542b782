"""The most memory that each command takes on a large index: `python -m benchmarks.commands` (`--counts 100000`).

Photos of `benchmarks.listing`, none of which exists, are imported; each command is run in a process of its own, which
tells the most memory that it held (VmHWM). What the same takes of an index of 1,000 photos is its base. `--only audit
dedupe` runs these alone; `--keep FOLDER` uses the indexes that lie there, or leaves them there. Seconds are those of
the processor. The engine compares every photo, and lies in a file whose pages count where they are read.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import birdsearch
from benchmarks import listing
from benchmarks.common import Figures, alone_within, command_line, publish, table, versions
from benchmarks.workers.cold_index import Given
from birdsearch import Filter

BASE = 1_000
COUNTS = (100_000, 500_000)
LONGEST = 3_600.0  # seconds that nobody waits
MOST = Filter(taken_after="2020-05-03")  # 26 of 28 days


def cli(*words: str) -> Callable[[Path, Path], None]:
    """A command line as a user types it; {out} is a folder for what it writes."""

    def run_it(index: Path, out: Path) -> None:
        from birdsearch import cli as command

        with contextlib.suppress(SystemExit):
            sys.argv = ["birdsearch", *(word.format(out=out) for word in words), "--index", str(index)]
            command.main()

    return run_it


def query(where: Filter | None) -> Callable[[Path, Path], None]:
    """A search like that of an image, without the network."""

    def ask(path: Path, _: Path) -> None:
        with birdsearch.open(path) as index:
            index.search_vectors(index.vectors([1, 2, 3]), k=10, where=where)

    return ask


def label_from(path: Path, out: Path) -> None:
    """A correction of every photo."""
    with birdsearch.open(path) as index:
        lines = (f"{photo_id},{index.provenance.index_id},Wren" for photo_id in index.photo_ids().tolist())
        (out / "labels.csv").write_text("\n".join(["id,index_id,species", *lines]), encoding="utf-8")
        index.label_from(out / "labels.csv")


PARTS: dict[str, Callable[[Path, Path], None]] = {
    "info": cli("info"),
    "photos": cli("photos"),
    "photos --json": cli("photos", "--json"),
    "photos --csv": cli("photos", "--csv"),
    "label --list --csv": cli("label", "--list", "--csv"),
    "names": cli("names"),
    "list": cli("list"),
    "query": query(None),
    "query, of 26 days of 28": query(MOST),
    "export csv": cli("export", "{out}/all.csv"),
    "export parquet": cli("export", "{out}/all.parquet"),
    "export --format fiftyone": cli("export", "--format", "fiftyone", "{out}/fiftyone"),
    "export --format camtrap-dp": cli("export", "--format", "camtrap-dp", "{out}/camtrap"),
    "export --format darwin-core": cli("export", "--format", "darwin-core", "{out}/darwin.zip"),
    "export --format embedding-atlas": cli("export", "--format", "embedding-atlas", "{out}/atlas.parquet"),
    "tags": cli("tags"),
    "verify": cli("verify"),
    "repair": cli("repair"),
    "species": cli("species"),
    "audit": cli("audit"),
    "evaluate": cli("evaluate"),
    "split": cli("split", "{out}/split"),
    "clusters": cli("clusters"),
    "dedupe": cli("dedupe"),
    "optimize": cli("optimize"),
    "label --from, a line a photo": label_from,
    "remove": cli("remove", "--everything", "--yes"),
}


def fill(path: Path, count: int) -> None:
    """An index of so many photos, with an engine that compares all of them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "all.parquet"
        listing.export(source, count)
        with (
            birdsearch.create(path, backbone=Given(listing.DIM)) as index,
            mock.patch("birdsearch.storage.vectors.FLAT_UP_TO", sys.maxsize),  # to choose another takes minutes
        ):
            index.import_photos(source)


def measure(part: str, path: Path) -> Figures:
    """One of them in this process, on a copy of the index."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy = shutil.copytree(path, Path(folder) / "index")
        with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
            began = time.process_time()
            PARTS[part](copy, Path(folder))
            took = time.process_time() - began
    return {"cpu": took, "peak_mb": listing.memory("status", "VmHWM")}


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("commands", __doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the indexes lie, or are left")
    parser.add_argument("--alone", nargs=2, metavar=("PART", "INDEX"), help="measure in this process, and print JSON")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(measure(options.alone[0], Path(options.alone[1]))))
        return
    counts = [BASE, *options.counts]
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        for count in counts:
            if not (place / str(count)).exists():
                fill(place / str(count), count)
        rows: list[list[object]] = []
        for part in options.only:
            found = [alone_within(LONGEST, "commands", part, place / str(count)) for count in counts]
            row: list[object] = [part, found[0] and found[0]["peak_mb"]]
            for one in found[1:]:
                row += [one and found[0] and one["peak_mb"] - found[0]["peak_mb"], one and one["cpu"]]
            rows.append(row)
    head = ["", f"MB with {BASE:,} photos", *(f"{n:,}: {what}" for n in counts[1:] for what in ("MB more", "CPU s"))]
    publish(
        "Commands at size",
        f"{versions('faiss-cpu', 'sqlalchemy', 'pyarrow')}. Vectors of {listing.DIM}.\n\n{table(head, rows)}",
        command="python -m benchmarks.commands",
        keep=tuple(options.counts) == COUNTS and options.only is PARTS,
    )


if __name__ == "__main__":
    main()
