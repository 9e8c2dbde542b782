"""What a page that shows an index waits for: `python -m benchmarks.browsing`.

pages       200 photos of 100,000 in each order, from the beginning, the middle and the end
clicks      a search by a photo of the index against one by its vector, which is what the engine takes; and both from
            eight threads at once
thumbnails  made from files of 224 pixels and of 12 megapixels, and again from the cache, against Pillow's own decode,
            resize and encode of the same file

Times are those of the processor, the median: a busy machine changes them least. Vectors have 1,280 numbers and are
drawn around the centres of species, so that the engine that `auto` chooses has something to find.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import birdsearch
from benchmarks.common import SHARED_PHOTOS, command_line, publish, table, versions
from benchmarks.workers.cold_index import Given, take_in
from birdsearch import Index
from birdsearch.records import ORDERS, Vectors

DIM, RANK, SPECIES = 1280, 64, 1000
PHOTOS, FEW = 100_000, 1_500
PAGE = 200
ASKED = 60
CAMERA = (4000, 3000)  # pixels


def milliseconds(work: Callable[[Any], object], things: Iterable[Any]) -> float:
    """The median time of the processor that one of these takes."""
    taken = []
    for thing in things:
        start = time.process_time()
        work(thing)
        taken.append(time.process_time() - start)
    return 1000 * statistics.median(taken)


def drawn(count: int) -> Vectors:
    """Unit vectors (count, DIM) around the centres of species, in as many directions as photos of birds have."""
    rng, vectors = np.random.default_rng(0), np.empty((count, DIM), np.float32)
    centres, directions = (rng.standard_normal((size, RANK), dtype=np.float32) for size in (SPECIES, DIM))
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        spread = rng.standard_normal((size, RANK), dtype=np.float32)
        block = (centres[rng.integers(SPECIES, size=size)] + spread) @ directions.T
        vectors[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


@contextmanager
def imported(folder: Path, count: int) -> Iterator[Index]:
    """An index of so many photos that are not there."""
    with birdsearch.create(folder / f"index-{count}", backbone=Given(DIM)) as index:
        take_in(index, drawn(count))
        yield index


def pages(index: Index) -> str:
    """The table of the orders."""
    rows: list[list[object]] = []
    for order in ORDERS:
        ids = index.photo_ids(order=order)
        starts = None, int(ids[len(ids) // 2]), int(ids[-PAGE - 1])
        everything = partial(index.photo_ids, order=order)
        page = partial(_page, index, order)
        rows.append([order, milliseconds(everything, [None] * 5), *(milliseconds(page, [n] * 15) for n in starts)])
    return table(["order", "all ids, ms", "first page, ms", "middle", "last"], rows)


def _page(index: Index, order: str, after: int | None) -> object:
    return index.photos(limit=PAGE, order=order, after=after)


def clicks(index: Index) -> list[list[object]]:
    """Rows of the table of searches."""
    ids = np.random.default_rng(1).integers(1, len(index) + 1, ASKED).tolist()
    photos, vectors = index.photos(ids=ids), index.vectors(ids)
    fresh = np.random.default_rng(2).integers(1, len(index) + 1, ASKED).tolist()
    unseen = index.photos(ids=fresh)
    index.search(photos[0])

    def by_vector(number: int) -> Any:
        return index.search_vectors(vectors[number : number + 1])

    def by_photo(number: int) -> Any:
        return index.search(unseen[number])

    ways = {"vector": by_vector, "photo": by_photo}
    return [[len(index), what, milliseconds(ask, range(ASKED)), *together(ask)] for what, ask in ways.items()]


def together(ask: Callable[[int], Any]) -> tuple[float, float]:
    """From eight threads: milliseconds of the processor each, and how many times as many a second as from one."""
    start = time.perf_counter()
    alone = [ask(number) for number in range(ASKED)]
    middle, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(ASKED))) == alone
    taken = time.process_time() - cpu
    return 1000 * taken / ASKED, (middle - start) / (time.perf_counter() - middle)


def thumbnails(folder: Path) -> str:
    """The table of thumbnails."""
    small = sorted(SHARED_PHOTOS.glob("*/*.jpg"))[:ASKED]
    for number, path in enumerate(small[:6]):
        large = Image.open(path).convert("RGB").resize(CAMERA, Image.Resampling.BICUBIC)
        large.save(folder / f"{number}.jpg", quality=92)
    rows: list[list[object]] = []
    for what, files in (("224 px", small), ("12 MP", sorted(folder.glob("?.jpg")))):
        with birdsearch.create(folder / what, backbone=Given(DIM)) as index:
            index.add_vectors(files, drawn(len(files)))
            ids, paths = index.photo_ids().tolist(), [photo.path for photo in index.photos()]
            made, kept = milliseconds(index.thumbnail, ids), milliseconds(index.thumbnail, ids)
            pillows = milliseconds(by_pillow, paths)
            size = statistics.median(len(index.thumbnail(photo_id).bytes) for photo_id in ids)
        rows.append([what, len(ids), made, pillows, made / pillows, kept, size / 1024])
    head = ["files", "photos", "made, ms", "Pillow alone, ms", "of Pillow's", "from the cache, ms", "KiB"]
    return table(head, rows)


def by_pillow(path: str) -> bytes:
    """The quickest that Pillow makes the same of a file, which it reads and checks by no sha256."""
    buffer = BytesIO()
    with Image.open(path) as image:
        image.draft("RGB", (320, 320))
        image.thumbnail((320, 320))
        image.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("browsing", __doc__)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["BIRDSEARCH_CACHE"] = f"{place}/cache"
        folder, searches = Path(place), list[list[object]]()
        for count in sorted({FEW, options.photos}):
            with imported(folder, count) as index:
                listed = pages(index)
                searches += clicks(index)
        small = thumbnails(folder)
    head = ["photos", "asked by", "ms", "from 8 threads, ms", "8 threads, times as many a second"]
    publish(
        "Browsing",
        f"{versions('numpy', 'pillow', 'pyarrow')}. Milliseconds of the processor.\n\n"
        f"Pages of {PAGE} of {options.photos:,} photos:\n\n{listed}\n\n"
        f"Searches:\n\n{table(head, searches)}\n\nThumbnails of 320 px:\n\n{small}",
        command="python -m benchmarks.browsing",
        keep=options.photos == PHOTOS,
    )


if __name__ == "__main__":
    main()
