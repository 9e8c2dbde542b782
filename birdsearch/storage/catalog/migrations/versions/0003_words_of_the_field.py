"""The field's words: a prediction has a position and a taxonomic rank, a photo a photographer, a space is whitened.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Rename the columns and the key; SQLite rewrites no rows for it."""
    op.execute("ALTER TABLE predictions RENAME COLUMN rank TO position")
    op.execute("ALTER TABLE predictions RENAME COLUMN level TO rank")
    op.execute("ALTER TABLE photos RENAME COLUMN observer TO photographer")
    op.execute("UPDATE state SET key = 'whitening' WHERE key = 'refinement'")
