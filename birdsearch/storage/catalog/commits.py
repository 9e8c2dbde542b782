"""What one commit brings, and how it is laid into the tables."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from birdsearch.files import FileState
from birdsearch.records import FRAME, Failure, Label, Photo, Prediction
from birdsearch.storage.catalog import companion_rows, kept, region_rows
from birdsearch.storage.catalog.companion_rows import Companion
from birdsearch.storage.catalog.database import present, put_state, roots_of, split_path, where_in
from birdsearch.storage.catalog.region_rows import RegionEntry
from birdsearch.storage.catalog.tables import Row, failures, labels, parts, photos, predictions, regions

AUTHORITY = ("correction", "csv", "keywords", "folder")  # whose label counts, first one first
_PREDICTION = [c.name for c in predictions.c if c is not predictions.c.photo_id]  # those that a Prediction has
STATE = [each.name for each in fields(FileState)]  # columns of what tells whether a file changed
_BESIDE = ("root_id", "relative", "missing", "phash", "ctime_ns", "inode", "found_by")  # columns that no Photo has
STORED = [c.name for c in photos.c if c.name not in _BESIDE]
# What is read from a file anew with its bytes as before.
_FACTS = [name for name in STORED if name not in ("id", "sha256", *STATE, "label", "species", "species_source")]


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo with its frame, ready to be committed."""

    photo: Photo  # id given; the label is in `label`
    known: bool  # the catalog has a photo with this id already
    region_id: int  # of the frame
    label: tuple[str, str] | None = None  # source, species
    correction: Label | None = None  # that comes with the photo
    state: FileState = field(default_factory=FileState)  # beyond size and time, which the photo has


GIVEN = "given"  # of vectors that a user gave: no network makes them again


@dataclass(frozen=True, slots=True)
class PartRow:
    """One listed part."""

    id: int
    rows: int
    sha256: str
    runtime: str  # what made the vectors: "torch fp32 on cpu", "import", or GIVEN
    generation: int = 0


@dataclass(frozen=True, slots=True)
class PhotoUpdate:
    """New values for a photo that the catalog has."""

    photo_id: int
    values: Mapping[str, object]  # column of `photos` -> value


@dataclass(slots=True)
class Batch:
    """What one commit brings. Grows while photos come in, then is written once."""

    entries: list[Entry] = field(default_factory=list)
    part: PartRow | None = None  # holds the vector of the frame of entries[i] in row i, then those of regions
    regions: list[RegionEntry] = field(default_factory=list)
    gone_regions: list[int] = field(default_factory=list)  # ids, none of a frame
    found_by: dict[int, str | None] = field(default_factory=dict)  # photo -> the finder that has searched it
    updates: list[PhotoUpdate] = field(default_factory=list)
    companions: dict[int, list[Companion]] = field(default_factory=dict)  # photo -> all that go with it now
    labels: dict[int, tuple[str, str] | None] = field(default_factory=dict)  # of photos that are not among the entries
    failed: list[tuple[FileState, Failure]] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)  # paths that failed before and do no longer
    imported: bool = False  # the labels of the entries are all that is said of them, whatever is said of their copies
    state: dict[str, Any] = field(default_factory=dict)  # key -> new value


def write(connection: sa.Connection, batch: Batch, generation: int) -> None:
    """Everything that a batch brought, into the tables, inside the caller's transaction."""
    if batch.part is not None:
        connection.execute(sa.insert(parts).values({**asdict(batch.part), "generation": generation}))
    gone = _removed(connection, batch)
    entries = {row: entry for row, entry in enumerate(batch.entries) if entry.photo.id not in gone}
    _write_entries(connection, entries, batch.part)
    boxes = [one for one in batch.regions if one.region.photo_id not in gone]
    region_rows.write(connection, boxes, batch.gone_regions, None if batch.part is None else batch.part.id)
    region_rows.set_found_by(connection, batch.found_by.items())
    update_each(connection, batch.updates)
    companion_rows.write(connection, batch.companions)
    new_labels = {entry.photo.id: entry.label for entry in entries.values() if entry.photo.id and entry.label}
    said = {photo_id: label for photo_id, label in batch.labels.items() if photo_id not in gone}
    _write_labels(connection, {**new_labels, **said})
    brought = {entry.photo.id: entry.correction for entry in entries.values() if entry.photo.id and entry.correction}
    _insert_corrections(connection, brought)
    come = [entry.photo.id for entry in entries.values() if entry.photo.id]
    kept.give_back(connection, come, of_copies=not batch.imported)
    where_in(connection, sa.delete(failures), failures.c.path, [os.fsencode(path) for path in batch.recovered])
    write_failures(connection, batch.failed)
    derive_species(connection, come + list(said))
    for key, value in batch.state.items():
        put_state(connection, key, value)


def _removed(connection: sa.Connection, batch: Batch) -> set[int | None]:
    """The photos that a batch speaks of as known, and that were removed while it was collected."""
    new = {entry.photo.id for entry in batch.entries if not entry.known}
    said = {entry.photo.id for entry in batch.entries} | batch.labels.keys()
    said |= {one.region.photo_id for one in batch.regions}
    return said - new - present(connection, photos, [photo_id for photo_id in said - new if photo_id is not None])


def write_failures(connection: sa.Connection, failed: Iterable[tuple[FileState, Failure]]) -> None:
    """Files that could not be indexed, each with the state it was in."""
    for state, failure in failed:
        values = {"path": os.fsencode(failure.path), "stage": failure.stage, "reason": failure.reason}
        connection.execute(sa.insert(failures).prefix_with("OR REPLACE").values(**values, **asdict(state)))


def facts(photo: Photo) -> dict[str, object]:
    """Column -> value of everything that is written in a photo's file or follows from its pixels."""
    return {**{name: getattr(photo, name) for name in _FACTS}, "phash": _signed(photo.phash)}


def _write_entries(connection: sa.Connection, entries: Mapping[int, Entry], part: PartRow | None) -> None:
    """Photos with their frames, by the row of the part in which the vector of each lies."""
    folders = roots_of(connection)
    new: list[Row] = []
    changed: list[PhotoUpdate] = []
    new_regions: list[Row] = []
    for row, entry in entries.items():
        photo = entry.photo
        assert part is not None
        root_id, relative = split_path(os.fsencode(photo.path), folders)
        values = {name: getattr(photo, name) for name in STORED}
        values |= {"root_id": root_id, "relative": relative, "missing": False, "phash": _signed(photo.phash)}
        values |= {"ctime_ns": entry.state.ctime_ns, "inode": entry.state.inode}
        if entry.known:
            changed.append(PhotoUpdate(values.pop("id"), values))
        else:
            new.append(values)
        region = {"id": entry.region_id, "photo_id": photo.id, "part_id": part.id, "row": row, "kind": FRAME}
        new_regions.append({**region, "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0})
    region_rows.forget_vectors(connection, [update.photo_id for update in changed])
    update_each(connection, changed)
    for table, rows in ((photos, new), (regions, new_regions)):
        if rows:
            connection.execute(sa.insert(table), rows)
    embedded = [entry.photo for entry in entries.values()]
    write_predictions(connection, {photo.id: photo.predictions for photo in embedded if photo.id})


def write_predictions(connection: sa.Connection, new: Mapping[int, Iterable[Prediction]]) -> None:
    """Replace what the network says of these photos."""
    where_in(connection, sa.delete(predictions), predictions.c.photo_id, list(new))
    rows = [
        {"photo_id": photo_id, **{name: getattr(guess, name) for name in _PREDICTION}}
        for photo_id, guesses in new.items()
        for guess in guesses
    ]
    if rows:
        connection.execute(sa.insert(predictions), rows)


def _write_labels(connection: sa.Connection, new: Mapping[int, tuple[str, str] | None]) -> None:
    """Replace what folders and CSVs said of these photos; a correction stays."""
    where_in(connection, sa.delete(labels).where(labels.c.source != "correction"), labels.c.photo_id, list(new))
    rows = [{"photo_id": i, "source": label[0], "species": label[1]} for i, label in new.items() if label]
    if rows:
        connection.execute(sa.insert(labels), rows)


def correct_labels(connection: sa.Connection, corrections: Mapping[int, Label | None]) -> dict[str, Label]:
    """Set the corrections of these photos, which count above folders and CSVs; None removes one.

    Returns what was kept of their bytes, which no longer holds: sha256 -> label.
    """
    ids = list(corrections)
    forgotten = kept.forget(connection, ids)
    where_in(connection, sa.delete(labels).where(labels.c.source == "correction"), labels.c.photo_id, ids)
    _insert_corrections(connection, corrections)
    derive_species(connection, ids)
    return forgotten


def _insert_corrections(connection: sa.Connection, corrections: Mapping[int, Label | None]) -> None:
    given = [(photo_id, label) for photo_id, label in corrections.items() if label is not None]
    rows = [{**asdict(label), "photo_id": photo_id, "source": "correction"} for photo_id, label in given]
    if rows:
        connection.execute(sa.insert(labels).prefix_with("OR REPLACE"), rows)


def derive_species(connection: sa.Connection, photo_ids: Sequence[int]) -> None:
    """Work out label, species and species_source of these photos anew."""
    where_in(connection, sa.update(photos).values(derived_species()), photos.c.id, photo_ids)


def derived_species() -> dict[str, sa.ColumnElement[Any]]:
    """What label, species and species_source of a photo should be, as SQL."""
    order = sa.case({source: n for n, source in enumerate(AUTHORITY)}, value=labels.c.source)
    best = sa.select(labels.c.species).where(labels.c.photo_id == photos.c.id).order_by(order).limit(1)
    top = sa.select(predictions.c.species).where(predictions.c.photo_id == photos.c.id, predictions.c.position == 1)
    label, guess = best.scalar_subquery(), top.scalar_subquery()
    source = sa.case((label.is_not(None), "label"), (guess.is_not(None), "prediction"))
    return {"label": label, "species": sa.func.coalesce(label, guess), "species_source": source}


def _signed(phash: str | None) -> int | None:
    """A 64-bit hash as SQLite stores it."""
    return None if phash is None else (int(phash, 16) ^ (1 << 63)) - (1 << 63)


def update_each(connection: sa.Connection, updates: Iterable[PhotoUpdate]) -> None:
    """Give each photo its own new values; updates of the same columns go together."""
    groups: dict[tuple[str, ...], list[PhotoUpdate]] = {}
    for update in updates:
        groups.setdefault(tuple(sorted(update.values)), []).append(update)
    for names, group in groups.items():
        statement = sa.update(photos).where(photos.c.id == sa.bindparam("_id"))
        statement = statement.values({name: sa.bindparam(name) for name in names})
        connection.execute(statement, [{"_id": update.photo_id, **update.values} for update in group])
