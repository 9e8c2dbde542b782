"""The files that go with photos, as the catalog keeps them; and what of one photo another takes over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from birdsearch.files import with_trailing_slash
from birdsearch.storage.catalog.database import present, roots_of, split_path, where_in
from birdsearch.storage.catalog.tables import Row, companions, photos, roots

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
    return map(_companion, connection.execute(_PATH))


def write(connection: sa.Connection, new: Mapping[int, Iterable[Companion]]) -> None:
    """Replace the companions of these photos; a photo that has gone is left."""
    if not new:
        return
    where_in(connection, sa.delete(companions), companions.c.photo_id, list(new))
    there, folders = present(connection, photos, list(new)), roots_of(connection)
    rows = [_row(one, folders) for photo_id, ones in new.items() if photo_id in there for one in ones]
    if rows:
        connection.execute(sa.insert(companions), rows)


def move_root(connection: sa.Connection, old: int, new: int, prefix: bytes) -> None:
    """Let one root take over the companions below another, whose path from it is the prefix."""
    rows = connection.execute(sa.delete(companions).where(companions.c.root_id == old).returning(*companions.c))
    moved = [{**row._mapping, "root_id": new, "relative": prefix + row.relative} for row in rows]
    if moved:
        connection.execute(sa.insert(companions), moved)


def _companion(row: sa.Row[tuple[object, ...]]) -> Companion:
    path = with_trailing_slash(row.path) + row.relative
    return Companion(path, row.photo_id, row.kind, row.size, row.mtime_ns)


def _row(one: Companion, folders: dict[int, bytes]) -> Row:
    root_id, relative = split_path(one.path, folders)
    known = {"photo_id": one.photo_id, "kind": one.kind, "size": one.size, "mtime_ns": one.mtime_ns}
    return {**known, "root_id": root_id, "relative": relative}
