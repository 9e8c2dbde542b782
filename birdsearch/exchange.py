"""Photos leave an index for other tools, and photos of its Parquet file enter one without a look at their own files."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch import exports, formats, parts
from birdsearch.catalog import Catalog
from birdsearch.commits import AUTHORITY, Batch, Entry, PartRow
from birdsearch.errors import IndexUnwritableError, InputFileError
from birdsearch.folder import writable
from birdsearch.records import Filter, Neighbours, Photo, Progress, shown
from birdsearch.retrieval import Retrieval

_ROWS = 4096  # photos in one commit, or read at a time
_PICTURES = 1024  # photos whose thumbnails are held at a time
_NEIGHBOURS = 10  # of each photo on a map
_SHA256, _PHASH = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Export:
    """Photos that leave an index, as one commit left them."""

    catalog: Catalog
    retrieval: Retrieval
    backbone: dict[str, Any]  # as the index knows it
    where: Filter | None
    progress: Progress | None

    def write(self, path: Path, to: str) -> int:
        """Write them in one of `formats.FORMATS`, whole or not at all; returns how many."""
        if to not in formats.FORMATS:
            raise ValueError(f"to must be one of {', '.join(formats.FORMATS)}, got {to!r}")
        with self.catalog.snapshot(), writable(path):
            _check_free(path, to)
            if to == "embedding-atlas":
                return formats.write_atlas(path, self._mapped())
            ids = self.catalog.photo_ids(self.where)
            if to == "csv":
                return formats.write_csv(path, self._photos(ids))
            if to == "fiftyone":
                return formats.write_fiftyone(path, self._rows(ids), (len(ids), int(self.backbone["dim"])))
            about = {"backbone": self.backbone, "folders": [os.fsdecode(f) for f in self.catalog.roots_in_use()]}
            return exports.write_export(path, self._rows(ids), about)

    def _blocks(self, ids: list[int], size: int) -> Iterator[tuple[int, list[int]]]:
        """Some ids at a time, and where they start."""
        for start in range(0, len(ids), size):
            yield start, ids[start : start + size]
            if self.progress is not None:
                self.progress("export", min(start + size, len(ids)), len(ids), "")

    def _photos(self, ids: list[int]) -> Iterator[Photo]:
        for _, some in self._blocks(ids, _ROWS):
            yield from self.catalog.photos(some)

    def _rows(self, ids: list[int]) -> Iterator[exports.Rows]:
        for _, some in self._blocks(ids, _ROWS):
            sources = self.catalog.label_sources_of(some)
            yield exports.Rows(self.catalog.photos(some), sources, *self.retrieval.rows(some))

    def _mapped(self) -> Iterator[formats.Mapped]:
        """The photos on a map, with neighbours, in the space of the analyses."""
        from birdsearch import analysis

        gathered = analysis.gather(self.catalog, self.retrieval, self.where)
        places, near = analysis.coordinates(gathered.rows), gathered.others(_NEIGHBOURS)
        for start, some in self._blocks(gathered.ids.tolist(), _PICTURES):
            rows = slice(start, start + len(some))
            yield formats.Mapped(self.catalog.photos(some), places[rows], Neighbours(near.ids[rows], near.scores[rows]))


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


def import_rows(catalog: Catalog, vectors_folder: Path, path: Path, folders: list[str]) -> tuple[int, int]:
    """Commit the rows of an export; returns how many photos were new and how many paths were known. Needs the lock."""
    for folder in folders:
        catalog.settle_root(os.fsencode(folder))
    added = unchanged = 0
    known = catalog.known_files([b"/"])  # once: asking for every batch would take the square of a million photos
    held = {name for name, file in known.items() if file.photo_id is not None}
    for rows in exports.read_export(path, _ROWS):
        for photo, source in zip(rows.photos, rows.label_sources, strict=True):
            _check(photo, source, path)
        names = [os.fsencode(photo.path) for photo in rows.photos]
        first = {name: n for n, name in reversed(list(enumerate(names)))}  # a path named twice counts once
        new = [n for n, name in enumerate(names) if name not in held and first[name] == n]
        unchanged += len(rows.photos) - len(new)
        if new:
            failed = [rows.photos[n].path for n in new if names[n] in known]
            _commit(catalog, vectors_folder, rows, new, failed)
            added += len(new)
            held.update(names[n] for n in new)
    return added, unchanged


def _commit(catalog: Catalog, vectors_folder: Path, rows: exports.Rows, new: list[int], failed: list[str]) -> None:
    next_photo, next_region = catalog.next_ids()
    batch = Batch(recovered=failed)
    for folder in sorted({os.path.dirname(os.fsencode(rows.photos[n].path)) for n in new}):
        catalog.settle_root(folder)
    for offset, n in enumerate(new):
        photo, source = rows.photos[n], rows.label_sources[n]
        label = (source, photo.label) if source and photo.label else None
        batch.entries.append(Entry(replace(photo, id=next_photo + offset), False, next_region + offset, label))
    part = parts.Part(np.arange(next_region, next_region + len(new)), rows.vectors[new], rows.norms[new])
    part_id = catalog.next_part()
    batch.part = PartRow(part_id, len(new), parts.write(parts.file_of(vectors_folder, part_id), part), "import")
    catalog.commit(batch)


def _check(photo: Photo, label_source: str | None, path: Path) -> None:
    name = os.fsencode(photo.path)
    hashes = _SHA256.fullmatch(photo.sha256 or "") and (photo.phash is None or _PHASH.fullmatch(photo.phash))
    if os.path.abspath(name) != name or not hashes or label_source not in (None, *AUTHORITY):
        raise InputFileError(
            f"{shown(str(path))}: {shown(photo.path)} lacks an absolute path, a sha256, or holds what no export does. "
            "Export the photos again."
        )
