"""What people said of a photo is said of its bytes: it outlives the photo in the catalog and returns with the bytes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from birdsearch.records import Label
from birdsearch.storage.catalog.database import insert_or_ignore, insert_or_replace, where_in
from birdsearch.storage.catalog.tables import Row, kept_labels, kept_not_duplicates, labels, not_duplicates, photos

_CORRECTIONS = (
    sa.select(photos.c.sha256, labels.c.species, labels.c.author, labels.c.created_at)
    .join(labels)
    .where(labels.c.source == "correction", photos.c.sha256 != "")
)
_CONTENTS = sa.select(photos.c.sha256, photos.c.id)
_IS_KEPT = sa.or_(sa.exists(sa.select(kept_labels)), sa.exists(sa.select(kept_not_duplicates)))
_ONE, _OTHER = photos.alias("one"), photos.alias("other")


def keep(connection: sa.Connection, photo_ids: Sequence[int]) -> None:
    """Before photos go: keep their corrections, and the pairs of them that are not duplicates."""
    said = _newest_last(where_in(connection, _CORRECTIONS, photos.c.id, photo_ids))
    insert_or_replace(connection, kept_labels, said)
    for side in (_ONE, _OTHER):
        keep_pairs(connection, where_in(connection, _known_pairs(), side.c.id, photo_ids))


def keep_pairs(connection: sa.Connection, pairs: Iterable[Iterable[str | None]]) -> None:
    """Keep pairs of sha256 that are not duplicates, with the time when that was said."""
    rows = [{"sha256_a": min(a, b), "sha256_b": max(a, b), "created_at": at} for a, b, at in pairs if a and b]
    insert_or_replace(connection, kept_not_duplicates, rows)


def all_pairs(connection: sa.Connection) -> list[tuple[str, str, str | None]]:
    """Pairs of sha256 that are not duplicates, of photos that are there and that are not."""
    found = [*connection.execute(_known_pairs()), *connection.execute(sa.select(kept_not_duplicates))]
    return sorted({(min(a, b), max(a, b)): (min(a, b), max(a, b), at) for a, b, at in found}.values())


def give_back(connection: sa.Connection, photo_ids: Sequence[int], *, of_copies: bool = True) -> None:
    """Give photos that have come what people said of their bytes: once, or (`of_copies`) of a copy that is there."""
    if not of_copies and not connection.scalar(sa.select(_IS_KEPT)):
        return
    query = sa.select(photos.c.id, photos.c.sha256).where(photos.c.sha256 != "")
    come: dict[int, str] = {row.id: row.sha256 for row in where_in(connection, query, photos.c.id, photo_ids)}
    contents = sorted(set(come.values()))
    said = where_in(connection, sa.select(kept_labels), kept_labels.c.sha256, contents)
    if of_copies:
        said += where_in(connection, _CORRECTIONS, photos.c.sha256, contents)
    words = {row["sha256"]: row for row in _newest_last(said)}
    rows = [
        {name: value for name, value in words[sha256].items() if name != "sha256"}
        | {"photo_id": photo_id, "source": "correction"}
        for photo_id, sha256 in come.items()
        if sha256 in words
    ]
    insert_or_ignore(connection, labels, rows)  # what was said of the photo itself counts
    where_in(connection, sa.delete(kept_labels), kept_labels.c.sha256, contents)
    for side in (kept_not_duplicates.c.sha256_a, kept_not_duplicates.c.sha256_b):
        pairs = where_in(connection, _pairs_of_bytes(), side, contents)
        insert_or_ignore(connection, not_duplicates, [{"a": a, "b": b, "created_at": at} for a, b, at in pairs])
    _forget_known_pairs(connection)


def pairs_of_bytes(connection: sa.Connection) -> set[tuple[int, int]]:
    """Pairs of ids (lower, higher) whose bytes are those of a kept pair: of copies that stayed when a photo went."""
    return {(a, b) for a, b, _ in connection.execute(_pairs_of_bytes())}


def forget_restored(connection: sa.Connection) -> None:
    """After the rows of photos were put back as they were: what is said of a photo again is not kept twice."""
    same = [kept_labels.c[name].is_not_distinct_from(labels.c[name]) for name in ("species", "author", "created_at")]
    again = sa.select(labels.c.photo_id).join(photos).where(labels.c.source == "correction", *same)
    connection.execute(sa.delete(kept_labels).where(again.where(photos.c.sha256 == kept_labels.c.sha256).exists()))
    _forget_known_pairs(connection)


def forget(connection: sa.Connection, photo_ids: Sequence[int]) -> dict[str, Label]:
    """Somebody says something new of these photos: what was kept of their bytes no longer holds, and is returned."""
    ids = {sha256: i for sha256, i in where_in(connection, _CONTENTS, photos.c.id, photo_ids) if sha256}
    kept = where_in(connection, sa.delete(kept_labels).returning(*kept_labels.c), kept_labels.c.sha256, list(ids))
    return {row.sha256: Label(ids[row.sha256], row.species, "correction", row.author, row.created_at) for row in kept}


def keep_labels(connection: sa.Connection, said: Mapping[str, Label]) -> None:
    """Keep what `forget` returned."""
    rows = [
        {"sha256": sha256, "species": label.species, "author": label.author, "created_at": label.created_at}
        for sha256, label in said.items()
    ]
    insert_or_replace(connection, kept_labels, rows)


def forget_pair(connection: sa.Connection, a: int, b: int) -> None:
    """Two photos may be duplicates again: neither they nor their bytes are kept apart."""
    connection.execute(
        sa.delete(not_duplicates).where(not_duplicates.c.a == min(a, b), not_duplicates.c.b == max(a, b))
    )
    contents = sorted(sha256 for sha256, _ in where_in(connection, _CONTENTS, photos.c.id, [a, b]))
    if len(contents) == 2:
        pair = kept_not_duplicates.c.sha256_a == contents[0], kept_not_duplicates.c.sha256_b == contents[1]
        connection.execute(sa.delete(kept_not_duplicates).where(*pair))


def _known_pairs() -> sa.Select[Any]:
    pairs = sa.select(_ONE.c.sha256, _OTHER.c.sha256, not_duplicates.c.created_at).select_from(not_duplicates)
    pairs = pairs.join(_ONE, _ONE.c.id == not_duplicates.c.a).join(_OTHER, _OTHER.c.id == not_duplicates.c.b)
    return pairs.where(_ONE.c.sha256 != "", _OTHER.c.sha256 != "")


def _pairs_of_bytes() -> sa.Select[Any]:
    one, other = _ONE.c.id, _OTHER.c.id
    ordered = sa.case((one < other, one), else_=other), sa.case((one < other, other), else_=one)
    query = sa.select(*ordered, kept_not_duplicates.c.created_at).select_from(kept_not_duplicates)
    query = query.join(_ONE, _ONE.c.sha256 == kept_not_duplicates.c.sha256_a)
    return query.join(_OTHER, sa.and_(_OTHER.c.sha256 == kept_not_duplicates.c.sha256_b, one != other))


def _forget_known_pairs(connection: sa.Connection) -> None:
    kept, known = kept_not_duplicates, not_duplicates
    pairs = sa.select(known.c.a).join(_ONE, _ONE.c.id == known.c.a).join(_OTHER, _OTHER.c.id == known.c.b)
    same = sa.or_(
        sa.and_(_ONE.c.sha256 == kept.c.sha256_a, _OTHER.c.sha256 == kept.c.sha256_b),
        sa.and_(_ONE.c.sha256 == kept.c.sha256_b, _OTHER.c.sha256 == kept.c.sha256_a),
    )
    connection.execute(sa.delete(kept).where(pairs.where(same).exists()))


def _newest_last(rows: Sequence[sa.Row[tuple[str, str, str | None, str | None]]]) -> list[Row]:
    return sorted((dict(row._mapping) for row in rows), key=lambda row: row["created_at"] or "")
