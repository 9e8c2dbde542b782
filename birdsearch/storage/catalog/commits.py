"""What one commit brings, and how it is laid into the tables."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from birdsearch.files import with_trailing_slash
from birdsearch.records import Failure, Photo
from birdsearch.storage.catalog.database import chunked
from birdsearch.storage.catalog.tables import failures, labels, parts, photos, predictions, regions, roots

AUTHORITY = ("correction", "csv", "folder")  # whose label counts, first one first
STORED = [c.name for c in photos.c if c.name not in ("root_id", "relative", "missing", "phash")]


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo with its one region, ready to be committed."""

    photo: Photo  # id given; the label is in `label`
    known: bool  # the catalog has a photo with this id already
    region_id: int
    label: tuple[str, str] | None = None  # source, species


@dataclass(frozen=True, slots=True)
class PartRow:
    """One listed part."""

    id: int
    rows: int
    sha256: str
    runtime: str  # what made the vectors: "torch fp32 on cpu", "import"
    generation: int = 0


@dataclass(slots=True)
class Batch:
    """What one commit brings. Grows while photos come in, then is written once."""

    entries: list[Entry] = field(default_factory=list)
    part: PartRow | None = None  # holds the vector of entries[i] in row i
    updates: list[dict[str, Any]] = field(default_factory=list)  # {"_id": photo id, column: value}
    labels: dict[int, tuple[str, str] | None] = field(default_factory=dict)  # of photos that are not among the entries
    failed: list[tuple[tuple[int | None, int | None], Failure]] = field(default_factory=list)  # (size, mtime_ns), why
    recovered: list[str] = field(default_factory=list)  # paths that failed before and do no longer


def write(connection: sa.Connection, batch: Batch, generation: int) -> None:
    """Everything that a batch brought, into the tables, inside the caller's transaction."""
    if batch.part is not None:
        row = {name: getattr(batch.part, name) for name in ("id", "rows", "sha256", "runtime")}
        connection.execute(sa.insert(parts).values(**row, generation=generation))
    _write_entries(connection, batch)
    update_each(connection, batch.updates)
    said = {entry.photo.id: entry.label for entry in batch.entries if entry.photo.id and entry.label}
    _write_labels(connection, {**said, **batch.labels})
    gone = [os.fsencode(path) for path in batch.recovered]
    chunked(connection, lambda paths: sa.delete(failures).where(failures.c.path.in_(paths)), gone)
    for (size, mtime_ns), failure in batch.failed:
        path = os.fsencode(failure.path)
        connection.execute(sa.delete(failures).where(failures.c.path == path))
        values = {"path": path, "size": size, "mtime_ns": mtime_ns, "stage": failure.stage, "reason": failure.reason}
        connection.execute(sa.insert(failures).values(**values))
    derive_species(connection, [entry.photo.id for entry in batch.entries if entry.photo.id] + list(batch.labels))


def _write_entries(connection: sa.Connection, batch: Batch) -> None:
    folders = roots_of(connection)
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    where: list[dict[str, Any]] = []
    for row, entry in enumerate(batch.entries):
        values = {name: getattr(entry.photo, name) for name in STORED}
        root_id, relative = split_path(os.fsencode(entry.photo.path), folders)
        values |= {"root_id": root_id, "relative": relative, "missing": False, "phash": _signed(entry.photo.phash)}
        (changed if entry.known else new).append(values)
        assert batch.part is not None
        region = {"id": entry.region_id, "photo_id": entry.photo.id, "part_id": batch.part.id, "row": row}
        where.append({**region, "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0})
    ids = [values["id"] for values in changed]
    chunked(connection, lambda some: sa.delete(regions).where(regions.c.photo_id.in_(some)), ids)
    chunked(connection, lambda some: sa.delete(predictions).where(predictions.c.photo_id.in_(some)), ids)
    update_each(connection, [{"_id": values.pop("id"), **values} for values in changed])
    guesses = [
        {
            "photo_id": e.photo.id,
            **{c: getattr(p, c) for c in ("position", "species", "probability", "rank", "class_name")},
        }
        for e in batch.entries
        for p in e.photo.predictions
    ]
    for table, rows in ((photos, new), (regions, where), (predictions, guesses)):
        if rows:
            connection.execute(sa.insert(table), rows)


def _write_labels(connection: sa.Connection, wanted: dict[int, tuple[str, str] | None]) -> None:
    """Replace what folders and CSVs said of these photos; a correction stays."""
    chunked(
        connection,
        lambda ids: sa.delete(labels).where(labels.c.photo_id.in_(ids), labels.c.source.in_(("csv", "folder"))),
        list(wanted),
    )
    rows = [{"photo_id": i, "source": said[0], "species": said[1]} for i, said in wanted.items() if said]
    if rows:
        # An imported correction may name the photo already.
        connection.execute(sa.insert(labels).prefix_with("OR REPLACE"), rows)


def correct_labels(connection: sa.Connection, said: dict[int, str | None], author: str | None) -> None:
    """Say what these photos show, above what folders and CSVs say; None takes a correction back."""
    chunked(
        connection,
        lambda ids: sa.delete(labels).where(labels.c.photo_id.in_(ids), labels.c.source == "correction"),
        list(said),
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [
        {"photo_id": photo_id, "source": "correction", "species": name, "author": author, "created_at": now}
        for photo_id, name in said.items()
        if name
    ]
    if rows:
        connection.execute(sa.insert(labels), rows)
    derive_species(connection, list(said))


def derive_species(connection: sa.Connection, photo_ids: Sequence[int]) -> None:
    """Work out label, species and species_source of these photos anew."""
    statement = sa.update(photos).values(derived_species())
    chunked(connection, lambda ids: statement.where(photos.c.id.in_(ids)), photo_ids)


def derived_species() -> dict[str, sa.ColumnElement[Any]]:
    """What label, species and species_source of a photo should be, as SQL."""
    order = sa.case({source: n for n, source in enumerate(AUTHORITY)}, value=labels.c.source)
    said = sa.select(labels.c.species).where(labels.c.photo_id == photos.c.id).order_by(order).limit(1)
    top = sa.select(predictions.c.species).where(predictions.c.photo_id == photos.c.id, predictions.c.position == 1)
    label, guess = said.scalar_subquery(), top.scalar_subquery()
    source = sa.case((label.is_not(None), "label"), (guess.is_not(None), "prediction"))
    return {"label": label, "species": sa.func.coalesce(label, guess), "species_source": source}


def roots_of(connection: sa.Connection) -> dict[int, bytes]:
    """Root id -> folder."""
    return dict(connection.execute(sa.select(roots.c.id, roots.c.path)).all())


def split_path(path: bytes, folders: dict[int, bytes]) -> tuple[int, bytes]:
    """A path as (root id, path under it)."""
    for root_id, root in folders.items():
        if path.startswith(with_trailing_slash(root)):
            return root_id, path[len(with_trailing_slash(root)) :]
    raise ValueError(f"no root holds {os.fsdecode(path)}")


def _signed(phash: str | None) -> int | None:
    """A 64-bit hash as SQLite stores it."""
    return None if phash is None else (int(phash, 16) ^ (1 << 63)) - (1 << 63)


def update_each(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Give each photo its own new values; rows of the same columns go together."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(sorted(row)), []).append(row)
    for names, group in groups.items():
        values: dict[str, Any] = {name: sa.bindparam(name) for name in names if name != "_id"}
        connection.execute(sa.update(photos).where(photos.c.id == sa.bindparam("_id")).values(values), group)
