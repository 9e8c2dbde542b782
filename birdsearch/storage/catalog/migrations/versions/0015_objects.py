"""Objects in stores: what tells that one is as it was, and where it lies in a tar file.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Columns that are empty for every file of a disk."""
    for table in ("photos", "failures"):
        op.add_column(table, sa.Column("etag", sa.Text))
        op.add_column(table, sa.Column("offset", sa.BigInteger))
