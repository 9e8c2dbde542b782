"""Index a folder of mutated files, then show and fingerprint each; print what became of every file, as JSON."""

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import birdsearch
from benchmarks.workers.searching import peak_mb
from birdsearch.errors import BirdsearchError
from birdsearch.photos import decode
from birdsearch.photos.scan import NotAPhotoError
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone

folder = Path(sys.argv[1])
outcomes: dict[str, str] = {}
unexpected: list[str] = []
with tempfile.TemporaryDirectory() as place, birdsearch.create(Path(place) / "index", backbone=FakeBackbone()) as index:
    write(Path(place) / "photos" / "first.jpg", bird(1))
    index.add(Path(place) / "photos")
    before = peak_mb()
    report = index.add(folder)
    indexing_mb = peak_mb() - before
    photos = {photo.path: photo for photo in index.photos()}
    for failure in report.failed:
        outcomes[failure.path] = "damaged" if failure.stage == "damaged" else "refused"
    for path, photo in photos.items():
        if photo.damaged is None:
            outcomes[path] = "whole"
    again = index.add(folder)
ignored = sum(report.ignored.values())
for name in sorted(os.listdir(folder)):
    path = str(folder / name)
    for look in (decode.thumbnail, decode.fingerprint):
        try:
            look(path)
        except (BirdsearchError, NotAPhotoError):
            continue
        except Exception as error:
            unexpected.append(f"{name}: {look.__name__}: {error!r}")
print(
    json.dumps(
        {
            "counted": report.added + report.changed + report.unchanged + report.moved + len(report.failed) + ignored,
            "counted_again": again.unchanged + len(again.failed) + sum(again.ignored.values()),
            "outcomes": {Path(path).name: outcome for path, outcome in outcomes.items()},
            "reasons": Counter(failure.reason for failure in report.failed).most_common(20),
            "unexpected": unexpected,
            "indexing_mb": indexing_mb,
            "beyond_mb": peak_mb() - before,
            "seconds": report.seconds,
        }
    )
)
