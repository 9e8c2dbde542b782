"""Vectors of a user's own: those of photos of the index are replaced, and files become photos without a network."""

import difflib
import operator
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import numpy as np

from birdsearch import objects
from birdsearch.errors import missing_file_error
from birdsearch.files import FileState, above, absolute, is_there, is_url, known_spelling
from birdsearch.indexing.caller import Caller
from birdsearch.indexing.committer import COMMIT_PHOTOS, Committer
from birdsearch.indexing.corrections import by_hand
from birdsearch.indexing.detector import ChangeDetector
from birdsearch.indexing.embedder import GivenVector, GivenVectors
from birdsearch.indexing.labels import Labeller
from birdsearch.indexing.pipeline import AddOptions, AddRun
from birdsearch.photos import exif
from birdsearch.photos.scan import FoundFile
from birdsearch.records import AddReport, Photo, blocks, counted, shown
from birdsearch.storage import query
from birdsearch.storage.catalog.catalog import Catalog, KnownFile
from birdsearch.storage.catalog.commits import GIVEN, PhotoUpdate
from birdsearch.storage.store import Store

_RANGES = {"latitude": (-90, 90), "longitude": (-180, 180), "rating": (0, 5)}
_TEXTS = ("camera", "camera_serial", "lens", "photographer", "notes")
FIELDS = ("label", "species", "taken_at", *_RANGES, *_TEXTS)  # of metadata; species is another word for label


def add_vectors(store: Store, photos: Iterable[Any], vectors: Any, metadata: Any, caller: Caller) -> AddReport:
    """Give photos of the index, and files, vectors of the user's own; see `Index.add_vectors`."""
    started = time.monotonic()
    named = _named(photos)
    given = _given(store, named, vectors, metadata)
    store.catalog.photos(one for one in named if isinstance(one, int))  # raises for an unknown id
    with store.writing(shared=True) as catalog:
        targets = _Targets.of(catalog, named)
        report = AddReport()
        if targets.files:
            report = _add_files(store, {path: given[row] for path, row in targets.files.items()}, caller)
        replaced = {photo_id: (given[row], targets.known[photo_id]) for photo_id, row in targets.ids.items()}
        _replace(store, replaced, caller)
    changed = report.changed + report.unchanged + len(targets.ids)
    return replace(report, changed=changed, unchanged=0, seconds=time.monotonic() - started)


@dataclass(slots=True)
class _Targets:
    """Which rows replace the vector of a photo as it is, and which are of files that must be read."""

    ids: dict[int, int] = field(default_factory=dict)  # photo id -> row
    files: dict[bytes, int] = field(default_factory=dict)  # path -> row
    known: dict[int, KnownFile] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog, named: Sequence[int | bytes]) -> "_Targets":
        """Raises ValueError for a photo that is named twice, by whichever words."""
        targets, first = cls(), dict[int | bytes, int]()
        photos = catalog.known_photos(one for one in named if isinstance(one, int))
        paths = {photo_id: os.fsencode(photo.path) for photo_id, photo in photos.items()}
        spelled = _spelled(named, catalog.roots_in_use())
        files = catalog.files_at([*paths.values(), *spelled.values()])
        targets.known = {file.photo_id: file for file in files.values() if file.photo_id is not None}
        for row, one in enumerate(named):
            path = paths[one] if isinstance(one, int) else spelled[one]
            photo_id = files[path].photo_id if path in files else None
            before = first.setdefault(path if photo_id is None else photo_id, row)
            if before != row:
                where = shown(os.fsdecode(path))
                raise ValueError(f"photos names {where} twice, at {before} and {row}: give each photo one vector")
            if photo_id is not None and (isinstance(one, int) or _is_as_indexed(path, files[path])):
                targets.ids[photo_id] = row
            else:
                targets.files[path] = row
        return targets


def _spelled(named: Sequence[int | bytes], roots: Sequence[bytes]) -> dict[bytes, bytes]:
    """Path -> the same as the index spells it."""
    paths = [one for one in named if isinstance(one, bytes)]
    folders = {folder: known_spelling(folder, roots) for folder in {os.path.dirname(path) for path in paths}}
    return {
        path: path if is_url(path) else os.path.join(folders[os.path.dirname(path)], os.path.basename(path))
        for path in paths
    }


def _is_as_indexed(path: bytes, known: KnownFile) -> bool:
    return known.failure is None and not known.missing and _state(path).is_same(known.state)


def _state(path: bytes) -> FileState:
    try:
        if is_url(path):
            return objects.state_of(os.fsdecode(path)) or FileState()
        return FileState.of(os.stat(path))
    except OSError:
        return FileState()  # reading it will say what is wrong


# Writing ------------------------------------------------------------------------------------------------------------


def _add_files(store: Store, given: Mapping[bytes, GivenVector], caller: Caller) -> AddReport:
    """Make photos of files, as `add` does, but with these vectors."""
    catalog, paths = store.catalog, list(given)
    for folder in sorted({above(path) for path in paths}):
        catalog.ensure_root(folder)
    vectors = GivenVectors(given)
    detector = ChangeDetector.of(catalog, paths)
    run = AddRun(store, Labeller(catalog), detector, caller, reread=True, given=vectors)
    counts = run.run(paths, [FoundFile(path, _state(path)) for path in paths], AddOptions())
    # A file that was touched or moved is the photo that the index has: only its vector is another one.
    left = catalog.files_at([path for path in paths if path not in vectors.taken])
    _replace(
        store,
        {
            file.photo_id: (given[path], file)
            for path, file in left.items()
            if file.photo_id is not None and file.failure is None and not file.missing
        },
        caller,
    )
    return counts.report(0)


def _replace(store: Store, given: Mapping[int, tuple[GivenVector, KnownFile]], caller: Caller) -> None:
    """Replace the vectors of photos of the index; what is known of their files stays."""
    committer = Committer(store.catalog, store.folder.vectors, Labeller(store.catalog))
    committer.provenance = GIVEN
    ids = list(given)
    try:
        for block in blocks(len(ids), COMMIT_PHOTOS):
            for photo_id, photo in zip(ids[block], store.catalog.photos(ids[block]), strict=True):
                vector, known = given[photo_id]
                committer.photos.append(vector.of(photo))
                committer.states[photo.path] = known.state
                if known.missing:  # it stays hidden, until its file is met again
                    committer.batch.updates.append(PhotoUpdate(photo_id, {"missing": True}))
            committer.commit()
            caller.tell("index", block.stop, len(ids), photo.path)
        committer.wait()
    finally:
        committer.close()


# What a user gives --------------------------------------------------------------------------------------------------


def _named(photos: Iterable[Any]) -> list[int | bytes]:
    """Ids of photos, and absolute paths of files that are there. Raises TypeError or PhotoMissingError."""
    what = "photos must be a list of ids, paths or Photos"
    if isinstance(photos, str | bytes | os.PathLike | Photo) or not isinstance(photos, Iterable):
        raise TypeError(f"{what}; give one as [photo]")
    named: list[int | bytes] = []
    for one in photos:
        path = one.path if isinstance(one, Photo) else one
        if not isinstance(path, str | os.PathLike):
            if isinstance(one, bool) or not hasattr(one, "__index__"):
                raise TypeError(f"{what}, and not of {one!r:.80}")
            named.append(operator.index(one))
            continue
        if os.path.isdir(path):
            raise ValueError(f"{shown(os.fspath(path))} is a folder: name the photos in it, one for each vector")
        if not is_there(os.fspath(path)):
            raise missing_file_error(os.fspath(path), "file")
        named.append(absolute(path))
    return named


def _given(store: Store, named: Sequence[int | bytes], vectors: Any, metadata: Any) -> list[GivenVector]:
    """What each row gives. Raises ValueError or TypeError, with the place, for what cannot be meant."""
    unit, norms = query.unit_vectors(store, vectors)
    if len(unit) != len(named):
        raise ValueError(f"{counted(len(named), 'photo')} and {counted(len(unit), 'vector')}: give one for each photo")
    if len(beyond := np.flatnonzero(~np.isfinite(norms) | (norms == 0))):
        raise ValueError(f"the length of vector {beyond[0]} is zero or not finite as float32, which is kept")
    columns = _columns(metadata, len(named))
    rows: list[dict[str, Any]] = [{} for _ in named]
    for name, values in columns.items():
        for row, value in enumerate(values):
            if not _is_empty(value):
                rows[row] |= _value(name, value, f"metadata[{name!r}][{row}]")
    for row, facts in enumerate(rows):
        if ("latitude" in facts) != ("longitude" in facts):
            raise ValueError(f"metadata of {row} has one of latitude and longitude: give both")
    labels = [facts.pop("label", None) for facts in rows]
    return [
        GivenVector(unit[row], float(norms[row]), facts, None if label is None else by_hand(0, label, None))
        for row, (facts, label) in enumerate(zip(rows, labels, strict=True))
    ]


def _columns(metadata: Any, count: int) -> dict[str, list[Any]]:
    """Field -> values. Raises TypeError or ValueError for what is no table of known fields with so many rows."""
    if metadata is None:
        return {}
    if hasattr(metadata, "to_pydict"):  # a pyarrow.Table
        metadata = metadata.to_pydict()
    if not hasattr(metadata, "keys"):
        raise TypeError(
            "metadata must be a mapping of field -> values, such as {'label': ['Wren', 'Robin']}, a pandas DataFrame "
            f"or a pyarrow Table, not a {type(metadata).__name__}"
        )
    columns: dict[str, list[Any]] = {}
    for name in metadata.keys():  # noqa: SIM118 (a DataFrame is no Mapping)
        if name not in FIELDS:
            close = difflib.get_close_matches(str(name), FIELDS, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"metadata has no field {name!r}. {hint}There are {', '.join(FIELDS)}")
        values = metadata[name]
        if isinstance(values, str | bytes) or not isinstance(values, Iterable) or len(list(values)) != count:
            raise ValueError(f"metadata[{name!r}] must be a list of {counted(count, 'value')}, one for each photo")
        columns[name] = list(values)
    if {"label", "species"} <= set(columns):
        raise ValueError("metadata has label and species, which mean the same here: give one of them")
    return columns


def _is_empty(value: Any) -> bool:
    """Whether a table has no value there: None, an empty text, or what pandas and numpy put there."""
    try:
        return value is None or bool(value != value) or value == ""
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"  # of pandas, which says neither yes nor no


def _value(name: str, value: Any, place: str) -> dict[str, Any]:
    """Fields of Photo and their values, of one value of a table."""
    if name == "taken_at":
        return _moment(value, place)
    if name in _RANGES:
        return {name: _number(name, value, place)}
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{place} is {value!r:.80}: give a text")
    return {"label" if name == "species" else name: shown(value.strip())}


def _moment(value: Any, place: str) -> dict[str, Any]:
    text = value.isoformat() if isinstance(value, date | datetime) else str(value)
    local, offset = exif.moment(text) if isinstance(value, str | date | np.datetime64) else (None, None)
    if local is None:
        raise ValueError(f"{place} is {value!r:.80}: give a date, a datetime or a text such as 2024-05-17T06:30:00")
    return {"taken_at": local, "taken_offset": offset}


def _number(name: str, value: Any, place: str) -> float | int:
    low, high = _RANGES[name]
    whole = name == "rating"
    try:
        number = float(value) if not isinstance(value, str | bool) else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high or (whole and not number.is_integer()):
        raise ValueError(f"{place} is {value!r:.80}: give a {'whole ' if whole else ''}number from {low} to {high}")
    return int(number) if whole else number
