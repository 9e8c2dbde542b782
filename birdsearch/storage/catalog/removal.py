"""How the catalog follows when a photo goes, and how every row comes back as it was."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import sqlalchemy as sa

from birdsearch.files import with_trailing_slash
from birdsearch.records import BOX, BY_HAND, FRAME, missing_metadata, shown
from birdsearch.storage.catalog import changes, kept
from birdsearch.storage.catalog.commits import AUTHORITY, derive_species
from birdsearch.storage.catalog.database import (
    ids_at,
    insert_or_ignore,
    present,
    roots_of,
    split_path,
    where_in,
)
from birdsearch.storage.catalog.tables import (
    Row,
    companions,
    labels,
    metadata,
    not_duplicates,
    parts,
    photos,
    regions,
)

Rows = dict[str, list[Row]]  # table -> rows as JSON takes them


@dataclass(frozen=True, slots=True)
class DeletedPhoto:
    """A photo that goes, and the photo that stays for it."""

    number: int  # of the caller's own
    photo_id: int
    path: bytes
    kept_id: int | None
    merge: bool  # whether the two are one picture: what is known of one holds for the other
    rows: Rows


@dataclass(frozen=True, slots=True)
class Merge:
    """What a photo that stays took over from one that went."""

    number: int  # that of the DeletedPhoto
    kept: int  # id of the photo that stays
    columns: Mapping[str, tuple[Any, Any]]  # of `photos` -> value before, value taken over
    label: Row | None  # the row of `labels` that was added

    def as_json(self) -> Mapping[str, Any]:
        """The merge as a journal keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        return cls(**stored)


def snapshot_rows(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Rows]:
    """Photo id -> every row that says something of the photo, in any table."""
    kept: dict[int, Rows] = {photo_id: {} for photo_id in ids}
    for table in metadata.sorted_tables:
        for column in _photo_columns(table):
            for row in where_in(connection, sa.select(table), column, ids):
                values = {name: _to_json(value) for name, value in row._mapping.items()}
                kept[values[column.name]].setdefault(table.name, []).append(values)
    return kept


def _photo_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that hold the id of a photo."""
    if table is photos:
        return [photos.c.id]
    return [c for c in table.c if any(key.column is photos.c.id for key in c.foreign_keys)]


def _to_json(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) and set(value) == {"hex"} else value


# A photo goes -------------------------------------------------------------------------------------------------------


def delete_and_merge(connection: sa.Connection, deleted: Sequence[DeletedPhoto]) -> list[Merge]:
    """Take these photos out of the catalog, after the photos that stay took over what they lack.

    Returns what was taken over, for `revert_merges`. A photo that the catalog lost is passed over.
    """
    ids = ids_at(connection, [one.path for one in deleted])
    deleted = [one for one in deleted if ids.get(one.path) == one.photo_id]
    merges = _take_over(connection, [one for one in deleted if one.merge])
    delete_photos(connection, [one.photo_id for one in deleted])
    derive_species(connection, [merge.kept for merge in merges])
    return merges


def inherit(connection: sa.Connection, heirs: Mapping[int, int], *, forget: bool) -> None:
    """Photos take over what was said of others (id -> heir): labels, notes and so on, pairs that are no duplicates.

    Of two corrections the newer one counts. Boxes that a person gave come along where the photo is forgotten.
    """
    here = present(connection, photos, [*heirs, *heirs.values()])
    heirs = {photo: heir for photo, heir in heirs.items() if {photo, heir} <= here}
    rows = snapshot_rows(connection, [*heirs, *heirs.values()])
    _drop_older_corrections(connection, [(rows[heir], rows[photo]) for photo, heir in heirs.items()])
    folders = roots_of(connection)
    going = []
    for photo, heir in heirs.items():
        (row,) = rows[photo]["photos"]
        path = with_trailing_slash(folders[row["root_id"]]) + _from_json(row["relative"])
        going.append(DeletedPhoto(photo, photo, path, heir, merge=True, rows=rows[photo]))
        pairs = [{**pair, **_renamed(pair, photo, heir)} for pair in rows[photo].get("not_duplicates", [])]
        if pairs := [pair for pair in pairs if pair["a"] != pair["b"]]:
            insert_or_ignore(connection, not_duplicates, pairs)
        if forget and row["found_by"] == BY_HAND != rows[heir]["photos"][0]["found_by"]:
            _move_boxes(connection, photo, heir)
    _take_over(connection, going)
    if forget:
        delete_photos(connection, list(heirs))
    derive_species(connection, list(heirs.values()))
    changes.note(connection, heirs.values())


def _move_boxes(connection: sa.Connection, photo: int, heir: int) -> None:
    """The boxes that a person gave for a photo become those of another one, and wait for a vector."""
    boxes = regions.c.kind != FRAME
    connection.execute(sa.delete(regions).where(boxes, regions.c.photo_id == heir))
    changes.note(connection, [heir])
    moved = {"photo_id": heir, "part_id": None, "row": None}
    connection.execute(sa.update(regions).where(boxes, regions.c.photo_id == photo).values(moved))
    connection.execute(sa.update(photos).where(photos.c.id == heir).values(found_by=BY_HAND))


def _drop_older_corrections(connection: sa.Connection, both: Sequence[tuple[Rows, Rows]]) -> None:
    """The correction of an heir goes where that of the photo which it follows is not older."""
    for heir, photo in both:
        mine, other = (
            next((row for row in rows.get("labels", []) if row["source"] == "correction"), None)
            for rows in (heir, photo)
        )
        if mine and other and (mine["created_at"] or "") <= (other["created_at"] or ""):
            same = labels.c.photo_id == mine["photo_id"], labels.c.source == "correction"
            connection.execute(sa.delete(labels).where(*same))


def _renamed(pair: Row, photo: int, heir: int) -> Row:
    """A pair of ids, the lower one first, with the heir in the place of a photo."""
    a, b = sorted(heir if number == photo else number for number in (pair["a"], pair["b"]))
    return {"a": a, "b": b}


def _take_over(connection: sa.Connection, deleted: Sequence[DeletedPhoto]) -> list[Merge]:
    """Let the photos that stay take over what they lack; returns what that was."""
    merges = _merges(connection, deleted)
    for merge in merges:
        if values := {name: new for name, (_, new) in merge.columns.items()}:
            connection.execute(sa.update(photos).where(photos.c.id == merge.kept).values(values))
        if merge.label:
            connection.execute(sa.insert(labels).values(merge.label))
    changes.note(connection, [merge.kept for merge in merges])
    return merges


def delete_photos(connection: sa.Connection, photo_ids: Sequence[int]) -> None:
    """Take photos out of the catalog; what people said of them is kept by their bytes."""
    kept.keep(connection, photo_ids)
    where_in(connection, sa.delete(photos), photos.c.id, photo_ids)
    changes.note(connection, photo_ids)


def _merges(connection: sa.Connection, deleted: Sequence[DeletedPhoto]) -> list[Merge]:
    """What each photo that stays takes over, one after the other."""
    kept = snapshot_rows(connection, sorted({one.kept_id for one in deleted if one.kept_id is not None}))
    merges: list[Merge] = []
    for one in deleted:
        if one.kept_id is None or "photos" not in (rows := kept[one.kept_id]):
            continue  # the photo that stays is not in the index
        had = rows["photos"][0]
        taken = missing_metadata(had, one.rows["photos"][0])
        columns = {name: (had[name], value) for name, value in taken.items() if had[name] != value}
        label = _label(rows.get("labels", []), one)
        if columns or label:
            had |= taken
            rows.setdefault("labels", []).extend([label] if label else [])
            merges.append(Merge(one.number, one.kept_id, columns, label))
    return merges


def _label(have: Sequence[Mapping[str, Any]], deleted: DeletedPhoto) -> Row | None:
    """The label to take over: a correction where there is none yet, anything where there is no label at all.

    The label of a folder, a CSV or keywords becomes a correction: the photo that stays has none of its own, and would
    lose it again at the next run of `index`. It has no time: no person has confirmed it.
    """
    assert deleted.kept_id is not None
    by_source = {row["source"]: row for row in deleted.rows.get("labels", [])}
    sources = AUTHORITY[:1] if have else AUTHORITY
    best = next((by_source[source] for source in sources if source in by_source), None)
    if best is None or any(row["source"] == "correction" for row in have):
        return None
    if best["source"] == "correction":
        return {**best, "photo_id": deleted.kept_id}
    origin = f"{best['source']} label of {shown(os.fsdecode(deleted.path))}"
    author = best["author"] or origin
    return {**best, "photo_id": deleted.kept_id, "source": "correction", "author": author}


# A photo comes back -------------------------------------------------------------------------------------------------


def revert_merges(connection: sa.Connection, merges: Sequence[Merge]) -> None:
    """Take from the photos that stayed what they took over; what was changed since then stays."""
    for merge in merges:
        for name, (old, new) in merge.columns.items():
            same = sa.and_(photos.c.id == merge.kept, photos.c[name].is_not_distinct_from(new))
            connection.execute(sa.update(photos).where(same).values({name: old}))
        if merge.label:
            same = sa.and_(*(labels.c[name].is_not_distinct_from(value) for name, value in merge.label.items()))
            connection.execute(sa.delete(labels).where(same))
    derive_species(connection, [merge.kept for merge in merges])
    changes.note(connection, [merge.kept for merge in merges])


def restore_rows(connection: sa.Connection, snapshots: Mapping[bytes, tuple[int, Rows]]) -> dict[bytes, str]:
    """Put the rows of photos back: path -> (id, rows). Returns what could not be, in words, by path."""
    notes: dict[bytes, str] = {}
    there = present(connection, photos, [photo_id for photo_id, _ in snapshots.values()])
    taken = ids_at(connection, list(snapshots))
    for path, (photo_id, rows) in snapshots.items():
        if photo_id in there:
            if not rows["photos"][0]["missing"]:
                connection.execute(sa.update(photos).where(photos.c.id == photo_id).values(missing=False))
        elif path in taken:
            notes[path] = "the file is back, but the index holds another photo there: run `birdsearch index`"
        elif not _insert_photo(connection, path, rows["photos"][0]):
            notes[path] = "the file is back, but its folder is no longer in the index: run `birdsearch index`"
    back = {path: rows for path, (_, rows) in snapshots.items() if path not in notes}
    lost = _insert_rest(connection, back, {path for path in back if snapshots[path][0] not in there})
    kept.forget_restored(connection)
    changes.note(connection, [photo_id for photo_id, _ in snapshots.values()])
    for path in lost:
        # As where a part was dropped: the photo looks changed to the next run, which embeds it again.
        connection.execute(sa.update(photos).where(photos.c.id == snapshots[path][0]).values(sha256="", size=-1))
        notes[path] = "back, but its vector is no longer in the index: run `birdsearch index` to make it again"
    return notes


def _insert_photo(connection: sa.Connection, path: bytes, row: Mapping[str, Any]) -> bool:
    # A folder above may have taken over the root meanwhile.
    try:
        root_id, relative = split_path(path, roots_of(connection))
    except ValueError:
        return False
    values = {name: _from_json(value) for name, value in row.items() if name in photos.c}
    connection.execute(sa.insert(photos).values({**values, "root_id": root_id, "relative": relative}))
    return True


def _insert_rest(connection: sa.Connection, back: Mapping[bytes, Rows], fresh: set[bytes]) -> set[bytes]:
    """The rows of other tables whose partners are there; returns the photos whose region has lost its part.

    Of a photo that was in the catalog all the time only what ties it to another photo can be lost.
    """
    lost: set[bytes] = set()
    for table in metadata.sorted_tables:
        if table is photos:
            continue
        tied = len(_photo_columns(table)) > 1
        restored = [
            (path, row) for path, rows in back.items() if tied or path in fresh for row in rows.get(table.name, [])
        ]
        if table is companions:
            restored = [(path, _under_roots(connection, path, row, back[path])) for path, row in restored]
        for key in table.foreign_keys:
            column, owner = key.parent.name, key.column.table
            there = present(connection, owner, sorted({row[column] for _, row in restored} - {None}))
            if owner is parts:
                lost |= {path for path, row in restored if _is_frame(row) and row[column] not in there}
                restored = [(path, _without_lost_part(row, there)) for path, row in restored]
            restored = [(path, row) for path, row in restored if row[column] is None or row[column] in there]
        values = [{name: _from_json(value) for name, value in row.items() if name in table.c} for _, row in restored]
        insert_or_ignore(connection, table, values)
    return lost


def _under_roots(connection: sa.Connection, path: bytes, row: Row, rows: Rows) -> Row:
    """A row of companions under the root of today: a folder above may have taken over that of then."""
    folders, photo = roots_of(connection), rows["photos"][0]
    if row["root_id"] in folders or row["root_id"] != photo["root_id"]:
        return row
    root = path.removesuffix(_from_json(photo["relative"]))
    root_id, relative = split_path(root + _from_json(row["relative"]), folders)
    return {**row, "root_id": root_id, "relative": relative}


def _is_frame(row: Row) -> bool:
    return bool(row.get("kind", FRAME) == FRAME)  # before tables 0009 there was no other kind


def _without_lost_part(row: Row, present: set[int]) -> Row:
    """A row of regions; a box whose part is gone waits for a vector."""
    waits = row.get("kind") == BOX and row["part_id"] not in present
    return row | {"part_id": None, "row": None} if waits else row
