"""The files that go with photos, as the catalog keeps them; and what of one photo another takes over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from birdsearch.files import with_trailing_slash
from birdsearch.storage.catalog.database import insert_columns, present, roots_of, split_paths, streamed, where_in
from birdsearch.storage.catalog.tables import companions, photos, roots

_PATH = sa.select(companions, roots.c.path).join(roots)


@dataclass(frozen=True, slots=True, order=True)
class Companion:
    """A file that goes with a photo, and the state that it was in."""

    path: bytes
    photo_id: int
    kind: str  # of sidecars.companion_kind
    size: int
    mtime_ns: int


def of_photos(connection: sa.Connection, photo_ids: Sequence[int]) -> dict[int, list[Companion]]:
    """Photo id -> its companions by their paths; photos without one are left out."""
    found: dict[int, list[Companion]] = {}
    for one in sorted(map(_companion, where_in(connection, _PATH, companions.c.photo_id, photo_ids))):
        found.setdefault(one.photo_id, []).append(one)
    return found


def every(connection: sa.Connection) -> Iterable[Companion]:
    """All companions of all photos."""
    return map(_companion, streamed(connection, _PATH))


def write(connection: sa.Connection, new: Mapping[int, Iterable[Companion]]) -> None:
    """Replace the companions of these photos; a photo that has gone is left."""
    if not new:
        return
    where_in(connection, sa.delete(companions), companions.c.photo_id, list(new))
    there = present(connection, photos, list(new))
    ones = [one for photo_id, its in new.items() if photo_id in there for one in its]
    places = split_paths([one.path for one in ones], roots_of(connection))
    columns = {name: [getattr(one, name) for one in ones] for name in ("photo_id", "kind", "size", "mtime_ns")}
    columns |= {"root_id": [root_id for root_id, _ in places], "relative": [relative for _, relative in places]}
    insert_columns(connection, companions, columns)


def move_root(connection: sa.Connection, old: int, new: int, prefix: bytes) -> None:
    """Let one root take over the companions below another, whose path from it is the prefix."""
    rows = connection.execute(sa.delete(companions).where(companions.c.root_id == old).returning(*companions.c))
    moved = [{**row._mapping, "root_id": new, "relative": prefix + row.relative} for row in rows]
    if moved:
        connection.execute(sa.insert(companions), moved)


def _companion(row: sa.Row[tuple[object, ...]]) -> Companion:
    path = with_trailing_slash(row.path) + row.relative
    return Companion(path, row.photo_id, row.kind, row.size, row.mtime_ns)
