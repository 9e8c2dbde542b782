"""What must hold after a fault at any call of `write_tags` or its undo, and photos to try it on.

Each file has its bytes of before, or all that was to be written; the next run completes it and removes what was left;
undo gives back every byte, name, mode and time, and the catalog knows them.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birdsearch.errors import PlanError
from tests.support.cleanup_worker import Job
from tests.support.drawing import bird, write
from tests.support.photo_library import Facts, Library, files, indexed

SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:digiKam="http://www.digikam.org/ns/1.0/" digiKam:PickLabel="0"><digiKam:TagsList>
 <rdf:Seq><rdf:li>Places/Berlin</rdf:li></rdf:Seq></digiKam:TagsList></rdf:Description></rdf:RDF></x:xmpmeta>"""


@dataclass
class TagTrial:
    """Photos with and without a sidecar, and the faults that are tried on them."""

    place: Path
    into: str
    phase: str  # "tags" or "undo"
    lacking: tuple[str, ...] = ()
    breaches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        photos = self.place / "photos"
        for number in range(3):
            write(photos / f"Mallard/{number}.jpg", bird(number, 60, 40)).chmod(0o640)
        (photos / "Mallard/0.xmp").write_text(SIDECAR)
        (photos / "Mallard/0.xmp").chmod(0o604)
        self.library: Library = indexed(self.place)
        self.before, self.known = files(photos), self._known()
        self.library.tags(self.into)
        self.written = {path: one.content for path, one in files(photos).items()}
        self.library.undo()

    def _known(self) -> list[tuple[Any, ...]]:
        with self.library.open() as index:
            return [(photo.path, photo.sha256, photo.size, photo.mtime_ns) for photo in index.photos()]

    def try_at(self, worker: Any, at: int, error: str) -> bool:
        """One fault; False where there are not so many calls. What is wrong afterwards is added to `breaches`."""
        if self.phase == "undo":
            self.library.tags(self.into)
        place = {"photos": str(self.library.photos), "index": str(self.library.index), "plan": ""}
        answer = worker.run(Job(call=self.phase, **place, action=self.into, at=at, error=error, lacking=self.lacking))
        what = f"{self.phase} {self.into}, call {at} {answer.get('hit')} {error or 'killed'}"
        self.breaches += [f"{what}: {problem}" for problem in self._problems(answer)]
        return bool(answer.get("killed") or answer["hit"])

    def _problems(self, answer: dict[str, Any]) -> Iterator[str]:
        if answer.get("broken"):
            yield answer["said"]
        yield from self._neither_old_nor_new()
        if self.phase == "tags":
            self.library.tags(self.into)
            now = {path: one.content for path, one in self._files().items()}
            if now != self.written:
                yield f"not completed by the next run: {sorted(now.keys() ^ self.written.keys())}"
        try:
            while not (skipped := self.library.undo().skipped):
                pass
            yield f"undo skipped {skipped}"
        except PlanError:
            pass
        if self._files() != self.before:
            yield f"not as before: {sorted(self._files().keys() ^ self.before.keys())}"
        if self._known() != self.known:
            yield "the catalog does not know the files"

    def _files(self) -> dict[str, Facts]:
        return files(self.library.photos)

    def _neither_old_nor_new(self) -> Iterator[str]:
        now = self._files()
        for path in self.before.keys() | self.written.keys():
            allowed = {one.content for one in [self.before.get(path)] if one} | {self.written.get(path)}
            there = now.get(path)
            if (there is None and path in self.before) or (there is not None and there.content not in allowed):
                yield f"{path} is broken"
        for path in now.keys() - self.before.keys() - self.written.keys():
            if not os.path.basename(path).startswith("."):
                yield f"{path} is left"
