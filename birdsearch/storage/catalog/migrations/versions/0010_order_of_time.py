"""An index of the visible photos by time.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Photos are listed by time without sorting all of them."""
    op.create_index("photos_taken_at", "photos", ["taken_at"], sqlite_where=sa.text("missing = 0"))
