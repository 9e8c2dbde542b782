"""Whether the pixels of a photo are those of its file, of a RAW's preview or of a sensor.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """No RAW file was a photo before."""
    op.add_column("photos", sa.Column("rendered", sa.Text, nullable=False, server_default="file"))
