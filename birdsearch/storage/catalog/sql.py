"""The catalog: photos, regions, labels, predictions, failures and parts in the tables of one database."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from birdsearch.errors import PhotoUnknownError
from birdsearch.files import SHARD_SIGN, FileState, PathSet, above, known_spelling, with_trailing_slash
from birdsearch.memory import PHOTOS_AT_ONCE
from birdsearch.records import BY_HAND, FRAME, Failure, Filter, Ids, Label, Photo, Prediction, Region, batched, shown
from birdsearch.storage.catalog import changes, commits, companion_rows, kept, orders, region_rows, removal
from birdsearch.storage.catalog import renewal as renewing
from birdsearch.storage.catalog.catalog import (
    EmbeddedCopy,
    FolderLabel,
    KnownFile,
    KnownPhoto,
    Location,
    PairOfBytes,
    PhotoSummary,
)
from birdsearch.storage.catalog.commits import (
    AUTHORITY,
    FILE,
    STATE,
    STORED,
    Batch,
    PartRow,
    PhotoUpdate,
    Said,
    of_network,
    update_each,
)
from birdsearch.storage.catalog.companion_rows import Companion
from birdsearch.storage.catalog.database import (
    BLOCK,
    Database,
    ids_at,
    insert_or_replace,
    roots_of,
    split_path,
    streamed,
    under_roots,
    where_in,
)
from birdsearch.storage.catalog.filters import conditions, in_stored_words, inside
from birdsearch.storage.catalog.region_rows import StoredRegion
from birdsearch.storage.catalog.removal import DeletedPhoto, Merge, Rows
from birdsearch.storage.catalog.renewal import Renewal
from birdsearch.storage.catalog.tables import (
    DamagedValueError,
    companions,
    failures,
    frames,
    is_visible,
    keywords_value,
    label_sources,
    labels,
    not_duplicates,
    optional,
    parts,
    photos,
    predictions,
    regions,
    roots,
)

_COMPANION_FILES = sa.select(companions.c.root_id, companions.c.relative).distinct().subquery()
_ITS_FRAME = frames.c.photo_id == photos.c.id
_WITH_BYTES = sa.select(photos.c.id).join(frames, _ITS_FRAME).where(photos.c.sha256 == sa.bindparam("sha256")).limit(1)

FEW = 16  # folders within a root, beyond which all of it is walked through


class SQLCatalog(Database):
    """A catalog in SQL. Any number of readers in any process; the caller holds the index's lock while writing."""

    def _rows(self, query: sa.Select[Any]) -> Iterator[Any]:
        """The rows that a query gives, in a transaction of its own."""
        with self.transaction() as connection:
            yield from streamed(connection, query)

    def _visible_rows(self, query: sa.Select[Any], where: Filter | None) -> Iterator[Any]:
        """The rows of visible photos that satisfy the filter."""
        with self.transaction() as connection:
            yield from streamed(connection, query.where(*conditions(where, connection)))

    def _visible_count(self, query: sa.Select[Any], where: Filter | None) -> int:
        """How many of the visible photos that satisfy the filter a query counts."""
        with self.transaction() as connection:
            return int(connection.scalar(query.where(*conditions(where, connection))) or 0)

    def _rows_in(self, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Iterable[int]) -> list[Any]:
        """The rows whose column has one of the values."""
        with self.transaction() as connection:
            return where_in(connection, query, column, [int(value) for value in values])

    def new_ids(self, photos: int = 0, regions: int = 0) -> tuple[int, int]:
        """The first of so many photo ids, and of so many region ids, that follow one another; none is used twice."""
        with self.change() as connection:
            return self._dialect.new_ids(connection, photos, regions)

    # Folders and files

    def roots(self) -> dict[int, bytes]:
        """Root id -> folder."""
        with self.transaction() as connection:
            return roots_of(connection)

    def roots_in_use(self) -> list[bytes]:
        """The folders that hold photos."""
        # One look into the photos for each folder: every answer of a server asks for this, `in` would read all photos.
        query = sa.select(roots.c.path).where(sa.exists().where(photos.c.root_id == roots.c.id)).order_by(roots.c.path)
        return [path for (path,) in self._rows(query)]

    def ensure_root(self, folder: bytes) -> None:
        """Make sure that a root covers this folder: one above it, or a new one that takes over those below."""
        with self.change() as connection:
            have = roots_of(connection)
            if any(folder == path or folder.startswith(with_trailing_slash(path)) for path in have.values()):
                return
            new = connection.scalar(sa.insert(roots).values(path=folder).returning(roots.c.id))
            for old, path in have.items():
                if not path.startswith(with_trailing_slash(folder)):
                    continue
                prefix = path[len(with_trailing_slash(folder)) :] + b"/"
                if os.path.realpath(path) + b"/" != with_trailing_slash(os.path.realpath(folder)) + prefix:
                    continue  # it lies elsewhere: its spelling leads through a link
                inner = connection.execute(sa.select(photos.c.id, photos.c.relative).where(photos.c.root_id == old))
                moved = [PhotoUpdate(i, {"root_id": new, "relative": prefix + name}) for i, name in inner]
                update_each(connection, moved)
                companion_rows.move_root(connection, old, new or 0, prefix)
                connection.execute(sa.delete(roots).where(roots.c.id == old))

    def split_path(self, path: bytes) -> tuple[int, bytes]:
        """A path as (root id, path under it); its root must be settled."""
        return split_path(path, self.roots())

    def newest_photo(self) -> int:
        """The highest id of a photo; 0 where there is none."""
        with self.transaction() as connection:
            return connection.scalar(sa.select(photos.c.id).order_by(photos.c.id.desc()).limit(1)) or 0

    def photos_under(self, folders: Sequence[bytes]) -> Iterator[KnownPhoto]:
        """Every photo under the folders, missing ones included, by path within each root; a folder may be a photo."""
        for prefix, row in self._walk(sa.select(photos.c.relative, photos.c.id, photos.c.missing), folders):
            yield KnownPhoto(row.id, prefix + row.relative, row.missing)

    def _walk(self, query: sa.Select[Any], folders: Sequence[bytes]) -> Iterator[tuple[bytes, Any]]:
        """Folder of the root and row of every photo under some folders, by path; the query begins with the path.

        Each block is a question of its own, which walks along the index of paths: memory holds no more than one, and
        the index may be changed meanwhile.
        """
        named = PathSet(folders)
        for root_id, root in sorted(self.roots().items(), key=lambda each: with_trailing_slash(each[1])):
            prefix = with_trailing_slash(root)
            for low, high in [(b"", None)] if root in named else _spans(prefix, folders):
                inside = [photos.c.root_id == root_id, *([] if high is None else [photos.c.relative < high])]
                last = photos.c.relative >= low
                while True:
                    with self.transaction() as connection:
                        paged = query.where(*inside, last).order_by(photos.c.relative).limit(BLOCK)
                        rows = connection.execute(paged).all()
                    yield from ((prefix, row) for row in rows if root in named or prefix + row.relative in named)
                    if len(rows) < BLOCK:
                        break
                    last = photos.c.relative > rows[-1].relative

    def files_at(self, paths: Sequence[bytes]) -> dict[bytes, KnownFile]:
        """What the catalog knows of those of these files that it knows: path -> what each was."""
        known: dict[bytes, KnownFile] = {}
        with self.transaction() as connection:
            failed = paths if connection.scalar(sa.select(sa.exists(sa.select(failures)))) else ()
            for row in where_in(connection, sa.select(failures), failures.c.path, failed):
                failure = Failure(os.fsdecode(row.path), row.stage, row.reason)
                state = FileState(*(getattr(row, name) for name in STATE))
                known[row.path] = KnownFile(None, state, failure=failure)
            columns = photos.c.relative, photos.c.id, photos.c.missing, photos.c.damaged
            query = sa.select(*columns, *(photos.c[name] for name in STATE))
            for root_id, prefix, names in under_roots(paths, roots_of(connection)):
                rows = where_in(connection, query.where(photos.c.root_id == root_id), photos.c.relative, names)
                for relative, photo_id, missing, damaged, *values in rows:
                    if (failed_one := known.get(prefix + relative)) is not None:
                        # A photo whose file is broken now is hidden, and the file is judged by its failure.
                        known[prefix + relative] = replace(failed_one, photo_id=photo_id, missing=True)
                    else:
                        known[prefix + relative] = KnownFile(photo_id, FileState(*values), missing, damaged=damaged)
        return known

    def paths_with_bytes(self, sha256: str) -> dict[int, bytes]:
        """Id -> path of the photos of exactly these bytes, missing ones included."""
        query = sa.select(photos.c.id, roots.c.path, photos.c.relative).join(roots).where(photos.c.sha256 == sha256)
        rows = self._rows(query.order_by(photos.c.id))
        return {photo_id: with_trailing_slash(root) + relative for photo_id, root, relative in rows}

    def ids_with_bytes(self, sha256s: Sequence[str]) -> dict[str, list[int]]:
        """Sha256 -> ids of the photos of exactly these bytes, missing ones included."""
        found: dict[str, list[int]] = {}
        with self.transaction() as connection:
            query = sa.select(photos.c.sha256, photos.c.id).order_by(photos.c.id)
            for sha256, photo_id in where_in(connection, query, photos.c.sha256, sha256s):
                found.setdefault(sha256, []).append(photo_id)
        return found

    def embedded_copy(self, sha256: str) -> EmbeddedCopy | None:
        """A photo of exactly these bytes that has a vector."""
        query = sa.select(photos.c.id, frames.c.part_id, frames.c.row, frames.c.id).join(frames, _ITS_FRAME)
        with self.transaction() as connection:
            for photo_id, *location in connection.execute(query.where(photos.c.sha256 == sha256).limit(1)):
                return EmbeddedCopy(self._records(connection, [photo_id])[0], Location(*location))
        return None

    def has_bytes(self, sha256: str) -> bool:
        """Whether a photo of exactly these bytes has a vector."""
        with self.transaction() as connection:
            return connection.execute(_WITH_BYTES, {"sha256": sha256}).first() is not None

    # Writing

    def commit(self, batch: Batch, lay_down: Callable[[int], PartRow] | None = None) -> None:
        """Everything that a batch brought, in one transaction: the only commit point of an index.

        `lay_down` writes the part of the batch under the id that it is given: ids of parts grow from commit to commit.
        """
        with self.change() as connection:
            generation = self.bump(connection)
            if lay_down is not None:
                batch.part = lay_down(self._dialect.new_part(connection))
            commits.write(connection, batch, generation, beside_others=self._dialect.several_writers)

    def renew(self, renewal: Renewal) -> None:
        """Let the index stand on new vectors of its photos, in one transaction."""
        with self.change() as connection:
            self.bump(connection)
            renewing.write(connection, renewal)

    def stale_species(self) -> list[int]:
        """Photos whose label, species or source is not what their labels and predictions give."""
        differs = sa.or_(*(photos.c[name].is_distinct_from(value) for name, value in commits.derived_species().items()))
        return [photo_id for (photo_id,) in self._rows(sa.select(photos.c.id).where(differs).order_by(photos.c.id))]

    def derive_species(self) -> int:
        """Put right what `stale_species` names; returns how many photos that were."""
        wrong = self.stale_species()
        if wrong:
            with self.change() as connection:
                self.bump(connection)
                commits.derive_species(connection, wrong)
                changes.note(connection, wrong)
        return len(wrong)

    def has_predictions(self) -> bool:
        """Whether anything is kept of what a network said of photos."""
        return bool(list(self._rows(sa.select(predictions.c.photo_id).where(of_network).limit(1))))

    def forget_predictions(self) -> int:
        """Forget all that the network said of photos; returns how much that was."""
        with self.change() as connection:
            self.bump(connection)
            named = sa.select(predictions.c.photo_id).where(of_network).distinct()
            ids = [photo_id for (photo_id,) in streamed(connection, named)]
            forgotten = connection.execute(sa.delete(predictions).where(of_network)).rowcount
            commits.derive_species(connection, ids)
            changes.note(connection, ids)
        return forgotten

    def remove(self, photo_ids: Sequence[int]) -> None:
        """Forget these photos, with their regions, labels and predictions; corrections return with the bytes."""
        with self.change() as connection:
            self.bump(connection)
            removal.delete_photos(connection, photo_ids)

    def drop_part(self, part_id: int) -> None:
        """Forget a part and the vectors it held; the next run embeds them again.

        A photo that has lost its frame looks changed; a box waits for a vector, a bird for a finder.
        """
        with self.change() as connection:
            self.bump(connection)
            lost = sa.select(frames.c.photo_id).where(frames.c.part_id == part_id)
            kept.keep(connection, list(connection.scalars(lost)))  # the photos may be removed before they are back
            connection.execute(sa.update(photos).where(photos.c.id.in_(lost)).values(sha256="", size=-1))
            region_rows.drop_vectors(connection, regions.c.part_id == part_id)
            connection.execute(sa.delete(parts).where(parts.c.id == part_id))

    # Companions

    def companions(self, photo_ids: Iterable[int]) -> dict[int, list[Companion]]:
        """Photo id -> the files that go with it, by their paths; photos without one are left out."""
        with self.transaction() as connection:
            return companion_rows.of_photos(connection, [int(photo_id) for photo_id in photo_ids])

    def companions_under(self, folders: Sequence[bytes]) -> list[Companion]:
        """The companions that lie under some folders, once for each photo that they go with."""
        named = PathSet(folders)
        with self.transaction() as connection:
            return [one for one in companion_rows.every(connection) if one.path in named]

    def photos_with_companions(self) -> Iterator[Photo]:
        """Visible photos with which files go, in order of id."""
        with self.transaction() as connection:
            query = sa.select(photos.c.id).where(is_visible, photos.c.id.in_(sa.select(companions.c.photo_id)))
            yield from self._each(connection, connection.scalars(query.order_by(photos.c.id)).all())

    # Labels

    def label_choices(self) -> dict[bytes, str]:
        """Folder -> "none", "folder", "keywords" ("keywords|ROOT") or the path of a file."""
        rows = self._rows(sa.select(label_sources.c.folder, label_sources.c.choice))
        return {folder: os.fsdecode(choice) for folder, choice in rows}

    def set_label_choices(self, chosen: "dict[bytes, str | None]") -> None:
        """Remember what each folder's labels come from; None forgets. What folders below said before is forgotten."""
        with self.change() as connection:
            for folder, choice in chosen.items():
                connection.execute(sa.delete(label_sources).where(inside(label_sources.c.folder, [folder])))
                if choice is not None:
                    connection.execute(sa.insert(label_sources).values(folder=folder, choice=os.fsencode(choice)))

    def folder_labels(self, folders: Sequence[bytes], *, keywords: bool = False) -> Iterator[FolderLabel]:
        """What a folder, a CSV or its keywords say of every photo under the folders, by path within each root.

        The `keywords` themselves are read where they are asked for.
        """
        said = [optional(labels.c[name]).label(name) for name in ("source", "species", "author", "created_at")]
        words = photos.c.keywords if keywords else sa.null().label("keywords")
        query = sa.select(photos.c.relative, photos.c.id, photos.c.sha256, words, *said).outerjoin(
            labels, sa.and_(labels.c.photo_id == photos.c.id, labels.c.source.in_(AUTHORITY[1:]))
        )
        for prefix, row in self._walk(query, folders):
            label = Said(row.source, row.species, row.author, row.created_at) if row.source else None
            yield FolderLabel(row.id, prefix + row.relative, row.sha256, label, keywords_value(row.keywords))

    def labels(self, where: Filter | None = None) -> dict[int, Label]:
        """Photo id -> its label, of the visible photos that satisfy the filter; without one of missing photos too."""
        with self.transaction() as connection:
            query = sa.select(labels).order_by(labels.c.photo_id)
            if where is not None:
                query = query.join(photos).where(*conditions(where, connection))
            return _labels_in_force(streamed(connection, query))

    def labels_of(self, photo_ids: Iterable[int]) -> dict[int, Label]:
        """Photo id -> its label, for those of these photos that have one."""
        with self.transaction():
            return _labels_in_force(self._rows_in(sa.select(labels), labels.c.photo_id, photo_ids))

    def label_counts(self, where: Filter | None = None) -> dict[str, int]:
        """Label -> how many visible photos bear it, of those that satisfy the filter."""
        query = sa.select(photos.c.label, sa.func.count()).where(photos.c.label.is_not(None)).group_by(photos.c.label)
        return dict(self._visible_rows(query, where))

    def count_unlabelled(self, where: Filter | None = None) -> int:
        """How many visible photos that satisfy the filter have no label."""
        query = sa.select(sa.func.count(photos.c.id)).where(photos.c.label.is_(None))
        return self._visible_count(query, where)

    def species_names(self) -> list[str]:
        """The different names that visible photos have for their species; several may mean one taxon."""
        query = sa.select(photos.c.species).distinct().where(photos.c.species.is_not(None))
        return [name for (name,) in self._visible_rows(query, None)]

    def correct_labels(
        self, corrections: Mapping[int, Label | None], keep: Mapping[str, Label] | None = None
    ) -> dict[str, Label]:
        """Label photos above what folders and CSVs say; None removes a correction.

        What was kept of their bytes when copies were removed is forgotten and returned, sha256 -> label; `keep` is
        what an earlier call returned, and is kept again.
        """
        with self.change() as connection:
            forgotten = commits.correct_labels(connection, corrections)
            kept.keep_labels(connection, keep or {})
            self.bump(connection)
        return forgotten

    # Photos that go and come back

    def ids_at(self, paths: Sequence[bytes], *, visible: bool = False) -> dict[bytes, int]:
        """Path -> id of those of these files that the catalog holds, or (`visible`) shows."""
        with self.transaction() as connection:
            return ids_at(connection, paths, visible=visible)

    def inherit(self, heirs: Mapping[int, int], *, forget: bool) -> None:
        """Let photos take over what was said of others (id -> heir); then `forget` the others, or keep them."""
        with self.change() as connection:
            self.bump(connection)
            removal.inherit(connection, heirs, forget=forget)

    def snapshot_rows(self, ids: Sequence[int]) -> dict[int, Rows]:
        """Photo id -> every row that says something of the photo, in any table, as JSON takes them."""
        with self.transaction() as connection:
            return removal.snapshot_rows(connection, ids)

    def delete_and_merge(self, deleted: Sequence[DeletedPhoto], before_commit: Callable[[list[Merge]], None]) -> None:
        """Delete photos after those that stay took over what they lack; `before_commit` gets what was taken over."""
        with self.change() as connection:
            self.bump(connection)
            if merges := removal.delete_and_merge(connection, deleted):
                before_commit(merges)

    def restore_rows(self, snapshots: Mapping[bytes, tuple[int, Rows]], merges: Sequence[Merge]) -> dict[bytes, str]:
        """Bring photos back by path -> (id, rows), and revert merges. Returns what could not be, in words, by path."""
        with self.change() as connection:
            self.bump(connection)
            removal.revert_merges(connection, merges)
            return removal.restore_rows(connection, snapshots)

    # Reading

    def count(self, where: Filter | None = None) -> int:
        """How many visible photos satisfy the filter."""
        return self._visible_count(sa.select(sa.func.count(photos.c.id)), where)

    def counts(self) -> dict[str, int]:
        """How many photos, missing ones, labelled ones, failures, parts and stored vectors there are.

        `regions` are those with a vector, frames included; `boxes` all that are not frames.
        """
        queries = {
            "photos": sa.select(sa.func.count(photos.c.id)).where(is_visible),
            "missing": sa.select(sa.func.count(photos.c.id)).where(photos.c.missing),
            "labelled": sa.select(sa.func.count(photos.c.label)).where(is_visible),
            "failures": sa.select(sa.func.count(failures.c.path)),
            "damaged": sa.select(sa.func.count(photos.c.damaged)).where(is_visible),
            "parts": sa.select(sa.func.count(parts.c.id)),
            "vectors": sa.select(sa.func.coalesce(sa.func.sum(parts.c.rows), 0)),
            "regions": sa.select(sa.func.count(regions.c.part_id)),
            "companions": sa.select(sa.func.count()).select_from(_COMPANION_FILES),
            "boxes": sa.select(sa.func.count(regions.c.id)).where(regions.c.kind != FRAME),
        }
        with self.transaction() as connection:
            return {name: int(connection.scalar(query) or 0) for name, query in queries.items()}

    def photos(self, ids: Iterable[int]) -> list[Photo]:
        """These photos in this order, missing ones included. Raises PhotoUnknownError for an unknown id."""
        photo_ids = [int(photo_id) for photo_id in ids]
        known = self.known_photos(photo_ids)
        if unknown := [photo_id for photo_id in photo_ids if photo_id not in known]:
            raise self._unknown(unknown[0])
        return [known[photo_id] for photo_id in photo_ids]

    def _unknown(self, photo_id: int | None) -> PhotoUnknownError:
        return PhotoUnknownError(
            f"no photo with id {photo_id} in {self._dialect.index}: `birdsearch photos` lists the ids."
        )

    def known_photos(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Id -> photo for those ids that the catalog knows."""
        photo_ids = sorted({int(photo_id) for photo_id in ids})
        with self.transaction() as connection:
            return {photo.id: photo for photo in self._each(connection, photo_ids) if photo.id is not None}

    def photo_at(self, path: bytes) -> Photo:
        """The photo at a path, missing or not. Raises PhotoUnknownError where the catalog has none."""
        with self.transaction() as connection:
            ids = ids_at(connection, [path])
            ids = ids or ids_at(connection, [known_spelling(path, roots_of(connection).values())])
            if ids:
                return self._records(connection, list(ids.values()))[0]
        name, index = shown(os.fsdecode(path)), self._dialect.index
        raise PhotoUnknownError(f"no photo {name} in {index}: `birdsearch photos` lists the paths, with their ids.")

    def file_states(self, photo_ids: Iterable[int]) -> dict[int, FileState]:
        """Photo id -> the state that its file was in when it was read."""
        query = sa.select(photos.c.id, *(photos.c[name] for name in STATE))
        return {photo_id: FileState(*state) for photo_id, *state in self._rows_in(query, photos.c.id, photo_ids)}

    def photo_ids(
        self, where: Filter | None = None, limit: int | None = None, *, order: str = "id", after: int | None = None
    ) -> list[int]:
        """Ids of the visible photos that satisfy the filter, in an order of `ORDERS`, behind the photo `after`.

        Raises PhotoUnknownError where there is no photo `after`.
        """
        with self.transaction() as connection:
            try:
                return list(orders.listed(connection, conditions(where, connection), order, after, limit))
            except LookupError:
                raise self._unknown(after) from None

    def region_ids(self, where: Filter, *, among: Iterable[int] | None = None, limit: int | None = None) -> Ids:
        """Ids (n,) of the regions with a vector whose photos satisfy the filter, ascending: of all, or `among` some."""
        query = sa.select(regions.c.id).join(photos).where(regions.c.part_id.is_not(None)).order_by(regions.c.id)
        rows: Iterable[Any]
        if among is None:
            rows = self._visible_rows(query.limit(limit), where)
        else:
            with self.transaction() as connection:
                satisfying = query.where(*conditions(where, connection))
                rows = where_in(connection, satisfying, regions.c.id, sorted(among))
        return np.fromiter((region_id for (region_id,) in rows), dtype=np.int64)

    def visible(self, region_ids: Iterable[int]) -> dict[int, int]:
        """Region id -> photo id, for those regions with a vector whose photo exists and is not missing."""
        query = sa.select(regions.c.id, regions.c.photo_id).join(photos)
        query = query.where(is_visible, regions.c.part_id.is_not(None))
        return dict(self._rows_in(query, regions.c.id, region_ids))

    def in_stored_words(self, where: Filter) -> Filter:
        """The same filter with names as photos of this index have them, and times in full."""
        with self.transaction() as connection:
            return in_stored_words(where, connection)

    def facets(self, region_ids: Iterable[int]) -> Mapping[int, Sequence[Any]]:
        """Region id -> its photo, and what that has in the columns of `changes.COPIED`."""
        with self.transaction() as connection:
            return changes.facets(connection, [int(region_id) for region_id in region_ids])

    def heard(self, count: int | None) -> None:
        """Forget the first of the photos that an engine on a server had to hear of, or all; see `changes`."""
        with self.change() as connection:
            changes.heard(connection, count)

    def locations(self, photo_ids: Iterable[int]) -> dict[int, Location]:
        """Photo id -> where the vector of its frame lies."""
        query = sa.select(frames.c.photo_id, frames.c.part_id, frames.c.row, frames.c.id)
        return {photo: Location(*where) for photo, *where in self._rows_in(query, frames.c.photo_id, photo_ids)}

    def regions_of_part(self, part_id: int) -> list[tuple[int, int]]:
        """(region id, row) of every region that the part holds and the catalog still wants."""
        query = sa.select(regions.c.id, regions.c.row).where(regions.c.part_id == part_id)
        return list(self._rows(query.order_by(regions.c.row)))

    def labels_and_classes(self) -> Iterator[tuple[int, str | None, str | None]]:
        """(region id of the frame, label, first predicted class) of every visible photo."""
        first = sa.and_(predictions.c.photo_id == photos.c.id, predictions.c.position == 1)
        query = sa.select(frames.c.id, photos.c.label, optional(predictions.c.class_name))
        query = query.join(photos, _ITS_FRAME).outerjoin(predictions, first)
        yield from self._visible_rows(query, None)

    def summaries(self, where: Filter | None = None) -> list[PhotoSummary]:
        """What is known of the visible photos that satisfy the filter, in order of their frames' ids."""
        names = PhotoSummary.__slots__[2:]  # those of columns
        columns = {**photos.c, "photographer": sa.func.coalesce(photos.c.photographer, optional(labels.c.author))}
        columns |= {"seen_on": optional(labels.c.created_at)}
        query = sa.select(photos.c.id, frames.c.id, *(columns[name] for name in names)).join(frames, _ITS_FRAME)
        query = query.outerjoin(labels, sa.and_(labels.c.photo_id == photos.c.id, labels.c.source == FILE))
        return [PhotoSummary(*row) for row in self._visible_rows(query.order_by(frames.c.id), where)]

    def predicted_species(self, ids: Iterable[int]) -> dict[int, list[tuple[str, float]]]:
        """Photo id -> species and probabilities of what the network predicted, the most probable first."""
        query = sa.select(predictions.c.photo_id, predictions.c.species, predictions.c.probability)
        query = query.where(predictions.c.species.is_not(None), of_network).order_by(
            predictions.c.photo_id, predictions.c.position
        )
        predicted: dict[int, list[tuple[str, float]]] = {}
        for photo_id, species, probability in self._rows_in(query, predictions.c.photo_id, ids):
            predicted.setdefault(photo_id, []).append((species, probability))
        return predicted

    # Regions

    def regions_by_id(self, region_ids: Iterable[int]) -> dict[int, Region]:
        """Region id -> region, frames included."""
        return {
            one.id: one.region
            for one in region_rows.stored(self._rows_in(sa.select(regions), regions.c.id, region_ids))
        }

    def boxes(self, photo_ids: Iterable[int]) -> dict[int, list[StoredRegion]]:
        """Photo id -> its regions but the frame, in order of id; photos without one are left out."""
        query = sa.select(regions).where(regions.c.kind != FRAME).order_by(regions.c.photo_id, regions.c.id)
        found: dict[int, list[StoredRegion]] = {}
        for one in region_rows.stored(self._rows_in(query, regions.c.photo_id, photo_ids)):
            found.setdefault(one.region.photo_id or 0, []).append(one)
        return found

    def photos_with_boxes(self, where: Filter | None = None, *, waiting: bool = False) -> list[int]:
        """Ids of the visible photos that have a box, or one without a vector (`waiting`), ascending."""
        query = sa.select(regions.c.photo_id).distinct().join(photos).where(regions.c.kind != FRAME)
        query = query.where(regions.c.part_id.is_(None)) if waiting else query
        return [photo_id for (photo_id,) in self._visible_rows(query.order_by(regions.c.photo_id), where)]

    def not_searched_by(self, finder: str) -> list[int]:
        """Ids of the visible photos that this finder is to search for birds: those with no boxes given by hand."""
        others = sa.or_(photos.c.found_by.is_(None), photos.c.found_by.not_in((finder, BY_HAND)))
        return [
            photo_id
            for (photo_id,) in self._visible_rows(sa.select(photos.c.id).where(others).order_by(photos.c.id), None)
        ]

    def region_locations(self, region_ids: Iterable[int]) -> dict[int, Location]:
        """Region id -> where its vector lies, for those that have one."""
        query = sa.select(regions.c.part_id, regions.c.row, regions.c.id).where(regions.c.part_id.is_not(None))
        return {row.id: Location(*row) for row in self._rows_in(query, regions.c.id, region_ids)}

    def found_by(self, photo_ids: Iterable[int]) -> dict[int, str | None]:
        """Photo id -> the finder that has searched it for birds, or BY_HAND where a person has given its boxes."""
        return dict(self._rows_in(sa.select(photos.c.id, photos.c.found_by), photos.c.id, photo_ids))

    def region_problems(self) -> list[str]:
        """Breaches of what the format says of regions, in words."""
        with self.transaction() as connection:
            return region_rows.problems(connection)

    # Duplicates

    def copies(self, where: Filter | None = None) -> list[list[int]]:
        """Ids of the visible photos of each content that comes more than once."""
        with self.transaction() as connection:
            visible = conditions(where, connection)
            # A photo that has lost its vector has no sha256 until it is indexed again.
            more = sa.select(photos.c.sha256).where(*visible, photos.c.sha256 != "").group_by(photos.c.sha256)
            more = more.having(sa.func.count() > 1)
            query = sa.select(photos.c.sha256, photos.c.id).where(photos.c.sha256.in_(more), *visible)
            sets: dict[str, list[int]] = {}
            for sha256, photo_id in streamed(connection, query.order_by(photos.c.id)):
                sets.setdefault(sha256, []).append(photo_id)
        return list(sets.values())

    def hashes(self, where: Filter | None = None) -> tuple[Ids, npt.NDArray[np.uint64]]:
        """Ids (n,) of the visible photos that have a perceptual hash, and their hashes (n,)."""
        query = sa.select(photos.c.id, photos.c.phash).join(frames, _ITS_FRAME).where(photos.c.phash.is_not(None))
        ids, hashes = self._id_pairs(query.order_by(photos.c.id), where)
        return ids, hashes.view(np.uint64)

    def frames(self, where: Filter | None = None) -> tuple[Ids, Ids]:
        """Region ids (n,) of the frames of the visible photos, ascending, and the ids of those photos (n,)."""
        query = sa.select(frames.c.id, frames.c.photo_id).join(photos, _ITS_FRAME)
        return self._id_pairs(query.order_by(frames.c.id), where)

    def frame_ids(self) -> Ids:
        """Region ids (n,) of the frames of all photos, missing ones included, ascending."""
        return np.fromiter((i for (i,) in self._rows(sa.select(frames.c.id).order_by(frames.c.id))), dtype=np.int64)

    def _id_pairs(self, query: sa.Select[Any], where: Filter | None) -> tuple[Ids, Ids]:
        """The two columns (n,) of a query."""
        rows = map(tuple, self._visible_rows(query, where))
        both = np.fromiter(rows, dtype=[("first", np.int64), ("second", np.int64)])
        return both["first"].copy(), both["second"].copy()

    def not_duplicates(self) -> set[tuple[int, int]]:
        """Pairs of ids (lower, higher) that somebody said are not the same picture."""
        with self.transaction() as connection:
            known = connection.execute(sa.select(not_duplicates.c.a, not_duplicates.c.b))
            return {(a, b) for a, b in known} | kept.pairs_of_bytes(connection)

    def add_not_duplicates(self, a: int, b: int) -> None:
        """Remember that two photos are not the same picture."""
        row = {"a": min(a, b), "b": max(a, b), "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
        with self.change() as connection:
            insert_or_replace(connection, not_duplicates, [row])

    def remove_not_duplicates(self, a: int, b: int) -> None:
        """Forget that two photos are not the same picture."""
        with self.change() as connection:
            kept.forget_pair(connection, a, b)

    def not_duplicates_by_bytes(self) -> list[PairOfBytes]:
        """The same pairs by the sha256 of the photos, with those of photos that are not here."""
        with self.transaction() as connection:
            return kept.all_pairs(connection)

    def keep_not_duplicates(self, pairs: Sequence[PairOfBytes]) -> None:
        """Remember pairs by the sha256 of the photos, be they here or not."""
        with self.change() as connection:
            kept.keep_pairs(connection, pairs)

    def photos_without_frame(self) -> list[Photo]:
        """Visible photos that have lost their vector; a hidden one without gets it when its file is back."""
        with self.transaction() as connection:
            without = photos.c.id.not_in(sa.select(frames.c.photo_id))
            query = sa.select(photos.c.id).where(without, is_visible)
            return list(self._each(connection, connection.scalars(query).all()))

    def parts(self) -> list[PartRow]:
        """Every listed part, oldest first."""
        return [PartRow(**row._mapping) for row in self._rows(sa.select(parts).order_by(parts.c.id))]

    def runtimes(self) -> dict[str, int]:
        """What made the stored vectors -> how many of them."""
        query = sa.select(parts.c.runtime, sa.func.sum(parts.c.rows)).group_by(parts.c.runtime)
        return {runtime: int(rows) for runtime, rows in self._rows(query.order_by(parts.c.runtime))}

    def failures(self) -> list[Failure]:
        """Every file that could not be indexed, or only as far as it can be read, by path."""
        failed = [Failure(os.fsdecode(row.path), row.stage, row.reason) for row in self._rows(sa.select(failures))]
        damaged = sa.select(roots.c.path, photos.c.relative, photos.c.damaged).join(roots)
        for root, relative, damage in self._rows(damaged.where(photos.c.damaged.is_not(None), is_visible)):
            failed.append(Failure.damaged(os.fsdecode(with_trailing_slash(root) + relative), damage))
        return sorted(failed, key=lambda failure: os.fsencode(failure.path))

    def _each(self, connection: sa.Connection, ids: Iterable[int]) -> Iterator[Photo]:
        """These photos, a block at a time: the rows that tell of a photo take more memory than it does."""
        for block in batched(ids, PHOTOS_AT_ONCE):
            yield from self._records(connection, block)

    def _records(self, connection: sa.Connection, ids: Sequence[int]) -> list[Photo]:
        folders = roots_of(connection)
        guesses: dict[int, list[Prediction]] = {}
        beside = companion_rows.of_photos(connection, ids)
        query = sa.select(predictions).order_by(predictions.c.photo_id, predictions.c.position)
        for row in where_in(connection, query, predictions.c.photo_id, ids):
            guess = Prediction.stored(row.species, row.probability, row.position, row.rank, row.class_name)
            guesses.setdefault(row.photo_id, []).append(guess)
        rows = where_in(connection, sa.select(photos).order_by(photos.c.id), photos.c.id, ids)
        if homeless := [row.root_id for row in rows if row.root_id not in folders]:
            raise DamagedValueError(f"there is no root {homeless[0]}")
        return [
            Photo(
                **{name: getattr(row, name) for name in STORED if name != "keywords"},
                path=os.fsdecode(with_trailing_slash(folders[row.root_id]) + row.relative),
                keywords=keywords_value(row.keywords),
                phash=None if row.phash is None else f"{row.phash & 0xFFFFFFFFFFFFFFFF:016x}",
                companions=tuple(os.fsdecode(one.path) for one in beside.get(row.id, ())),
                predictions=tuple(guesses.get(row.id, ())),
            )
            for row in rows
        ]


def _spans(prefix: bytes, folders: Sequence[bytes]) -> list[tuple[bytes, bytes | None]]:
    """Between which paths under a root the photos lie that lie in some folders, or are named by themselves."""
    named = PathSet(folders)
    tops = {folder for folder in folders if folder.startswith(prefix) and above(folder) not in named}
    if len(tops) > FEW:
        return [(b"", None)]  # of many files that were named one by one each would be a question
    below = sorted(folder[len(prefix) :] for folder in tops)
    # A file, what lies in a tar file, and what lies in a folder: up to the next byte.
    within = [(sign, bytes([sign[0] + 1])) for sign in (SHARD_SIGN, b"/")]
    return [(path + low, path + high) for path in below for low, high in ((b"", b"\0"), *within)]


def _labels_in_force(rows: Iterable[Any]) -> dict[int, Label]:
    """Photo id -> the label that counts among those that it has."""
    best: dict[int, Label] = {}
    for row in rows:
        label = Label(**row._mapping)
        if label.source not in AUTHORITY:
            raise DamagedValueError(f"labels.source is {label.source!r:.80}")
        known = best.get(label.photo_id)
        if known is None or AUTHORITY.index(label.source) < AUTHORITY.index(known.source):
            best[label.photo_id] = label
    return best
