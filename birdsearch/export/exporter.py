"""Photos leave an index for other tools, and photos of its Parquet file enter one without a look at their own files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from birdsearch.errors import IndexUnwritableError
from birdsearch.export import embedding_atlas, fiftyone, parquet, tables
from birdsearch.export.parquet import BATCH
from birdsearch.records import BackboneIdentity, Filter, Photo, Progress, as_json, shown
from birdsearch.search.exact import Neighbours
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import writable
from birdsearch.storage.vectors import VectorStore

_PICTURES = 1024  # photos whose thumbnails are held at a time
_NEIGHBOURS = 10  # of each photo on a map


@dataclass(frozen=True, slots=True)
class Export:
    """Photos that leave an index, as one commit left them."""

    catalog: Catalog
    retrieval: VectorStore
    backbone: BackboneIdentity
    where: Filter | None
    progress: Progress | None

    def write(self, path: Path, to: str) -> int:
        """Write them in one of `formats.FORMATS`, whole or not at all; returns how many."""
        if to not in tables.FORMATS:
            raise ValueError(f"format must be one of {', '.join(tables.FORMATS)}, got {to!r}")
        with self.catalog.snapshot(), writable(path):
            _check_free(path, to)
            if to == "embedding-atlas":
                return embedding_atlas.write_atlas(path, self._mapped())
            ids = self.catalog.photo_ids(self.where)
            if to == "csv":
                return tables.write_csv(path, self._photos(ids))
            if to == "fiftyone":
                return fiftyone.write_fiftyone(path, self._rows(ids), (len(ids), self.backbone.dim))
            about = {
                "backbone": as_json(self.backbone),
                "folders": [os.fsdecode(f) for f in self.catalog.roots_in_use()],
            }
            return parquet.write_export(path, self._rows(ids), about)

    def _blocks(self, ids: list[int], size: int) -> Iterator[tuple[int, list[int]]]:
        """Some ids at a time, and where they start."""
        for start in range(0, len(ids), size):
            yield start, ids[start : start + size]
            if self.progress is not None:
                self.progress("export", min(start + size, len(ids)), len(ids), "")

    def _photos(self, ids: list[int]) -> Iterator[Photo]:
        for _, some in self._blocks(ids, BATCH):
            yield from self.catalog.photos(some)

    def _rows(self, ids: list[int]) -> Iterator[parquet.Rows]:
        for _, some in self._blocks(ids, BATCH):
            sources = self.catalog.label_sources_of(some)
            yield parquet.Rows(self.catalog.photos(some), sources, *self.retrieval.fetch(some))

    def _mapped(self) -> Iterator[embedding_atlas.Mapped]:
        """The photos on a map, with neighbours, in the space of the analyses."""
        from birdsearch.species import clusters, gallery

        gathered = gallery.gather(self.catalog, self.retrieval, self.where)
        places, near = clusters.coordinates(gathered.rows), gathered.others(_NEIGHBOURS)
        for start, some in self._blocks(gathered.ids.tolist(), _PICTURES):
            rows = slice(start, start + len(some))
            yield embedding_atlas.Mapped(
                self.catalog.photos(some), places[rows], Neighbours(near.ids[rows], near.scores[rows])
            )


def _check_free(path: Path, to: str) -> None:
    """Raise IndexUnwritableError where the name cannot become an export."""
    kind, taken = "file", "it is a folder" if path.is_dir() else ""
    if to == "fiftyone":
        empty = path.is_dir() and not any(path.iterdir())
        kind, taken = "new or empty folder", "" if empty or not os.path.lexists(path) else "something is there already"
    elif to == "embedding-atlas" and path.suffix.lower() != ".parquet":
        kind, taken = "file that ends in .parquet,", "by another name Embedding Atlas takes it for something else"
    why = taken or ("" if path.absolute().parent.is_dir() else "its folder does not exist")
    if why:
        raise IndexUnwritableError(f"cannot write {shown(str(path))}: {why}. Name a {kind} in a folder that exists.")
