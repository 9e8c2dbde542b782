"""Photos leave an index as one Parquet file, and photos of such a file enter one, without a look at their own files."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch import exports, parts
from birdsearch.catalog import Catalog
from birdsearch.commits import AUTHORITY, Batch, Entry, PartRow
from birdsearch.errors import IndexUnwritableError, InputFileError
from birdsearch.folder import writable
from birdsearch.records import Filter, Photo, shown
from birdsearch.retrieval import Retrieval

_ROWS = 4096  # photos in one commit
_SHA256, _PHASH = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{16}")


def export_photos(
    catalog: Catalog, retrieval: Retrieval, path: Path, where: Filter | None, backbone: dict[str, Any]
) -> int:
    """Write the photos that satisfy the filter, as one commit left them; returns how many."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        why = "it is a folder" if path.is_dir() else "its folder does not exist"
        raise IndexUnwritableError(f"cannot write {shown(str(path))}: {why}. Name a file in a folder that exists.")

    def rows() -> Iterator[exports.Rows]:
        for start in range(0, len(ids), _ROWS):
            some = ids[start : start + _ROWS]
            yield exports.Rows(catalog.photos(some), catalog.label_sources_of(some), *retrieval.rows(some))

    with catalog.snapshot(), writable(path):
        ids = catalog.photo_ids(where)
        about = {"backbone": backbone, "folders": [os.fsdecode(root) for root in catalog.roots_in_use()]}
        return exports.write_export(path, rows(), about)


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
