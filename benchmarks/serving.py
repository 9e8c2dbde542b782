"""What a person at the browser and a program wait for: `python -m benchmarks.serving [PART ...]`.

start       `birdsearch serve` of 100,000 photos until it answers with its first page, and its memory
grid        in Chromium, which draws without a GPU: until the first photos are in sight, until those of any other place
            are, frames a second while one scrolls, cells in the page, and the memory of the tab before and after
searches    by a photo (a click on "find similar") over HTTP against `Index.search` in Python: from one connection, from
            20 that each ask once a second, and from 20 that never pause
thumbnails  over HTTP against `Index.thumbnail` in Python: kept ones, and such as have to be made

Vectors, thumbnails and files are those of `benchmarks.browsing`, which measures the library alone: there stand a search
against what the engine takes, and a thumbnail against what Pillow takes. Requests are sent by wrk (Debian's package).
The processor's time is that of the server, or of the tab, and tells most on a busy machine.
"""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

import birdsearch
from benchmarks.browsing import CAMERA, DIM, PHOTOS, by_pillow, drawn, imported, milliseconds
from benchmarks.common import (
    SHARED_PHOTOS,
    birdsearch_command,
    command_line,
    note,
    publish,
    stat_of,
    table,
    takes_parts,
    versions,
)
from benchmarks.workers.cold_index import Given
from birdsearch import Index
from birdsearch.storage.pictures import KeptPictures

CHROMIUM = "/usr/bin/chromium"
WITHOUT_GPU = [
    "--no-sandbox",
    "--disable-gpu",
]  # Chromium draws with the processor; SwiftShader's GL takes ten times as long
WINDOW = {"width": 1280, "height": 800}
LOOKS = 300  # different small pictures, which the photos share
ASKED = 200  # photos that are asked about by turns
TOGETHER = 20  # connections
SECONDS = 8  # that each row of requests takes
JUMPS, SCREENS = 40, 30  # places that are looked at in haste, and for the memory of the tab
STEPS = {"read": 10, "skimmed": 60, "flung": 600}  # pixels a frame
NOT_AVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Server:
    """A `birdsearch serve` that runs, and the cookie of somebody who came in."""

    address: str
    cookie: str
    process: "subprocess.Popen[str]"
    linked: float  # seconds until it had printed its link
    answered: float  # seconds until its first page was there
    busy: float  # seconds of the processor until then

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        request = urllib.request.Request(self.address + path, headers={"Cookie": self.cookie})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())


class _Stays(urllib.request.HTTPRedirectHandler):
    """Shows where an answer leads instead of going there."""

    def redirect_request(self, *_: Any) -> None:
        """None: nowhere."""


@contextmanager
def served(index: Path) -> Iterator[Server]:
    """A server of an index, in a process of its own."""
    command = [str(part) for part in birdsearch_command("serve", "--index", index, "--no-browser")]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while (found := re.search(r"(http://[^/]+)/open\?once=\S+", line := process.stdout.readline())) is None:
            assert line, "birdsearch serve ended without a link"
        linked = time.perf_counter() - started
        try:
            urllib.request.build_opener(_Stays).open(found[0], timeout=60)
        except HTTPError as answer:  # 303: to the first page
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        server = Server(found[1], cookie, process, linked, 0.0, 0.0)
        server.get("/")
        yield replace(server, answered=time.perf_counter() - started, busy=used(process.pid))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def used(process_id: int) -> float:
    """Seconds of the processor that a process has had."""
    return stat_of(f"/proc/{process_id}/stat")[1]


def memory(process_id: int) -> float:
    """MiB of memory that belong to a process alone."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


# --- the photos -------------------------------------------------------------------------------------------------------


def small_pictures() -> list[bytes]:
    """Thumbnails of different photos of birds."""
    return [by_pillow(str(path)) for path in sorted(SHARED_PHOTOS.glob("*/*.jpg"))[:LOOKS]]


def kept(index: Index) -> None:
    """A thumbnail for every photo in the user's cache, as if somebody had looked at all of them."""
    looks, pictures = small_pictures(), KeptPictures()
    for photo in index.photos():
        pictures.keep(photo.sha256 or "", 320, looks[(photo.id or 0) % len(looks)])
    pictures.close()


def on_disk(folder: Path) -> Index:
    """An index of photos that are there: small ones, and such as cameras make."""
    files = sorted(SHARED_PHOTOS.glob("*/*.jpg"))[:LOOKS]
    for number, path in enumerate(files[:20]):
        large = Image.open(path).convert("RGB").resize(CAMERA, Image.Resampling.BICUBIC)
        large.save(folder / f"{number:02}.jpg", quality=92)
    index = birdsearch.create(folder / "on-disk", backbone=Given(DIM))
    every = [*files, *sorted(folder.glob("??.jpg"))]
    index.add_vectors(every, drawn(len(every)))
    return index


# --- requests ---------------------------------------------------------------------------------------------------------

_SCRIPT = """
local paths = {{{paths}}}
local at = math.random(#paths)
request = function() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
{pause}
done = function(all, latency)
  local e = all.errors
  io.write(string.format('\\n{{"requests": %d, "seconds": %f, "median": %f, "p99": %f, "errors": %d}}\\n', all.requests,
    all.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""
# Between half a second and one and a half.
_PAUSE = "delay = function() return math.random(500, 1500) end"


@dataclass(frozen=True, slots=True)
class Load:
    """What some connections got."""

    a_second: float
    median: float  # milliseconds
    p99: float
    errors: int
    processor: float  # milliseconds of the server's, each request


def load(server: Server, paths: Sequence[str], connections: int, *, pause: bool = False) -> Load | None:
    """Ask for addresses by turns from so many connections; None where there is no wrk."""
    if shutil.which("wrk") is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        quoted = ", ".join(json.dumps(path) for path in paths)
        script.write(_SCRIPT.format(paths=quoted, pause=_PAUSE if pause else ""))
        script.flush()
        before = used(server.process.pid)
        options = [f"-c{connections}", "-t1", f"-d{SECONDS}s", "--timeout", "10s", "-H", f"Cookie: {server.cookie}"]
        said = subprocess.run(
            ["wrk", *options, "-s", script.name, server.address], check=True, capture_output=True, text=True
        )
        after = used(server.process.pid)
    got = json.loads(said.stdout.strip().splitlines()[-1])
    each = 1000 * (after - before) / max(1, got["requests"])
    return Load(got["requests"] / got["seconds"], got["median"], got["p99"], got["errors"], each)


def searches(server: Server, index: Index) -> str:
    """The table of searches."""
    ids = np.random.default_rng(3).integers(1, len(index) + 1, ASKED).tolist()
    paths = [f"/api/v1/photos/{photo_id}/similar" for photo_id in ids]
    for path in paths[:20]:
        server.get(path)
    photos = index.photos(ids=ids)
    index.search(photos[0])
    with threadpool_limits(1):  # as in the server
        in_python = milliseconds(index.search, photos)
    alone = load(server, paths, 1)
    rows: list[list[object]] = [["Python, one thread", None, None, None, None, in_python, 1.0, None]]
    for who, connections, pause in (
        ("one connection", 1, False),
        (f"{TOGETHER}, each once a second", TOGETHER, True),
        (f"{TOGETHER} without a pause", TOGETHER, False),
    ):
        got = alone if connections == 1 else load(server, paths, connections, pause=pause)
        if got is None or alone is None:
            rows.append([who, NOT_AVAILABLE])
            continue
        against = got.processor / in_python
        times = got.p99 / alone.p99
        rows.append([who, got.a_second, got.errors, got.median, got.p99, got.processor, against, times])
    head = ["asked by", "a second", "errors", "median, ms", "p99, ms", "processor, ms", "of Python's", "p99 of one's"]
    return table(head, rows)


def thumbnails(server: Server, index: Index, files: Server, photos: Index) -> str:
    """The table of thumbnails: of the many that are kept, and of the few that have files."""
    every = photos.photo_ids().tolist()
    rows: list[list[object]] = []
    for what, ids in (("224 px", every[:LOOKS]), ("12 MP", every[LOOKS:])):
        began, before = time.perf_counter(), used(files.process.pid)
        for photo_id in ids[::2]:
            files.get(f"/api/v1/photos/{photo_id}/thumbnail")
        a_second = len(ids[::2]) / (time.perf_counter() - began)
        each = 1000 * (used(files.process.pid) - before) / len(ids[::2])
        in_python = milliseconds(photos.thumbnail, ids[1::2])
        rows.append([f"made of {what}, one connection", a_second, each, in_python, each / in_python])
    ids = np.random.default_rng(4).integers(1, len(index) + 1, ASKED).tolist()
    in_python = milliseconds(index.thumbnail, ids)
    for connections in (1, 6):  # a browser has six
        got = load(server, [f"/api/v1/photos/{photo_id}/thumbnail" for photo_id in ids], connections)
        what = f"kept, {connections} connection{'s' * (connections > 1)}"
        if got is None:
            rows.append([what, NOT_AVAILABLE])
            continue
        assert not got.errors, f"{got.errors} thumbnails were not answered"
        rows.append([what, got.a_second, got.processor, in_python, got.processor / in_python])
    return table(["thumbnails", "a second", "processor, ms", "in Python, ms", "of Python's"], rows)


# --- the browser ------------------------------------------------------------------------------------------------------

# Calls back when every picture that is in sight is drawn, with the milliseconds since `from` and the cells there are.
_IN_SIGHT = """
const drawn = (from, top) => new Promise((resolve) => {
  const look = () => {
    const cells = [...document.querySelectorAll(".grid > li")].filter((cell) => {
      const { top, bottom } = cell.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    const images = cells.map((cell) => cell.querySelector("img"));
    const there = images.every((image) => image?.complete && image.naturalWidth);
    if (cells.length > 3 && there && (top === undefined || scrollY === top)) resolve(performance.now() - from);
    else requestAnimationFrame(look);
  };
  look();
});
"""
_FIRST = f"async () => {{ {_IN_SIGHT} return drawn(0); }}"
_JUMP = f"""async (share) => {{ {_IN_SIGHT}
  const top = Math.floor(share * (document.documentElement.scrollHeight - innerHeight));
  const from = performance.now();
  scrollTo({{ top, behavior: "instant" }});
  return {{ took: await drawn(from, scrollY), cells: document.querySelector(".grid").childElementCount }};
}}"""
_SCROLL = """([step, seconds]) => new Promise((resolve) => {
  const grid = document.querySelector(".grid"), times = [];
  let cells = 0;
  const frame = (now) => {
    times.push(now);
    cells = Math.max(cells, grid.childElementCount);
    if (now - times[0] > 1000 * seconds) return resolve({ times, cells });
    scrollBy({ top: step, behavior: "instant" });
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


class Tab:
    """A tab of Chromium on the photos of a server."""

    def __init__(self, server: Server, browser: Any) -> None:
        name, _, value = server.cookie.partition("=")
        self._context = browser.new_context(viewport=WINDOW)
        self._context.add_cookies([{"name": name, "value": value, "url": server.address}])
        self.page = self._context.new_page()
        self._devtools = self._context.new_cdp_session(self.page)
        self._browser = browser.new_browser_cdp_session()
        self._devtools.send("Performance.enable")
        self.page.goto(server.address + "/photos", wait_until="commit")
        self.first = float(self.page.evaluate(_FIRST))  # milliseconds from the start of the navigation
        renderers = [process_id for process_id, kind in self.processes().items() if kind == "renderer"]
        self.process = max(renderers, key=memory)  # others wait for tabs to come

    def processes(self) -> dict[int, str]:
        """The processes of the browser, and what each does."""
        listed = self._browser.send("SystemInfo.getProcessInfo")["processInfo"]
        return {int(one["id"]): str(one["type"]) for one in listed}

    def weighed(self) -> list[object]:
        """MiB of scripts, elements in the page, MiB of the process, after what nobody needs was given back."""
        self._devtools.send("HeapProfiler.collectGarbage")
        told = {one["name"]: one["value"] for one in self._devtools.send("Performance.getMetrics")["metrics"]}
        return [told["JSHeapUsedSize"] / 2**20, int(told["Nodes"]), memory(self.process)]

    def press(self) -> None:
        """Tell it that memory is short: it then drops the pictures that it keeps in case they are wanted again."""
        self._devtools.send("Memory.simulatePressureNotification", {"level": "critical"})
        self.page.wait_for_timeout(1500)

    def close(self) -> None:
        """Close it."""
        self._context.close()


def grid(server: Server) -> str:
    """The tables of the grid."""
    if not Path(CHROMIUM).exists():
        return NOT_AVAILABLE
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WITHOUT_GPU)
        firsts = []
        for _ in range(5):
            tab = Tab(server, browser)
            firsts.append(tab.first)
            tab.close()
        tab = Tab(server, browser)
        shown = [f"Chromium {browser.version}, drawn by the processor ({WITHOUT_GPU[1]}), a window of 1280 x 800."]
        shown.append(_waits(tab, firsts))
        shown.append(_frames(tab))
        shown.append(_weights(tab))
        browser.close()
    return "\n\n".join(shown)


def _waits(tab: Tab, firsts: list[float]) -> str:
    jumps = [tab.page.evaluate(_JUMP, share) for share in np.random.default_rng(5).random(JUMPS).tolist()]
    took, cells = [jump["took"] for jump in jumps], max(jump["cells"] for jump in jumps)
    rows: list[list[object]] = [
        ["the first photos, from nothing", statistics.median(firsts), max(firsts), None],
        ["those of another place, after a jump", statistics.median(took), max(took), cells],
    ]
    return table(["until there are in sight", "median, ms", "worst, ms", "cells at most"], rows)


def _frames(tab: Tab) -> str:
    rows: list[list[object]] = []
    for how, step in STEPS.items():
        tab.page.evaluate("() => scrollTo({ top: 0, behavior: 'instant' })")
        tab.page.wait_for_timeout(500)
        before = used(tab.process)
        seen = tab.page.evaluate(_SCROLL, [step, 4])
        processor = used(tab.process) - before
        times = np.diff(seen["times"])
        late = float(np.percentile(times, 95))
        rows.append([how, step, 1000 / times.mean(), late, 1000 * processor / len(times), seen["cells"]])
    head = ["scrolled", "pixels a frame", "frames a second", "95 % come within, ms", "the tab's processor, ms a frame"]
    return table([*head, "cells at most"], rows)


def _weights(tab: Tab) -> str:
    for share in np.linspace(0, 1, JUMPS).tolist():  # until the facts are kept of as many photos as it keeps
        tab.page.evaluate(_JUMP, share)
    rows: list[list[object]] = [["before", *tab.weighed()]]
    for part in range(2):
        for screen in range(SCREENS // 2):
            tab.page.evaluate(_JUMP, (part * SCREENS / 2 + screen + 0.5) / SCREENS)
            tab.page.evaluate(_SCROLL, [STEPS["flung"], 0.2])
        rows.append([f"after {(part + 1) * SCREENS // 2} places", *tab.weighed()])
    tab.press()
    rows.append(["and when memory is short", *tab.weighed()])
    return table(["the tab", "scripts, MiB", "elements", "its own memory, MiB"], rows)


# --- all of it --------------------------------------------------------------------------------------------------------

PARTS = ("start", "grid", "searches", "thumbnails")


def start(server: Server, index: Index) -> str:
    """The table of the start."""
    rows = [[len(index), server.linked, server.answered, server.busy, memory(server.process.pid)]]
    head = ["photos", "link printed, s", "first page answered, s", "processor until then, s"]
    return table([*head, "the server's own memory, MiB"], rows)


def measured(folder: Path, count: int, parts: Sequence[str]) -> Iterator[str]:
    """The tables of these parts, each as soon as it is there."""
    with imported(folder, count) as index:
        kept(index)
        note(f"an index of {count:,} photos is there")
        with served(index.path) as server:
            if "start" in parts:
                yield f"Start:\n\n{start(server, index)}"
            if "grid" in parts:
                yield f"The page of photos:\n\n{grid(server)}"
            if "searches" in parts:
                yield f"Searches by a photo, {index.info()['engine']}:\n\n{searches(server, index)}"
            if "thumbnails" in parts:
                with on_disk(folder) as photos, served(photos.path) as files:
                    yield f"Thumbnails of 320 px:\n\n{thumbnails(server, index, files, photos)}"


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("serving", __doc__)
    takes_parts(parser, PARTS)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"BIRDSEARCH_CACHE": f"{place}/cache", "BIRDSEARCH_DATA": f"{place}/data"}
        for part in measured(Path(place), options.photos, options.parts):
            note(part)
            found.append(part)
    publish(
        "Serving",
        "\n\n".join([f"{versions('fastapi', 'starlette', 'uvicorn', 'numpy', 'pillow')}.", *found]),
        command="python -m benchmarks.serving",
        keep=options.photos == PHOTOS and tuple(options.parts) == PARTS,
    )


if __name__ == "__main__":
    main()
