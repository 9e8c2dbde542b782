"""The first tables.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table of format 1."""
    op.create_table("state", sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.JSON, nullable=False))
    op.create_table(
        "roots",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.LargeBinary, nullable=False, unique=True),
    )
    op.create_table(
        "label_sources",
        sa.Column("folder", sa.LargeBinary, primary_key=True),
        sa.Column("choice", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "photos",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("root_id", sa.Integer, sa.ForeignKey("roots.id"), nullable=False),
        sa.Column("relative", sa.LargeBinary, nullable=False),
        sa.Column("missing", sa.Boolean, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("phash", sa.BigInteger),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("format", sa.Text),
        sa.Column("taken_at", sa.Text),
        sa.Column("taken_offset", sa.Text),
        sa.Column("camera", sa.Text),
        sa.Column("camera_serial", sa.Text),
        sa.Column("lens", sa.Text),
        sa.Column("latitude", sa.Float),
        sa.Column("longitude", sa.Float),
        sa.Column("observer", sa.Text),
        sa.Column("notes", sa.Text),
        sa.Column("rating", sa.Integer),
        sa.Column("label", sa.Text),
        sa.Column("species", sa.Text),
        sa.Column("species_source", sa.Text),
        sa.UniqueConstraint("root_id", "relative", name="photos_path"),
        sqlite_autoincrement=True,
    )
    op.create_index("photos_sha256", "photos", ["sha256"])
    op.create_index("photos_species", "photos", ["species"])
    op.create_table(
        "parts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "regions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
        sa.Column("part_id", sa.Integer, sa.ForeignKey("parts.id"), nullable=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("x", sa.Float, nullable=False),
        sa.Column("y", sa.Float, nullable=False),
        sa.Column("width", sa.Float, nullable=False),
        sa.Column("height", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("regions_photo", "regions", ["photo_id"])
    op.create_index("regions_part", "regions", ["part_id"])
    op.create_table(
        "labels",
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("species", sa.Text, nullable=False),
        sa.Column("author", sa.Text),
        sa.Column("created_at", sa.Text),
    )
    op.create_table(
        "predictions",
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("rank", sa.Integer, primary_key=True),
        sa.Column("species", sa.Text),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("class_name", sa.Text, nullable=False),
    )
    op.create_table(
        "failures",
        sa.Column("path", sa.LargeBinary, primary_key=True),
        sa.Column("size", sa.BigInteger),
        sa.Column("mtime_ns", sa.BigInteger),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
