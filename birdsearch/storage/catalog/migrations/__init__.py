"""The numbered steps that bring a catalog of any age to today's tables (Alembic)."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Bring the catalog behind this connection to the newest step, inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    logger = logging.getLogger("alembic.runtime.migration")
    level = logger.level
    logger.setLevel(logging.WARNING)  # the program that logs at INFO wants to hear of photos
    try:
        command.upgrade(config, "head")
    finally:
        logger.setLevel(level)
