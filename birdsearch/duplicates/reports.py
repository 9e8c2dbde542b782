"""Reports of duplicates under an id: in memory, and in the user's cache for the next day and for other processes.

A file is JSON, compressed: a line about the report, then the report. Its name says of which index it is, and the id is
made of what it holds, so that nothing else can take its place: what a report says decides which photos go.
"""

import gzip
import hashlib
import json
import logging
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdsearch.cache import kept_file
from birdsearch.duplicates.decisions import decisions
from birdsearch.duplicates.members import members
from birdsearch.errors import ReportUnknownError
from birdsearch.files import atomic_write
from birdsearch.records import RELATIONS, DuplicateGroup, DuplicatePage, DuplicateReport, KeptReport, Pair, shown
from birdsearch.storage.store import Store

KEPT = 20  # reports of an index whose files stay, the newest ones
IN_MEMORY = 4  # reports
_DIGITS = 16  # of an id

logger = logging.getLogger("birdsearch")


class Reports:
    """The last reports of duplicates of an index. Any number of threads; without room or permission in memory only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._memory: dict[str, tuple[KeptReport, DuplicateReport]] = {}  # the newest last

    def keep(self, report: DuplicateReport, generation: int) -> DuplicateReport:
        """The report with an id, under which it is found from now on; `generation` of the index when it was made."""
        body = _as_text(report)
        report_id = self._id_of(body, generation)
        made_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = KeptReport(report_id, made_at, generation, report.counts)
        report = replace(report, id=report_id)
        self._remember(about, report)
        try:
            self._write(about, report.seconds, body)
        except OSError as error:
            logger.debug("the report of duplicates is kept in memory only: %s", error)
        return report

    def get(self, report_id: str) -> DuplicateReport:
        """A report by its id. Raises ReportUnknownError where it is not kept, or all its photos have left the index."""
        with self._lock:
            known = self._memory.get(report_id)
        report = self._read(report_id) if known is None else known[1]
        if report is None:
            raise ReportUnknownError(
                f"there is no report of duplicates {shown(report_id)!r} of this index, which keeps the last {KEPT}: "
                "look for duplicates again."
            )
        ids = [photo_id for group in report.groups for photo_id in (group.keep, *group.others)]
        if ids and not self._store.catalog.locations(ids):
            raise ReportUnknownError(
                f"all photos of the report of duplicates {shown(report_id)!r} have left the index: "
                "look for duplicates again."
            )
        return report

    def listed(self) -> list[KeptReport]:
        """What is kept, the newest first."""
        with self._lock:
            known = {about.id: about for about, _ in self._memory.values()}
        for file in self._files():
            if (about := _about(file)) is not None:
                known.setdefault(about.id, about)
        return sorted(known.values(), key=lambda about: about.made_at, reverse=True)

    def page(self, report_id: str, relation: str | None, after: int | None, limit: int) -> DuplicatePage:
        """Groups of a report, in its order, with what becomes of their photos."""
        if relation is not None and relation not in RELATIONS:
            raise ValueError(f"no relation {relation!r}: there are {', '.join(RELATIONS)}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        report = self.get(report_id)
        numbers = [n for n, group in enumerate(report.groups, 1) if relation in (None, group.relation)]
        left = [n for n in numbers if n > (after or 0)]
        wanted = left[:limit]
        ids = {photo_id for n in wanted for photo_id in _ids(report.groups[n - 1])}
        # What another group keeps or removes is not removed here: those that share a photo count too.
        others = {photo_id for group in report.groups if ids & _ids(group) for photo_id in _ids(group)}
        catalog = self._store.catalog
        photos, apart = catalog.known_photos(sorted(ids | others)), catalog.not_duplicates()
        groups = members(report, photos, decisions=decisions(self._store), apart=apart)
        shown_here = set(wanted)
        return DuplicatePage(
            tuple(tuple(group) for group in groups if group[0].group in shown_here),
            wanted[-1] if len(wanted) < len(left) else None,
            len(numbers),
        )

    def _remember(self, about: KeptReport, report: DuplicateReport) -> None:
        with self._lock:
            self._memory.pop(about.id, None)
            self._memory[about.id] = about, report
            while len(self._memory) > IN_MEMORY:
                del self._memory[next(iter(self._memory))]

    def _id_of(self, body: str, generation: int) -> str:
        facts = f"{self._store.identity.id}\n{generation}\n{body}"
        return hashlib.sha256(facts.encode()).hexdigest()[:_DIGITS]

    def _name(self, report_id: str) -> str:
        # The id of an index may be a stranger's, and is no name of a file.
        index = hashlib.sha256(self._store.identity.id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        return f"duplicates-{index}-{report_id}.json.gz"

    def _files(self) -> Iterator[Path]:
        with suppress(OSError):
            pattern = kept_file(self._name("*"))
            if pattern is not None:
                yield from pattern.parent.glob(pattern.name)

    def _write(self, about: KeptReport, seconds: float, body: str) -> None:
        path = kept_file(self._name(about.id))
        if path is None:
            return
        text = f"{json.dumps([*astuple(about), seconds])}\n{body}\n"
        with atomic_write(path) as file:
            file.write(gzip.compress(text.encode(), compresslevel=3))
        dated = sorted(self._files(), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for old in dated[KEPT:]:
            old.unlink(missing_ok=True)

    def _read(self, report_id: str) -> DuplicateReport | None:
        """A report from its file; None where there is none, or none that holds what its id was made of."""
        path = next((file for file in self._files() if file.name == self._name(report_id)), None)
        about = None if path is None else _about(path)
        if path is None or about is None:
            return None
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                seconds = float(json.loads(file.readline())[-1])
                body = file.readline().rstrip("\n")
            if self._id_of(body, about.generation) != report_id:
                return None
            report = replace(_from_text(body), id=report_id, seconds=seconds)
        except (OSError, EOFError, zlib.error, ValueError, TypeError, LookupError):
            return None
        self._remember(about, report)
        return report


def _ids(group: DuplicateGroup) -> set[int]:
    return {group.keep, *group.others}


def _about(path: Path) -> KeptReport | None:
    """The first line of a file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            report_id, made_at, generation, counts, _ = json.loads(file.readline())
        return KeptReport(str(report_id), str(made_at), int(generation), dict(counts))
    except (OSError, EOFError, zlib.error, ValueError, TypeError):
        return None


def _as_text(report: DuplicateReport) -> str:
    """What a report says, the same for the same findings."""
    pairs = [(pair.a, pair.b, pair.relation, pair.score, pair.evidence) for pair in report.pairs]
    groups = [astuple(group) for group in report.groups]
    return json.dumps([pairs, groups, report.counts, report.not_compared], separators=(",", ":"))


def _from_text(text: str) -> DuplicateReport:
    pairs, groups, counts, not_compared = json.loads(text)
    return DuplicateReport(
        tuple(
            Pair(a, b, relation, score, {name: _tuple(value) for name, value in evidence.items()})
            for a, b, relation, score, evidence in pairs
        ),
        tuple(DuplicateGroup(*map(_tuple, group)) for group in groups),
        counts,
        not_compared=tuple(not_compared),
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
