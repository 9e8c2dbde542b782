"""The tables of the catalog, as SQLAlchemy sees them; `migrations` makes them."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
Row = dict[str, Any]  # column -> value, of one of the tables below

# key -> JSON: "generation" (int, +1 with every commit), "identity" (a copy of index.json)
state = Table("state", metadata, Column("key", Text, primary_key=True), Column("value", JSON, nullable=False))

# A photo's path is root + "/" + relative, both as os.fsencode gives them: file names need not be text.
roots = Table(
    "roots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),
)

# folder -> "none", "folder" or the absolute path of a CSV; the deepest folder above a photo decides
label_sources = Table(
    "label_sources",
    metadata,
    Column("folder", LargeBinary, primary_key=True),
    Column("choice", LargeBinary, nullable=False),
)

photos = Table(
    "photos",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root_id", Integer, ForeignKey("roots.id"), nullable=False),
    Column("relative", LargeBinary, nullable=False),
    Column("missing", Boolean, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("phash", BigInteger),  # signed: SQLite has no unsigned 64-bit integers
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("format", Text),
    Column("taken_at", Text),
    Column("taken_offset", Text),
    Column("camera", Text),
    Column("camera_serial", Text),
    Column("lens", Text),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("photographer", Text),
    Column("notes", Text),
    Column("rating", Integer),
    # settled from `labels` and `predictions` whenever one of them changes, so that filters stay simple
    Column("label", Text),
    Column("species", Text),
    Column("species_source", Text),
    UniqueConstraint("root_id", "relative", name="photos_path"),
    Index("photos_sha256", "sha256"),
    Index("photos_species", "species"),
    sqlite_autoincrement=True,
)

parts = Table(
    "parts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("runtime", Text, nullable=False),  # what made the vectors: "torch fp32 on cpu"
    Column("generation", Integer, nullable=False),
    sqlite_autoincrement=True,
)

regions = Table(
    "regions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("photo_id", Integer, ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
    Column("part_id", Integer, ForeignKey("parts.id"), nullable=False),
    Column("row", Integer, nullable=False),
    # fractions of the photo's width and height
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    Index("regions_photo", "photo_id"),
    Index("regions_part", "part_id"),
    sqlite_autoincrement=True,  # ids are never used twice: an engine may still know a removed one
)

labels = Table(
    "labels",
    metadata,
    Column("photo_id", Integer, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    Column("source", Text, primary_key=True),  # "correction", "csv" or "folder"
    Column("species", Text, nullable=False),
    Column("author", Text),
    Column("created_at", Text),
)

predictions = Table(
    "predictions",
    metadata,
    Column("photo_id", Integer, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("species", Text),
    Column("probability", Float, nullable=False),
    Column("rank", Text, nullable=False),
    Column("class_name", Text, nullable=False),
)

failures = Table(
    "failures",
    metadata,
    Column("path", LargeBinary, primary_key=True),
    Column("size", BigInteger),
    Column("mtime_ns", BigInteger),
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

# Pairs that somebody said are not the same picture.
not_duplicates = Table(
    "not_duplicates",
    metadata,
    Column("a", Integer, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),  # the lower id
    Column("b", Integer, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    Column("created_at", Text),
    CheckConstraint("a < b", name="not_duplicates_order"),
    Index("not_duplicates_b", "b"),
)
