"""Regions of several kinds, with a vector or without.

Revision ID: 0009
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0006"


def upgrade() -> None:
    """Every region that there is becomes a frame; SQLite cannot let a column be empty, so the table is written anew."""
    op.create_table(
        "regions_new",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
        sa.Column("part_id", sa.Integer, sa.ForeignKey("parts.id")),
        sa.Column("row", sa.Integer),
        sa.Column("x", sa.Float, nullable=False),
        sa.Column("y", sa.Float, nullable=False),
        sa.Column("width", sa.Float, nullable=False),
        sa.Column("height", sa.Float, nullable=False),
        sa.Column("kind", sa.Text, nullable=False, server_default="frame"),
        sa.Column("category", sa.Text),
        sa.Column("confidence", sa.Float),
        sa.Column("source", sa.Text),
        sa.CheckConstraint("(part_id IS NULL) = (row IS NULL)", name="regions_vector"),
        sqlite_autoincrement=True,
    )
    columns = "id, photo_id, part_id, row, x, y, width, height"
    op.execute(f"INSERT INTO regions_new ({columns}) SELECT {columns} FROM regions ORDER BY id")
    # Ids are never used twice: an engine may still know one that is gone.
    used = op.get_bind().scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'regions'"))
    op.drop_table("regions")
    op.rename_table("regions_new", "regions")
    if used is not None:
        op.execute("DELETE FROM sqlite_sequence WHERE name = 'regions'")
        op.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('regions', :seq)").bindparams(seq=used))
    op.create_index("regions_photo", "regions", ["photo_id"])
    op.create_index("regions_part", "regions", ["part_id"])
    op.create_index("regions_frame", "regions", ["photo_id"], unique=True, sqlite_where=sa.text("kind = 'frame'"))
    op.add_column("photos", sa.Column("found_by", sa.Text))
