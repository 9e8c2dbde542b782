"""What tells a changed file whose size and time are as before.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Columns that are empty until a file is met again."""
    for table in ("photos", "failures"):
        op.add_column(table, sa.Column("ctime_ns", sa.BigInteger))
        op.add_column(table, sa.Column("inode", sa.BigInteger))
