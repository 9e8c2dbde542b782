"""Exposures of one moment."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, pairwise

import numpy as np

from birdsearch.duplicates.exposures import file_number, near_in_series
from birdsearch.duplicates.grouping import components
from birdsearch.records import Ids, Vectors, blocks
from birdsearch.storage.catalog.catalog import PhotoSummary

GAP = 3.0  # seconds of a pause that ends a burst
BURST_SCORE = 0.5  # below it two photos in a row show something else
_CUT_AT_ONCE = 1024  # sequences whose vectors are in memory together


def bursts(
    exposures: Sequence[PhotoSummary],
    gap: float = GAP,
    *,
    vectors: Callable[[Ids], Vectors] | None = None,
    min_score: float = BURST_SCORE,
    paths: Callable[[Sequence[int]], Mapping[int, str]] | None = None,
) -> list[tuple[int, ...]]:
    """Photos that one camera took within `gap` seconds of the one before, as groups of ids in order of time.

    Photos without a time of day or without a camera are in none. Where both offsets from UTC are known they count;
    sub-seconds count where both times have them. Without serial numbers the photos of two photographers are kept
    apart, and with `paths(ids) -> id: path` those of two folders whose file numbers are of two series. With
    `vectors(ids (b,)) -> (b, dim)` a sequence is also cut between two photos whose cosine is below `min_score`.
    """
    if gap < 0:
        raise ValueError(f"gap must not be negative, got {gap}")
    limit = round(gap * 1_000_000)
    sequences: list[list[_Moment]] = []
    for (_, body, _), moments in _by_camera(exposures).items():
        for sequence in _sequences(moments, limit):
            parts = [] if body or paths is None else _by_series(sequence, paths)
            apart = (each for part in parts for each in _sequences(part, limit))
            sequences += apart if len(parts) > 1 else [sequence]
    if vectors is not None:
        sequences = list(_cut(sequences, vectors, min_score))
    return sorted((tuple(moment.photo for moment in sequence) for sequence in sequences), key=min)


@dataclass(frozen=True, slots=True)
class _Moment:
    """When a photo was taken, in microseconds."""

    local: int
    utc: int | None
    exact: bool  # to parts of a second
    photo: int

    def after(self, other: "_Moment") -> int:
        """Microseconds since another photo, on the clock and in the precision that both have."""
        mine, theirs = self.local, other.local
        if self.utc is not None and other.utc is not None:
            mine, theirs = self.utc, other.utc
        if not (self.exact and other.exact):
            mine, theirs = mine - mine % 1_000_000, theirs - theirs % 1_000_000
        return mine - theirs


def _by_camera(exposures: Sequence[PhotoSummary]) -> dict[tuple[str, str | None, str | None], list[_Moment]]:
    """Model, body and, where the body is unknown, photographer -> the moments of their photos."""
    bodies: dict[str | None, set[str]] = defaultdict(set)  # camera -> serial numbers
    people: dict[str | None, set[str]] = defaultdict(set)  # camera -> photographers
    for one in exposures:
        bodies[one.camera].update(filter(None, (one.camera_serial,)))
        people[one.camera].update(filter(None, (one.photographer,)))

    def only(known: set[str]) -> str | None:
        return next(iter(known)) if len(known) == 1 else None

    cameras: dict[tuple[str, str | None, str | None], list[_Moment]] = defaultdict(list)
    for one in exposures:
        moment = one.taken_at and _moment(one.taken_at, one.taken_offset, one.photo_id)
        if moment and one.camera is not None:
            # A copy may have lost the serial number: where there is one body only, it is that one.
            body = one.camera_serial or only(bodies[one.camera])
            person = None if body else one.photographer or only(people[one.camera])
            cameras[one.camera, body, person].append(moment)
    return cameras


def _by_series(sequence: list[_Moment], paths: Callable[[Sequence[int]], Mapping[int, str]]) -> list[list[_Moment]]:
    """The photos of folders whose file numbers may be those of one camera together, others apart."""
    known = paths([moment.photo for moment in sequence])
    folders: dict[str, list[_Moment]] = defaultdict(list)
    for moment in sequence:
        folders[os.path.dirname(known[moment.photo])].append(moment)
    numbers = [{file_number(known[moment.photo]) for moment in moments} for moments in folders.values()]
    links = [
        (one, other)
        for one, other in combinations(range(len(numbers)), 2)
        if any(near_in_series(a, b) for a in numbers[one] for b in numbers[other])
    ]
    parts = list(folders.values())
    return [[moment for folder in group for moment in parts[folder]] for group in components(len(parts), links)]


def _moment(text: str, offset: str | None, photo: int) -> _Moment | None:
    try:
        time = datetime.fromisoformat(text)
        shift = time.utcoffset()
        if shift is None and offset:
            shift = datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").utcoffset()
    except ValueError:
        return None
    if len(text) < len("2024-05-17T06:07"):
        return None  # a date without a time
    local = (time.replace(tzinfo=None) - datetime.min) // timedelta(microseconds=1)
    utc = None if shift is None else local - shift // timedelta(microseconds=1)
    return _Moment(local, utc, "." in text, photo)


def _sequences(moments: list[_Moment], limit: int) -> Iterator[list[_Moment]]:
    """Photos of one camera in runs of two and more without a longer pause."""
    by_utc = sorted((moment for moment in moments if moment.utc is not None), key=lambda m: (m.utc, m.photo))
    by_local = sorted(moments, key=lambda moment: (moment.local, moment.photo))
    links = [(one, other) for one, other in pairwise(by_utc) if other.after(one) <= limit]
    if len(by_utc) < len(moments):
        # A clock of unknown offset is compared with its neighbours by what the clocks showed.
        mixed = ((one, other) for one, other in pairwise(by_local) if one.utc is None or other.utc is None)
        links += [(one, other) for one, other in mixed if other.after(one) <= limit]
    place = {id(moment): number for number, moment in enumerate(by_local)}
    for run in components(len(moments), [(place[id(one)], place[id(other)]) for one, other in links]):
        if len(run) > 1:
            chosen = [by_local[number] for number in run]
            known = all(moment.utc is not None for moment in chosen)
            yield sorted(chosen, key=lambda m: ((m.utc or 0) if known else m.local, m.photo))


def _cut(
    sequences: list[list[_Moment]], vectors: Callable[[Ids], Vectors], min_score: float
) -> Iterator[list[_Moment]]:
    """The sequences cut where one photo is not like the next."""
    for block in blocks(len(sequences), _CUT_AT_ONCE):
        units = vectors(np.array([moment.photo for each in sequences[block] for moment in each], dtype=np.int64))
        scores = np.einsum("nd,nd->n", units[:-1], units[1:])
        start = 0
        for each in sequences[block]:
            cuts = np.flatnonzero(scores[start : start + len(each) - 1] < min_score) + 1
            yield from (each[a:b] for a, b in pairwise([0, *cuts.tolist(), len(each)]) if b - a > 1)
            start += len(each)
