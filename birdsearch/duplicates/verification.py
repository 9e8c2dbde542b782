"""Whether proposed pairs are the same picture: their pixels decide, and say in which way."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from threadpoolctl import threadpool_limits

from birdsearch.duplicates.alignment import LONGEST, Alignment, LocalFeatures, extract_features, register
from birdsearch.duplicates.compared import UNKNOWN, Compared, Finding, content_of
from birdsearch.duplicates.exposures import Shot, two_exposures
from birdsearch.duplicates.hashes import orientations
from birdsearch.duplicates.implied import is_plain
from birdsearch.errors import PhotoError
from birdsearch.files import is_url
from birdsearch.photos import decode
from birdsearch.photos.contents import Contents
from birdsearch.photos.overlap import overlapped
from birdsearch.photos.provenance import read_provenance
from birdsearch.records import PIXELS, VARIANT, Ids, Pair, Photo, Progress, Vectors, blocks

FEATURE_CACHE_SIZE = 6_000  # photos whose features are kept in memory, of about 60 kB each
PAIRS_AT_ONCE = 256  # whose photos are in memory together
REPORT_EVERY = 64  # pairs between two calls of `progress`
SCORED_AT_ONCE = 4096  # pairs whose vectors are in memory together
ASKED_AT_ONCE = 4096  # pairs that are looked up together
_ALIGNED = "alignment"

Photos = Callable[[Sequence[int]], dict[int, Photo]]  # ids -> photos


@dataclass(frozen=True, slots=True)
class _Features:
    """What is compared of one file."""

    local: LocalFeatures
    sha256: str  # of the bytes that they are of


class PairVerifier:
    """Compares photos by their pixels, those that were not compared before; keeps the local features of the last ones.

    Kept in `compared` is what the content of two files decides: how their pictures lie on each other, or that they do
    not. What names and times add (`two_exposures`) is decided each time. A pair is judged anew where a file changed,
    is damaged or could not be read; and in the other order, where the two lie on each other.
    """

    def __init__(self, photos: Photos, compared: Compared, progress: Progress | None = None) -> None:
        self._photos, self._compared, self._progress = photos, compared, progress
        self._contents: dict[int, str] = {}  # photo -> what `content_of` says of it
        self._features_of = lru_cache(FEATURE_CACHE_SIZE)(_features_of)  # by path
        self._fingerprints: dict[str, decode.Fingerprint | None] = {}  # by path
        self._said = cache(read_provenance)  # by path
        self.hashes: dict[int, int] = {}  # photo -> its pHash, where the caller knows them
        self.unreadable: set[int] = set()
        self.candidates = 0  # pairs that were compared

    def same_pixels(self, photos: Sequence[Photo]) -> list[list[int]]:
        """Ids of those of the photos that show the same and hold the same, in groups of two and more."""
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            fingerprints = pool.map(self._fingerprint_of, photos)
        groups: dict[decode.Fingerprint, list[int]] = defaultdict(list)
        for photo, fingerprint in zip(photos, fingerprints, strict=True):
            if fingerprint is not None and photo.id is not None:
                groups[fingerprint].append(photo.id)
        return [ids for ids in groups.values() if len(ids) > 1]

    def verify(self, candidates: Ids, before: int = 0, total: int | None = None) -> list[Pair]:
        """Those of the pairs (m, 2) whose pixels agree; `before` of `total` were compared by earlier calls."""
        self.candidates += len(candidates)
        verified: list[Pair] = []
        for done, (a, b, alignment) in enumerate(self._alignments(candidates), 1):
            # Most pairs end here, and a question to the catalog costs as much as a comparison.
            if alignment is not None or (a in self.hashes and self.hashes[a] == self.hashes.get(b)):
                verified += self._related(a, b, alignment)
            if self._progress is not None and (done % REPORT_EVERY == 0 or done == len(candidates)):
                self._progress("compare", before + done, total or len(candidates), "")
        return verified

    def _related(self, a: int, b: int, alignment: Alignment | None) -> list[Pair]:
        """The pair of two photos whose pixels were compared; none where they are different pictures, or one file.

        Nor where they are rendered differently (`Photo.rendered`).
        """
        known = self._photos((a, b))
        one, other = known[a], known[b]
        if one.rendered != other.rendered or file_identity(one.path) == file_identity(other.path):
            return []
        plain = alignment is None or is_plain(alignment.matrix)
        if plain and (one.width, one.height) == (other.width, other.height):
            mine, its = self._fingerprint_of(one), self._fingerprint_of(other)
            if mine is not None and its is not None and mine.pixels == its.pixels:
                if mine.contents == its.contents:
                    return [Pair(a, b, PIXELS.name, None)]
                return [Pair(a, b, VARIANT.name, None, _same_pixels(mine.contents, its.contents))]
        if alignment is None:
            return []
        if self._two_exposures(one, other, alignment):
            return []
        return [Pair(a, b, VARIANT.name, None, asdict(alignment))]

    def _two_exposures(self, one: Photo, other: Photo, alignment: Alignment) -> bool:
        return two_exposures(Shot(one, self._said(one.path)), Shot(other, self._said(other.path)), alignment)

    def without_exposures(self, implied: Iterable[Pair]) -> list[Pair]:
        """Those of the pairs that a third photo implies that are one exposure: it may be a copy of either frame."""
        kept = []
        for pair in implied:
            known, matrix = self._photos((pair.a, pair.b)), pair.evidence["matrix"]
            if not self._two_exposures(known[pair.a], known[pair.b], Alignment(1.0, 1.0, 0, "", matrix)):
                kept.append(pair)
        return kept

    def _alignments(self, candidates: Ids) -> Iterator[tuple[int, int, Alignment | None]]:
        """How the pictures of each pair (m, 2) lie on each other, those that were compared before first."""
        left = np.ones(len(candidates), dtype=bool)
        for each in blocks(len(candidates), ASKED_AT_ONCE):
            known = self._compared_before(candidates[each].tolist())
            left[each] = [alignment is UNKNOWN for *_, alignment in known]
            yield from (pair for pair in known if pair[2] is not UNKNOWN)
        yield from self._compare(candidates[left])

    def _compared_before(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, Alignment | None]]:
        """What is known of pairs; UNKNOWN stands where that is nothing."""
        missing = sorted({photo_id for pair in pairs for photo_id in pair if photo_id not in self._contents})
        self._contents.update((photo_id, content_of(photo)) for photo_id, photo in self._photos(missing).items())
        contents = [(self._contents[a], self._contents[b]) for a, b in pairs]
        sure = [pair for pair in contents if all(pair)]
        found = dict(zip(sure, self._compared.ask(_ALIGNED, [_unordered(pair) for pair in sure]), strict=True))
        return [
            (a, b, _alignment(found.get(pair, UNKNOWN), pair)) for (a, b), pair in zip(pairs, contents, strict=True)
        ]

    def _compare(self, candidates: Ids) -> Iterator[tuple[int, int, Alignment | None]]:
        """How the pictures of each pair (m, 2) lie on each other, by their pixels.

        Pairs that share photos come together.
        """
        ordered = by_shared_photos(candidates)
        # A pair is so little work that threads inside it cost more than they bring: pairs run side by side instead.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for block in (ordered[each] for each in blocks(len(ordered), PAIRS_AT_ONCE)):
                photos = self._photos(np.unique(block).tolist())
                paths = [photo.path for photo in photos.values()]
                found = overlapped(paths, self._features_of, ahead=PAIRS_AT_ONCE)
                features = dict(zip(photos, found, strict=True))
                self.unreadable.update(photo_id for photo_id, each in features.items() if each is None)
                a, b = block.T.tolist()
                aligned = pool.map(_align, map(features.get, a), map(features.get, b))
                pairs = list(zip(a, b, aligned, strict=True))
                sure = {i for i, each in features.items() if each is not None and each.sha256 == self._contents[i]}
                self._compared.keep(
                    _ALIGNED,
                    (
                        _finding((self._contents[one], self._contents[other]), alignment)
                        for one, other, alignment in pairs
                        if one in sure and other in sure
                    ),
                )
                yield from pairs

    def _fingerprint_of(self, photo: Photo) -> decode.Fingerprint | None:
        """What decides whether two files show and hold the same; None for one that cannot be read."""
        if photo.path not in self._fingerprints:
            found = self._compared.known("fingerprint", [photo], lambda: _fingerprint(photo.path))
            self._fingerprints[photo.path] = None if found is None else decode.Fingerprint.from_json(found)
        return self._fingerprints[photo.path]


def compared_before(compared: Compared, contents: Sequence[tuple[str, str]]) -> list[bool | None]:
    """Whether pairs of contents (sha256) lie on each other, by what was kept of them; None where that is nothing."""
    found = compared.ask(_ALIGNED, [_unordered(pair) for pair in contents])
    return [None if one is UNKNOWN else one is not None for one in found]


def _finding(contents: tuple[str, str], alignment: Alignment | None) -> Finding:
    """What is kept of a pair; where the two lie on each other, with the content that was laid on the other one."""
    value = None if alignment is None else {"first": contents[0], **asdict(alignment)}
    return Finding(_unordered(contents), value)


def _alignment(found: Any, contents: tuple[str, str]) -> Alignment | None:
    """What was kept of a pair; UNKNOWN where it is of the pair in the other order."""
    if found is None:
        return None
    if found is UNKNOWN or found["first"] != contents[0]:
        return cast(None, UNKNOWN)
    return Alignment(**{name: found[name] for name in Alignment.__slots__} | {"matrix": tuple(found["matrix"])})


def _unordered(contents: tuple[str, str]) -> tuple[str, ...]:
    return tuple(sorted(contents))


def _align(one: _Features | None, other: _Features | None) -> Alignment | None:
    return None if one is None or other is None else register(one.local, other.local)


def _features_of(path: str) -> _Features | None:
    try:
        with decode.opened_file(path) as (_, file):
            return _Features(extract_features(decode.picture(file.data, LONGEST)), file.photo.sha256 or "")
    except PhotoError:
        return None


def _fingerprint(path: str) -> dict[str, Any] | None:
    try:
        return decode.fingerprint(path).as_json()
    except PhotoError:
        return None


def _same_pixels(a: Contents, b: Contents) -> dict[str, Any]:
    """The evidence for two files that show the same, of which at least one holds what the other lacks."""
    whole = Alignment(1.0, 1.0, 0, "as it is", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    return {**asdict(whole), "more_in_a": a.beyond(b), "more_in_b": b.beyond(a)}


def with_scores(pairs: Sequence[Pair], photos: Photos, vectors: Callable[[Sequence[int]], Vectors]) -> list[Pair]:
    """The pairs with the scores of their vectors and the distances of their hashes.

    `vectors` gives the unit vectors (n, dim) of photos whose ids ascend.
    """
    scored: list[Pair] = []
    for block in (pairs[each] for each in blocks(len(pairs), SCORED_AT_ONCE)):
        ids = sorted({photo_id for pair in block for photo_id in (pair.a, pair.b)})
        known, units = photos(ids), vectors(ids)
        hashes = np.array([int(known[photo_id].phash or "0", 16) for photo_id in ids], dtype=np.uint64)
        a, b = (np.searchsorted(ids, [getattr(pair, end) for pair in block]) for end in "ab")
        scores = np.einsum("nd,nd->n", units[a], units[b])
        bits = np.bitwise_count(orientations(hashes[a]) ^ hashes[b]).min(axis=0)
        for pair, score, distance in zip(block, scores.tolist(), bits.tolist(), strict=True):
            hashed = {"hash_distance": distance} if known[pair.a].phash and known[pair.b].phash else {}
            scored.append(replace(pair, score=min(1.0, score), evidence={**hashed, **pair.evidence}))
    return scored


def file_identity(path: str) -> object:
    """What two names of one file have in common; the real path where there is no file, an URL for itself."""
    if is_url(path):
        return path
    with suppress(OSError):
        info = os.stat(path)
        if info.st_ino:
            return info.st_dev, info.st_ino
    return os.path.realpath(path)


def by_shared_photos(pairs: Ids) -> Ids:
    """The pairs (m, 2) so that those which share photos follow each other (reverse Cuthill-McKee)."""
    if not len(pairs):
        return pairs
    ids, ends = np.unique(pairs, return_inverse=True)
    a, b = (numbered := ends.reshape(-1, 2)).T
    position = np.empty(len(ids), dtype=np.int64)
    position[close_order(len(ids), numbered)] = np.arange(len(ids))
    return pairs[np.lexsort((np.minimum(position[a], position[b]), np.maximum(position[a], position[b])))]


def close_order(count: int, pairs: Ids) -> Ids:
    """The numbers from 0 to `count` in an order that brings those of each pair (m, 2) close together.

    It is that of the reverse Cuthill-McKee algorithm (George 1971).
    """
    a, b = pairs.T
    both = np.concatenate([a, b]), np.concatenate([b, a])
    graph = coo_array((np.ones(2 * len(a), dtype=np.int8), both), shape=(count, count)).tocsr()
    return np.asarray(reverse_cuthill_mckee(graph, symmetric_mode=True), dtype=np.int64)
