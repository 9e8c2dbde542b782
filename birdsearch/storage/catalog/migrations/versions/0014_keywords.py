"""The keywords of photos.

Revision ID: 0014
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"


def upgrade() -> None:
    """A column that is empty for every photo until its keywords are needed, or it is read again."""
    op.add_column("photos", sa.Column("keywords", sa.JSON))
