"""Files with random faults: `python -m benchmarks.fuzzing` tries thousands of them."""

import random
from contextlib import suppress
from pathlib import Path

from birdsearch import Index
from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import decode
from birdsearch.photos.scan import NotAPhotoError
from tests.support.mutations import mutated, seeds


def test_a_file_with_any_fault_ends_in_exactly_one_count(tmp_path: Path, index: Index) -> None:
    known, rng = seeds(), random.Random(5)
    every = [data for several in known.values() for data in several]
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(200):
        format = sorted(known)[number % len(known)]
        (folder / f"{number}.{format.lower()}").write_bytes(mutated(rng.choice(known[format]), every, rng))
    report = index.add(folder)
    assert report.added + len(report.failed) + sum(report.ignored.values()) == 200
    assert report.added > 40
    assert len({failure.path for failure in report.failed}) == len(report.failed) > 60
    again = index.add(folder)
    assert (again.unchanged, again.failed) == (report.added, report.failed)
    for path in folder.iterdir():
        with suppress(PhotoUnreadableError, NotAPhotoError):
            decode.fingerprint(path)


def test_whole_files_are_whole(tmp_path: Path, index: Index) -> None:
    for format, several in seeds().items():
        for number, data in enumerate(several):
            (tmp_path / f"{number}.{format.lower()}").write_bytes(data)
    report = index.add(tmp_path)
    assert report.failed == ()
