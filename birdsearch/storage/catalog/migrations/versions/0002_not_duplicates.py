"""Pairs of photos that somebody said are not the same picture.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "not_duplicates",
        sa.Column("a", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("b", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("created_at", sa.Text),
        sa.CheckConstraint("a < b", name="not_duplicates_order"),
    )
    op.create_index("not_duplicates_b", "not_duplicates", ["b"])
