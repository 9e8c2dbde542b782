"""Which photos an engine on a server has yet to hear of: it keeps copies of their facts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from birdsearch.storage.catalog.database import put_state, where_in
from birdsearch.storage.catalog.tables import CHANGED, MAX_INTEGER, photos, regions, state

MOST = 50_000  # photos that are remembered one by one
COPIED = ("species", "label", "taken_at", "latitude", "longitude", "camera", "width")  # columns of photos


def note(connection: sa.Connection, photo_ids: Iterable[int]) -> None:
    """Remember, inside the caller's transaction, that these photos, their facts or their regions have changed.

    Nothing is remembered where the index has no engine on a server: the key is missing then.
    """
    known = connection.scalar(sa.select(state.c.value).where(state.c.key == CHANGED))
    if known is None:
        return
    before = changed(known)
    after = None if before is None else [*before, *map(int, photo_ids)]
    put_state(connection, CHANGED, {"photos": after if after is None or len(after) <= MOST else None})


def changed(value: Any) -> list[int] | None:
    """The photos that were remembered, with repetitions; None where they may be any."""
    noted = value.get("photos") if isinstance(value, dict) else None
    sound = isinstance(noted, list) and all(type(one) is int and 0 <= one <= MAX_INTEGER for one in noted)
    return noted if sound else None


def heard(connection: sa.Connection, count: int | None) -> None:
    """Forget the first of what was remembered: an engine has them; None for all, of which nobody knows the number."""
    noted = changed(connection.scalar(sa.select(state.c.value).where(state.c.key == CHANGED)))
    put_state(connection, CHANGED, {"photos": [] if count is None else noted and noted[count:]})


def facets(connection: sa.Connection, region_ids: Sequence[int]) -> Mapping[int, Sequence[Any]]:
    """Region id -> its photo, and what that has in the columns that engines copy."""
    query = sa.select(regions.c.id, regions.c.photo_id, *(photos.c[name] for name in COPIED)).join(photos)
    return {region_id: facts for region_id, *facts in where_in(connection, query, regions.c.id, region_ids)}
