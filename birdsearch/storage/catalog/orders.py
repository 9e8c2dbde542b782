"""The orders in which photos are listed: each walks along an index, so that a page costs no more than what it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from birdsearch.files import with_trailing_slash
from birdsearch.storage.catalog.database import roots_of, streamed
from birdsearch.storage.catalog.filters import Condition
from birdsearch.storage.catalog.tables import MAX_INTEGER, photos


@dataclass(frozen=True, slots=True)
class Stretch:
    """Photos that follow one another in an order: those of one root, say, or those without a time."""

    of: Condition
    by: tuple[sa.Column[Any], ...]  # what they are sorted by; the last one is the id
    falling: bool = False
    index: tuple[Condition, ...] = ()  # what lets SQLite walk along the index of this order

    def query(self, which: Sequence[Condition], last: Sequence[Any] | None, limit: int | None) -> sa.Select[Any]:
        """The ids of those that satisfy the conditions and come behind the `last`, given by its values of `by`."""
        query = sa.select(photos.c.id).where(self.of, *self.index, *which).limit(limit)
        if last is not None:
            row, bound = sa.tuple_(*self.by), sa.tuple_(*last, types=[column.type for column in self.by])
            query = query.where(row < bound if self.falling else row > bound)
        return query.order_by(*(column.desc() if self.falling else column for column in self.by))


def stretches(connection: sa.Connection, order: str) -> list[Stretch]:
    """What an order of `ORDERS` consists of, first things first."""
    if order == "newest" or order == "oldest":
        return _known_first(photos.c.taken_at, falling=order == "newest", index=(photos.c.missing == sa.false(),))
    if order == "species":
        return _known_first(photos.c.species)
    if order == "path":
        roots = sorted(roots_of(connection).items(), key=lambda root: with_trailing_slash(root[1]))
        return [Stretch(photos.c.root_id == root_id, (photos.c.relative, photos.c.id)) for root_id, _ in roots]
    return [Stretch(sa.true(), (photos.c.id,))]


def _known_first(column: sa.Column[Any], *, falling: bool = False, index: tuple[Condition, ...] = ()) -> list[Stretch]:
    """What has a value by that value, then what has none."""
    return [
        Stretch(column.is_not(None), (column, photos.c.id), falling, index),
        Stretch(column.is_(None), (photos.c.id,), falling, index),
    ]


def listed(
    connection: sa.Connection, which: Sequence[Condition], order: str, after: int | None, limit: int | None
) -> Iterator[int]:
    """Ids of the photos that satisfy the conditions, in an order, behind the photo `after`; LookupError without it."""
    limit = limit and min(limit, MAX_INTEGER)
    parts = stretches(connection, order)
    last: Sequence[Any] | None = None
    if after is not None:
        start, last = _place(connection, parts, after)
        parts = parts[start:]
    ids = (
        photo_id
        for number, part in enumerate(parts)
        for (photo_id,) in streamed(connection, part.query(which, last if number == 0 else None, limit))
    )
    return islice(ids, limit)


def _place(connection: sa.Connection, parts: Sequence[Stretch], photo_id: int) -> tuple[int, Sequence[Any]]:
    """In which stretch a photo lies, be it visible or not, and by which values it is sorted there."""
    for number, part in enumerate(parts if abs(photo_id) <= MAX_INTEGER else ()):
        row = connection.execute(sa.select(*part.by).where(photos.c.id == photo_id, part.of)).first()
        if row is not None:
            return number, tuple(row)
    raise LookupError(photo_id)
