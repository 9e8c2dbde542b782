"""The SQLite catalog: only here is SQLAlchemy imported."""
