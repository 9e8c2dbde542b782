"""What the decoder said of a damaged photo.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A column that is empty for every photo until it is read again."""
    op.add_column("photos", sa.Column("damaged", sa.Text))
