"""An index on disk: folder, catalog, vectors. indexes/README.md is the format."""
