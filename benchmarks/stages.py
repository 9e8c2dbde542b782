"""Where the processor's time goes while photos become an index: `python -m benchmarks.stages`.

CPU time of each kind of thread of one run of `add`. What the network and the decoder reach alone is in the tables of
`benchmarks.indexing`.
"""

import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import birdsearch
from benchmarks import checkpoints, pictures
from benchmarks.common import ROUNDS, THREADS, cached, command_line, publish, stat_of, table, versions

PHOTOS, START = 1500, 32
STAGES = {  # by how the names of its threads begin
    "birdsearch-decode": "decode, resize, perceptual hash",
    "birdsearch-read": "read files, sha256",
    "birdsearch-write": "write parts, commit",
    "birdsearch-attended": "hand pixels to the network",
    "MainThread": "classes, records, the rest",
}
NETWORK = "network"  # OpenVINO's own threads are not Python's


@contextmanager
def watched(seconds: defaultdict[str, float]) -> Iterator[None]:
    """Counts CPU seconds of this process by the stage of the thread that spent them."""
    names: dict[int, str] = {}
    spent: dict[int, float] = {}
    ended = threading.Event()

    def look() -> None:
        names.update((thread.native_id or 0, thread.name) for thread in threading.enumerate())
        for thread_id in map(int, os.listdir("/proc/self/task")):
            try:
                spent[thread_id] = stat_of(f"/proc/self/task/{thread_id}/stat")[1]
            except OSError:
                continue  # it has just ended

    def watch() -> None:
        while not ended.wait(0.02):
            look()

    look()
    before = dict(spent)
    watcher = threading.Thread(target=watch, name="watcher")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    look()
    for thread_id, now in spent.items():
        name = names.get(thread_id, NETWORK)
        if name != "watcher":
            stage = next((stage for prefix, stage in STAGES.items() if name.startswith(prefix)), NETWORK)
            seconds[stage] += now - before.get(thread_id, 0.0)


def measured(folder: Path) -> tuple[float, defaultdict[str, float]]:
    """(seconds, CPU seconds by stage) of one `add` to an index whose network is loaded."""
    place = cached("stages")
    shutil.rmtree(place, ignore_errors=True)
    spent: defaultdict[str, float] = defaultdict(float)
    with birdsearch.create(place, backbone=checkpoints.BUILT_IN) as index:
        index.add(pictures.small(START))
        start = time.perf_counter()
        with watched(spent):
            index.add(folder)
        return time.perf_counter() - start, spent


def main() -> None:
    """Measure and publish."""
    command_line("stages", __doc__).parse_args()
    folder = pictures.small(PHOTOS)
    seconds, spent = min((measured(folder) for _ in range(ROUNDS)), key=lambda each: each[0])
    had = THREADS * seconds
    spent["idle"] = had - sum(spent.values())
    rows = [
        [stage, 1000 * cpu / PHOTOS, f"{cpu / had:.0%}"]
        for stage, cpu in sorted(spent.items(), key=lambda each: each[1], reverse=True)
    ]
    body = "\n\n".join(
        (
            f"{PHOTOS:,} photos of 224 px, the fastest of {ROUNDS} runs: {PHOTOS / seconds:,.0f} photos/s. "
            f"{versions('openvino', 'pillow', 'simplejpeg')}.",
            table(["stage", "CPU, ms a photo", f"of {THREADS} cores"], rows),
        )
    )
    publish("Where the time of indexing goes", body, command="python -m benchmarks.stages", keep=True)


if __name__ == "__main__":
    main()
