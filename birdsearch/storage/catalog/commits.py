"""What one commit brings, and how it is laid into the tables."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import compress
from typing import Any

import sqlalchemy as sa

from birdsearch.files import FileState
from birdsearch.records import FRAME, OF_NETWORK, Failure, Label, Photo, Prediction
from birdsearch.storage.catalog import changes, companion_rows, kept, region_rows
from birdsearch.storage.catalog.companion_rows import Companion
from birdsearch.storage.catalog.database import (
    ids_at,
    insert_columns,
    insert_or_replace,
    present,
    put_state,
    roots_of,
    split_paths,
    where_in,
)
from birdsearch.storage.catalog.region_rows import RegionEntry
from birdsearch.storage.catalog.tables import failures, labels, parts, photos, predictions, regions

COMMIT_CHANGES = 16_384  # of photos that need no vector: a commit of more would be a good part of the memory
FILE = "csv"  # source of the labels of a file, be it a CSV or not
AUTHORITY = ("correction", FILE, "keywords", "folder")  # whose label counts, first one first
of_network = predictions.c.position <= OF_NETWORK
_of_tools = predictions.c.position > OF_NETWORK
_PREDICTION = [c.name for c in predictions.c if c is not predictions.c.photo_id]  # those that a Prediction has
STATE = [each.name for each in fields(FileState)]  # columns of what tells whether a file changed
_OF_PHOTO = {each.name for each in fields(Photo)} - {"phash"}
STORED = [c.name for c in photos.c if c.name in _OF_PHOTO]
SETTLED = ("label", "species", "species_source")  # columns that follow from labels and predictions
# What is read from a file anew with its bytes as before.
_FACTS = [name for name in STORED if name not in ("id", "sha256", *STATE, *SETTLED)]


@dataclass(frozen=True, slots=True)
class Said:
    """What a folder, its keywords or a file of labels say that a photo shows."""

    source: str  # of AUTHORITY, but no correction
    species: str
    author: str | None = None  # whom the file names: who saw the bird, or who said which one it is
    created_at: str | None = None  # when that was, ISO 8601


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo with its frame, ready to be committed."""

    photo: Photo  # id given; the label is in `label`
    known: bool  # the catalog has a photo with this id already
    region_id: int  # of the frame
    label: Said | None = None
    correction: Label | None = None  # that comes with the photo
    state: FileState = field(default_factory=FileState)  # beyond size and time, which the photo has


@dataclass(frozen=True, slots=True)
class NewPhotos:
    """Photos that the catalog has not, with their frames, column by column: no object is made of a row.

    Their ids follow one another, and so do those of their frames, whose vectors are the first rows of the part.
    """

    first_id: int
    first_region: int
    paths: Sequence[bytes]  # (n,)
    photos: Mapping[str, Sequence[Any]]  # column of `photos` -> (n,), where a file and its pixels give it
    labels: Mapping[str, Sequence[Any]]  # column of `labels` -> values
    predictions: Mapping[str, Sequence[Any]]  # column of `predictions` -> values

    @property
    def ids(self) -> range:
        """Of the photos."""
        return range(self.first_id, self.first_id + len(self.paths))


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
    labels: dict[int, Said | None] = field(default_factory=dict)  # of photos that are not among the entries
    failed: list[tuple[FileState, Failure]] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)  # paths that failed before and do no longer
    predictions: dict[int, tuple[Prediction, ...]] = field(default_factory=dict)  # of a program that gave boxes
    state: dict[str, Any] = field(default_factory=dict)  # key -> new value
    new: NewPhotos | None = None  # of an import, in place of entries; what it says of them is all that is said


def write(connection: sa.Connection, batch: Batch, generation: int, *, beside_others: bool = False) -> None:
    """Everything that a batch brought, into the tables, inside the caller's transaction.

    `beside_others`: other writers may have committed meanwhile. A file that one of them has brought is not taken twice;
    its vector lies in the part as that of a photo that is removed later.
    """
    if batch.part is not None:
        connection.execute(sa.insert(parts).values({**asdict(batch.part), "generation": generation}))
    gone = _removed(connection, batch)
    if beside_others:
        new = {os.fsencode(entry.photo.path): entry.photo.id for entry in batch.entries if not entry.known}
        gone |= {new[path] for path in ids_at(connection, list(new))}
    entries = {row: entry for row, entry in enumerate(batch.entries) if entry.photo.id not in gone}
    _write_entries(connection, entries, batch.part)
    if batch.new is not None:
        _write_new(connection, batch.new, batch.part)
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
    kept.give_back(connection, come)
    where_in(connection, sa.delete(failures), failures.c.path, [os.fsencode(path) for path in batch.recovered])
    write_failures(connection, batch.failed)
    predicted = {photo_id: guesses for photo_id, guesses in batch.predictions.items() if photo_id not in gone}
    where_in(connection, sa.delete(predictions).where(_of_tools), predictions.c.photo_id, list(predicted))
    _insert_predictions(connection, predicted)
    derive_species(connection, [*come, *said, *predicted])
    # Of what is new an engine hears by its part.
    before = [entry.photo.id for entry in entries.values() if entry.known and entry.photo.id]
    updated = [update.photo_id for update in batch.updates if not update.values.keys().isdisjoint(changes.COPIED)]
    changes.note(connection, [*before, *said, *predicted, *updated])
    for key, value in batch.state.items():
        put_state(connection, key, value)


def _removed(connection: sa.Connection, batch: Batch) -> set[int | None]:
    """The photos that a batch speaks of as known, and that were removed while it was collected."""
    new = {entry.photo.id for entry in batch.entries if not entry.known}
    new |= set(() if batch.new is None else batch.new.ids)
    said = {entry.photo.id for entry in batch.entries} | batch.labels.keys() | batch.predictions.keys()
    said |= {one.region.photo_id for one in batch.regions}
    return said - new - present(connection, photos, [photo_id for photo_id in said - new if photo_id is not None])


def write_failures(connection: sa.Connection, failed: Iterable[tuple[FileState, Failure]]) -> None:
    """Files that could not be indexed, each with the state it was in."""
    rows = [
        {"path": os.fsencode(failure.path), "stage": failure.stage, "reason": failure.reason, **asdict(state)}
        for state, failure in failed
    ]
    insert_or_replace(connection, failures, rows)


def facts(photo: Photo) -> dict[str, object]:
    """Column -> value of everything that is written in a photo's file or follows from its pixels."""
    return {**{name: getattr(photo, name) for name in _FACTS}, "phash": signed(photo.phash)}


def _write_entries(connection: sa.Connection, entries: Mapping[int, Entry], part: PartRow | None) -> None:
    """Photos with their frames, by the row of the part in which the vector of each lies."""
    if not entries:
        return
    written = list(entries.values())
    columns, is_new = _columns(connection, written), [not entry.known for entry in written]
    changed = [entry for entry in written if entry.known]
    region_rows.forget_vectors(connection, [entry.photo.id for entry in changed if entry.photo.id])
    rows = compress(zip(*columns.values(), strict=True), (entry.known for entry in written))
    updates = [dict(zip(columns, row, strict=True)) for row in rows]
    update_each(connection, [PhotoUpdate(values.pop("id"), values) for values in updates])
    insert_columns(connection, photos, {name: [*compress(column, is_new)] for name, column in columns.items()})
    _insert_frames(connection, columns["id"], [entry.region_id for entry in written], part, list(entries))
    said = {one.photo.id: one.photo.predictions for one in written if one.photo.id}
    where_in(connection, sa.delete(predictions), predictions.c.photo_id, list(said))  # of the bytes that were there
    _insert_predictions(connection, said)


def _columns(connection: sa.Connection, entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """Column of `photos` -> the values of these entries."""
    places = split_paths([os.fsencode(entry.photo.path) for entry in entries], roots_of(connection))
    columns = {name: [getattr(entry.photo, name) for entry in entries] for name in STORED}
    return columns | {
        "root_id": [root_id for root_id, _ in places],
        "relative": [relative for _, relative in places],
        "missing": [False] * len(entries),
        "phash": [signed(entry.photo.phash) for entry in entries],
        **{name: [getattr(entry.state, name) for entry in entries] for name in STATE if name not in STORED},
    }


def _write_new(connection: sa.Connection, new: NewPhotos, part: PartRow | None) -> None:
    """All that a batch brings of new photos, and what was kept of them; what follows from their labels last."""
    places, count = split_paths(new.paths, roots_of(connection)), len(new.paths)
    roots, relatives = [root_id for root_id, _ in places], [relative for _, relative in places]
    own = {"id": new.ids, "root_id": roots, "relative": relatives, "missing": [False] * count}
    insert_columns(connection, photos, {**new.photos, **own})
    _insert_frames(connection, new.ids, range(new.first_region, new.first_region + count), part, range(count))
    insert_columns(connection, predictions, new.predictions)
    insert_columns(connection, labels, new.labels)
    kept.give_back(connection, new.ids, of_copies=False)
    these = photos.c.id.between(new.ids[0], new.ids[-1])
    connection.execute(sa.update(photos).values(derived_species()).where(these))


def _insert_frames(
    connection: sa.Connection, photo_ids: Sequence[int], ids: Sequence[int], part: PartRow | None, rows: Sequence[int]
) -> None:
    assert part is not None  # of a batch with photos
    count = len(ids)
    corners = {"x": [0.0] * count, "y": [0.0] * count, "width": [1.0] * count, "height": [1.0] * count}
    place = {"part_id": [part.id] * count, "row": rows, "kind": [FRAME] * count}
    insert_columns(connection, regions, {"id": ids, "photo_id": photo_ids, **place, **corners})


def write_predictions(connection: sa.Connection, new: Mapping[int, Iterable[Prediction]]) -> None:
    """Replace what the network says of these photos."""
    where_in(connection, sa.delete(predictions).where(of_network), predictions.c.photo_id, list(new))
    _insert_predictions(connection, new)


def _insert_predictions(connection: sa.Connection, new: Mapping[int, Iterable[Prediction]]) -> None:
    guesses = [(photo_id, guess) for photo_id, its in new.items() for guess in its]
    columns = {name: [getattr(guess, name) for _, guess in guesses] for name in _PREDICTION}
    columns["position"] = [guess.stored_position for _, guess in guesses]
    insert_columns(connection, predictions, {"photo_id": [photo_id for photo_id, _ in guesses], **columns})


def _write_labels(connection: sa.Connection, new: Mapping[int, Said | None]) -> None:
    """Replace what folders and CSVs said of these photos; a correction stays."""
    where_in(connection, sa.delete(labels).where(labels.c.source != "correction"), labels.c.photo_id, list(new))
    rows = [{"photo_id": photo_id, **asdict(label)} for photo_id, label in new.items() if label]
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
    changes.note(connection, ids)
    return forgotten


def _insert_corrections(connection: sa.Connection, corrections: Mapping[int, Label | None]) -> None:
    given = [(photo_id, label) for photo_id, label in corrections.items() if label is not None]
    rows = [{**asdict(label), "photo_id": photo_id, "source": "correction"} for photo_id, label in given]
    insert_or_replace(connection, labels, rows)


def derive_species(connection: sa.Connection, photo_ids: Sequence[int]) -> None:
    """Work out label, species and species_source of these photos anew."""
    where_in(connection, sa.update(photos).values(derived_species()), photos.c.id, photo_ids)


def derived_species() -> dict[str, sa.ColumnElement[Any]]:
    """What label, species and species_source of a photo should be, as SQL."""
    order = sa.case({source: n for n, source in enumerate(AUTHORITY)}, value=labels.c.source)
    best = sa.select(labels.c.species).where(labels.c.photo_id == photos.c.id).order_by(order).limit(1)
    first = predictions.c.position.in_((1, OF_NETWORK + 1))  # the network's; where that is no species, another one's
    top = sa.select(predictions.c.species).where(predictions.c.photo_id == photos.c.id, first)
    top = top.where(predictions.c.species.is_not(None)).order_by(predictions.c.position).limit(1)
    label, guess = best.scalar_subquery(), top.scalar_subquery()
    source = sa.case((label.is_not(None), "label"), (guess.is_not(None), "prediction"))
    return {"label": label, "species": sa.func.coalesce(label, guess), "species_source": source}


def signed(phash: str | None) -> int | None:
    """A 64-bit hash as databases store it."""
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
