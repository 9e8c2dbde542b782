"""The one transaction after which an index stands on new vectors of its photos."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from birdsearch.files import FileState
from birdsearch.records import FRAME, Failure, Prediction
from birdsearch.storage.catalog import kept
from birdsearch.storage.catalog.commits import derive_species, write_failures, write_predictions
from birdsearch.storage.catalog.database import present, put_state, where_in
from birdsearch.storage.catalog.tables import parts, photos, regions


@dataclass(frozen=True, slots=True)
class NewVector:
    """Where the new vector of a region lies, and what the network says of its photo."""

    region_id: int
    photo_id: int
    part_id: int
    row: int
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the vectors of an index become: those of one list of parts, and of no other."""

    parts: Sequence[int]
    vectors: Iterable[Sequence[NewVector]]  # in blocks, which are read as they are written
    without: Sequence[int]  # photos that have no vector any more: hidden, until their file is indexed again
    failed: Sequence[tuple[FileState, Failure]]  # those of them whose file is there, and why
    state: Mapping[str, Any]  # key -> new value


def write(connection: sa.Connection, renewal: Renewal) -> None:
    """Everything of a renewal, inside the caller's transaction."""
    ids = list(renewal.without)
    kept.keep(connection, ids)  # the photos may be removed before they are back
    # Of no size: what has come back under that name is read and embedded.
    where_in(connection, sa.update(photos).values(missing=True, size=-1), photos.c.id, ids)
    moved = sa.update(regions).where(regions.c.id == sa.bindparam("_id"))
    moved = moved.values(part_id=sa.bindparam("_part"), row=sa.bindparam("_row"))
    for embedded_anew in renewal.vectors:
        here = present(connection, photos, [each.photo_id for each in embedded_anew])  # others were removed meanwhile
        block = [each for each in embedded_anew if each.photo_id in here]
        places = [{"_id": each.region_id, "_part": each.part_id, "_row": each.row} for each in block]
        if places:
            connection.execute(moved, places)
        write_predictions(connection, {each.photo_id: each.predictions for each in block})
        derive_species(connection, [each.photo_id for each in block])
    old = regions.c.part_id.not_in(renewal.parts)
    connection.execute(sa.delete(regions).where(old, regions.c.kind == FRAME))
    connection.execute(sa.update(regions).values(part_id=None, row=None).where(old))  # birds stay where they are
    connection.execute(sa.delete(parts).where(parts.c.id.not_in(renewal.parts)))
    write_failures(connection, renewal.failed)
    for key, value in renewal.state.items():
        put_state(connection, key, value)
