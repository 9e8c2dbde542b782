"""The tables of the catalog, as SQLAlchemy sees them; `migrations` makes them. Each value is checked as it is read."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from birdsearch.records import FRAME

MAX_INTEGER = 2**63 - 1  # of SQLite: a larger id is the id of nothing
metadata = sa.MetaData()
Row = dict[str, Any]  # column -> value, of one of the tables below
# Keys of the state.
IDENTITY, IDENTITY_BEFORE, NAMES, EXCLUDE, REEMBED = "identity", "identity_before", "names", "exclude", "reembed"
FINDER, RAW, LISTED, PLACE = "finder", "raw", "listed", "place"
CHANGED = "changed_photos"

_IS_FRAME = sa.text(f"kind = '{FRAME}'")

# key -> JSON: "generation" (int, +1 with every commit that readers must see), IDENTITY (a copy of index.json),
# IDENTITY_BEFORE (what index.json says until it is written anew), REEMBED (reembed.Pending: new vectors so far),
# "whitening" ({"sha256"} or null), "engine" ({"name", "recall"} that were chosen), "engine_file" (vectors.EngineFile),
# "engine_on_server" (served.Served), CHANGED ({"photos": [id], or null for all}: of what that engine has yet to hear),
# NAMES ({label: species}: what a user says that names mean), EXCLUDE ({folder: [pattern]}: what is left out there),
# FINDER (the name of the finder that searches new photos for small birds, or null), RAW (of RAW_CHOICES),
# LISTED ([folder]: the roots that are there for photos of lists alone), PLACE (where the parts lie, as the
# address of an index in a database said last)
state = sa.Table(
    "state", metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.JSON, nullable=False)
)

# A photo's path is root + "/" + relative, both as os.fsencode gives them: file names need not be text.
roots = sa.Table(
    "roots",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("path", sa.LargeBinary, nullable=False, unique=True),
)

# folder -> "none", "folder", "keywords" ("keywords|ROOT" for those below ROOT alone) or the absolute path of a file;
# the deepest folder above a photo decides
label_sources = sa.Table(
    "label_sources",
    metadata,
    sa.Column("folder", sa.LargeBinary, primary_key=True),
    sa.Column("choice", sa.LargeBinary, nullable=False),
)

photos = sa.Table(
    "photos",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("root_id", sa.Integer, sa.ForeignKey("roots.id"), nullable=False),
    sa.Column("relative", sa.LargeBinary, nullable=False),
    sa.Column("missing", sa.Boolean, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("phash", sa.BigInteger),  # signed: SQLite has no unsigned 64-bit integers
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("ctime_ns", sa.BigInteger),
    sa.Column("inode", sa.BigInteger),
    sa.Column("etag", sa.Text),  # of an object elsewhere; "" where its store has none
    sa.Column("offset", sa.BigInteger),  # of what a tar file holds: where its bytes begin
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("format", sa.Text),
    sa.Column("rendered", sa.Text, nullable=False, server_default="file"),  # "file", "preview" or "sensor"
    sa.Column("taken_at", sa.Text),
    sa.Column("taken_offset", sa.Text),
    sa.Column("camera", sa.Text),
    sa.Column("camera_serial", sa.Text),
    sa.Column("lens", sa.Text),
    sa.Column("latitude", sa.Float),
    sa.Column("longitude", sa.Float),
    sa.Column("photographer", sa.Text),
    sa.Column("notes", sa.Text),
    sa.Column("keywords", sa.JSON(none_as_null=True)),  # texts; NULL where they were not read yet
    sa.Column("rating", sa.Integer),
    sa.Column("damaged", sa.Text),
    sa.Column("found_by", sa.Text),  # which finder has searched it for birds, or BY_HAND; NULL where none has
    # settled from `labels` and `predictions` whenever one of them changes, so that filters stay simple
    sa.Column("label", sa.Text),
    sa.Column("species", sa.Text),
    sa.Column("species_source", sa.Text),
    sa.UniqueConstraint("root_id", "relative", name="photos_path"),
    sa.Index("photos_sha256", "sha256"),
    sa.Index("photos_species", "species"),
    sa.Index("photos_taken_at", "taken_at", sqlite_where=~sa.column("missing", sa.Boolean)),
    sqlite_autoincrement=True,
)

# The files that go with a photo: one that several photos share has a row for each.
companions = sa.Table(
    "companions",
    metadata,
    sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("root_id", sa.Integer, sa.ForeignKey("roots.id"), primary_key=True),
    sa.Column("relative", sa.LargeBinary, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # "raw", "sidecar", "movie" or "sound"
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
)

parts = sa.Table(
    "parts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("runtime", sa.Text, nullable=False),  # what made the vectors: "torch fp32 on cpu"
    sa.Column("generation", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)

regions = sa.Table(
    "regions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
    # where its vector lies: NULL for a box that has none, or waits for one
    sa.Column("part_id", sa.Integer, sa.ForeignKey("parts.id")),
    sa.Column("row", sa.Integer),
    # fractions of the photo's width and height
    sa.Column("x", sa.Float, nullable=False),
    sa.Column("y", sa.Float, nullable=False),
    sa.Column("width", sa.Float, nullable=False),
    sa.Column("height", sa.Float, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, server_default=FRAME),  # of KINDS
    sa.Column("category", sa.Text),  # what a detector calls it: "bird", "animal", "person"
    sa.Column("confidence", sa.Float),  # 0 to 1
    sa.Column("source", sa.Text),  # the finder, the file or BY_HAND
    sa.CheckConstraint("(part_id IS NULL) = (row IS NULL)", name="regions_vector"),
    sa.Index("regions_photo", "photo_id"),
    sa.Index("regions_part", "part_id"),
    sa.Index("regions_frame", "photo_id", unique=True, sqlite_where=_IS_FRAME),
    sqlite_autoincrement=True,  # ids are never used twice: an engine may still know a removed one
)

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),  # "correction", "csv", "keywords" or "folder"
    sa.Column("species", sa.Text, nullable=False),
    sa.Column("author", sa.Text),
    sa.Column("created_at", sa.Text),
)

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("species", sa.Text),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("rank", sa.Text, nullable=False),
    sa.Column("class_name", sa.Text, nullable=False),
)

failures = sa.Table(
    "failures",
    metadata,
    sa.Column("path", sa.LargeBinary, primary_key=True),
    sa.Column("size", sa.BigInteger),
    sa.Column("mtime_ns", sa.BigInteger),
    sa.Column("ctime_ns", sa.BigInteger),
    sa.Column("inode", sa.BigInteger),
    sa.Column("etag", sa.Text),
    sa.Column("offset", sa.BigInteger),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

# Pairs that somebody said are not the same picture.
not_duplicates = sa.Table(
    "not_duplicates",
    metadata,
    sa.Column("a", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),  # the lower id
    sa.Column("b", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("created_at", sa.Text),
    sa.CheckConstraint("a < b", name="not_duplicates_order"),
    sa.Index("not_duplicates_b", "b"),
)

# What people said of photos that were removed, by their bytes: it returns with them (kept.py).
kept_labels = sa.Table(
    "kept_labels",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("species", sa.Text, nullable=False),
    sa.Column("author", sa.Text),
    sa.Column("created_at", sa.Text),
)

kept_not_duplicates = sa.Table(
    "kept_not_duplicates",
    metadata,
    sa.Column("sha256_a", sa.Text, primary_key=True),  # the lower one
    sa.Column("sha256_b", sa.Text, primary_key=True),
    sa.Column("created_at", sa.Text),
    sa.Index("kept_not_duplicates_b", "sha256_b"),
)


# Reading ------------------------------------------------------------------------------------------------------------


class DamagedValueError(ValueError):
    """The catalog holds a value that no column of its kind can hold."""


class _Checked(sa.types.TypeDecorator[Any]):
    """A type whose values are looked at when they come out of SQLite, which keeps anything in any column.

    PostgreSQL looks itself when they come in. There texts compare byte by byte as in SQLite, and numbers are as wide.
    """

    impl: Any = sa.types.NullType
    cache_ok = True

    def __init__(self, kind: sa.types.TypeEngine[Any], name: str, required: bool) -> None:
        super().__init__()
        self.impl = self.kind = kind
        self.name = name
        self.required = required  # NULL only comes from an outer join: see `optional`

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The type in this database."""
        kind = self.kind
        if dialect.name == "postgresql" and type(kind) is sa.Text:
            kind = sa.Text(collation="C")
        elif dialect.name == "postgresql" and type(kind) is sa.Integer:
            kind = sa.BigInteger()
        return kind.dialect_impl(dialect)

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """PostgreSQL takes no NUL in a text; cameras write some."""
        convert = self.load_dialect_impl(dialect).bind_processor(dialect)
        if dialect.name != "postgresql" or not isinstance(self.kind, sa.Text):
            return convert
        return lambda value: value.replace("\0", "") if isinstance(value, str) else value

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any] | None:
        convert = self.load_dialect_impl(dialect).result_processor(dialect, coltype)
        if dialect.name == "postgresql":
            return convert
        usual = {sa.JSON: (str, int, float), sa.Boolean: (int,), sa.Float: (float, int)}  # SQLite makes 5 of "5"
        stored = usual.get(type(self.kind)) or (self.kind.python_type,)

        def checked(value: Any) -> Any:
            if type(value) in stored:
                try:
                    return value if convert is None else convert(value)
                except (ValueError, RecursionError):
                    pass
            if value is None and not self.required:
                return None
            raise DamagedValueError(f"{self.name} is {value!r:.80}")

        return checked


for _table in metadata.tables.values():
    for _column in _table.columns:
        _column.type = _Checked(_column.type, f"{_table.name}.{_column.name}", required=not _column.nullable)


# THE FRAMES: the one region of each photo that is all of it. What compares photos with each other reads these and no
# other regions, so that a photo with boxes counts once.
frames = (
    sa.select(regions.c.id, regions.c.photo_id, regions.c.part_id, regions.c.row)
    .where(regions.c.kind == FRAME, regions.c.part_id.is_not(None))
    .subquery("frames")
)

# Photos that are there. Said as `missing = 0` it would lead SQLite to the index of times, which holds no others and so
# seems short: it then fetches all of them one by one in the order of time.
is_visible = photos.c.missing.is_distinct_from(sa.true())


def optional(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column of the right side of an outer join, which may have no row."""
    assert isinstance(column.type, _Checked)
    return sa.type_coerce(column, _Checked(column.type.kind, column.type.name, required=False))


def state_value(key: str, value: Any) -> Any:
    """What the state has under a key, as it was read. Raises DamagedValueError where that is not what users say."""
    fits = {NAMES: _is_text, EXCLUDE: _are_texts}.get(key)
    if key == FINDER and not isinstance(value, str | None):
        raise DamagedValueError(f"state.{key} is {value!r:.80}")
    if value is None or fits is None or (isinstance(value, dict) and all(map(fits, value.values()))):
        return value
    raise DamagedValueError(f"state.{key} is {value!r:.80}")


def keywords_value(value: Any) -> tuple[str, ...] | None:
    """The keywords of a photo, as they were read. Raises DamagedValueError where they are no texts."""
    if value is None:
        return None
    if not _are_texts(value):
        raise DamagedValueError(f"photos.keywords is {value!r:.80}")
    return tuple(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))
