"""Regions of the catalog besides the frames: what is known of them, and how one comes by its vector or loses it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from birdsearch.records import BIRD, BOX, BY_HAND, FRAME, KINDS, MOST_REGIONS, Box, Region
from birdsearch.storage.catalog import changes
from birdsearch.storage.catalog.database import streamed, where_in
from birdsearch.storage.catalog.tables import DamagedValueError, Row, photos, regions


@dataclass(frozen=True, slots=True)
class StoredRegion:
    """A region of the catalog, with its id."""

    id: int
    region: Region


@dataclass(frozen=True, slots=True)
class RegionEntry:
    """A region that is not a frame, ready to be committed."""

    id: int
    region: Region
    row: int | None = None  # of the part of its batch; None: it has no vector


def stored(rows: Iterable[Any]) -> list[StoredRegion]:
    """Rows of the table as regions. Raises DamagedValueError for one that cannot be."""
    found = []
    for row in rows:
        if row.kind not in KINDS:
            raise DamagedValueError(f"regions.kind is {row.kind!r:.80}")
        try:
            box = Box(row.x, row.y, row.width, row.height)
        except ValueError as error:
            raise DamagedValueError(f"region {row.id}: {error}") from error
        known = row.category, row.confidence, row.source
        found.append(StoredRegion(row.id, Region(row.photo_id, box, row.kind, *known, row.part_id is not None)))
    return found


def write(connection: sa.Connection, entries: Sequence[RegionEntry], gone: Sequence[int], part_id: int | None) -> None:
    """Take regions out of the table, and put others in; those of a row have their vector in this part."""
    _forget(connection, gone)
    rows: list[Row] = [
        {
            "id": entry.id,
            "photo_id": entry.region.photo_id,
            "part_id": None if entry.row is None else part_id,
            "row": entry.row,
            **{name: getattr(entry.region.box, name) for name in ("x", "y", "width", "height")},
            **{name: getattr(entry.region, name) for name in ("kind", "category", "confidence", "source")},
        }
        for entry in entries
    ]
    if rows:
        connection.execute(sa.insert(regions), rows)


def _forget(connection: sa.Connection, gone: Sequence[int]) -> None:
    boxes = regions.c.kind != FRAME
    of = where_in(connection, sa.select(regions.c.photo_id).where(boxes), regions.c.id, gone)
    where_in(connection, sa.delete(regions).where(boxes), regions.c.id, gone)
    changes.note(connection, {photo_id for (photo_id,) in of})


def set_found_by(connection: sa.Connection, found_by: Iterable[tuple[int, str | None]]) -> None:
    """Note which finder has searched which photos."""
    by_finder: dict[str | None, list[int]] = {}
    for photo_id, finder in found_by:
        by_finder.setdefault(finder, []).append(photo_id)
    for finder, ids in by_finder.items():
        where_in(connection, sa.update(photos).values(found_by=finder), photos.c.id, ids)


def forget_vectors(connection: sa.Connection, photo_ids: Sequence[int]) -> None:
    """The files of photos have changed: their frames go, boxes wait for a vector, birds are to be found again."""
    where_in(connection, sa.delete(regions).where(regions.c.kind != BOX), regions.c.photo_id, photo_ids)
    where_in(connection, sa.update(regions).values(part_id=None, row=None), regions.c.photo_id, photo_ids)
    again = sa.update(photos).values(found_by=None).where(photos.c.found_by != BY_HAND)
    where_in(connection, again, photos.c.id, photo_ids)


def drop_vectors(connection: sa.Connection, mine: sa.ColumnElement[bool]) -> None:
    """As above, for the regions of a condition, whose vectors are lost."""
    changes.note(connection, connection.scalars(sa.select(regions.c.photo_id).where(mine).distinct()))
    birds = sa.select(regions.c.photo_id).where(mine, regions.c.kind == BIRD)
    connection.execute(sa.update(photos).values(found_by=None).where(photos.c.id.in_(birds)))
    connection.execute(sa.delete(regions).where(mine, regions.c.kind != BOX))
    connection.execute(sa.update(regions).values(part_id=None, row=None).where(mine))


def problems(connection: sa.Connection) -> list[str]:
    """Breaches of what the format says of regions, in words."""
    is_whole = sa.and_(regions.c.x == 0, regions.c.y == 0, regions.c.width == 1, regions.c.height == 1)
    usual = sa.and_(regions.c.kind == FRAME, is_whole, regions.c.part_id.is_not(None))
    found = []
    for row in streamed(connection, sa.select(regions).where(sa.not_(usual)).order_by(regions.c.id)):
        try:
            if stored([row])[0].region.kind == FRAME:
                found.append(f"region {row.id} is the frame of photo {row.photo_id}, and not all of it with a vector")
        except DamagedValueError as error:
            found.append(str(error))
    embedded = sa.select(regions.c.photo_id).where(regions.c.kind != FRAME, regions.c.part_id.is_not(None))
    more = embedded.group_by(regions.c.photo_id).having(sa.func.count() > MOST_REGIONS)
    found += [
        f"photo {photo_id} has more than {MOST_REGIONS} regions with a vector besides its frame"
        for photo_id in connection.scalars(more.order_by(regions.c.photo_id))
    ]
    return found
