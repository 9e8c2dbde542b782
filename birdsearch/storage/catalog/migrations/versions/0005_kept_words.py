"""What people said of photos that were removed.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "kept_labels",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("species", sa.Text, nullable=False),
        sa.Column("author", sa.Text),
        sa.Column("created_at", sa.Text),
    )
    op.create_table(
        "kept_not_duplicates",
        sa.Column("sha256_a", sa.Text, primary_key=True),
        sa.Column("sha256_b", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Text),
    )
    op.create_index("kept_not_duplicates_b", "kept_not_duplicates", ["sha256_b"])
