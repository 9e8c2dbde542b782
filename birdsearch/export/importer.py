"""Photos of a Parquet export enter an index without a look at their own files."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from birdsearch.errors import BackboneMismatchError, InputFileError
from birdsearch.export import parquet
from birdsearch.export.parquet import BATCH
from birdsearch.records import AddReport, Photo, as_json, shown
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import AUTHORITY, Batch, Entry, PartRow
from birdsearch.storage.store import Store


def import_photos(store: Store, path: Path) -> AddReport:
    """Take in the photos of an export; see `Index.import_photos`."""
    started = time.monotonic()
    about = parquet.read_about(path)
    name, own = about["backbone"].get("name"), store.identity.backbone
    if about["backbone"] != as_json(own):
        raise BackboneMismatchError(
            f"{shown(str(path))} holds vectors of {name}, this index is made with {own.name}: "
            "import it into an index of that backbone."
        )
    with store.writing() as catalog:
        added, unchanged = import_rows(catalog, store.folder.vectors, path, about["folders"])
    return AddReport(added=added, unchanged=unchanged, seconds=time.monotonic() - started)


def import_rows(catalog: Catalog, vectors_folder: Path, path: Path, folders: list[str]) -> tuple[int, int]:
    """Commit the rows of an export; returns how many photos were new and how many paths were known. Needs the lock."""
    for folder in folders:
        catalog.settle_root(os.fsencode(folder))
    added = unchanged = 0
    known = catalog.known_files([b"/"])  # once: asking for every batch would take the square of a million photos
    held = {name for name, file in known.items() if file.photo_id is not None}
    for rows in parquet.read_export(path, BATCH):
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


def _commit(catalog: Catalog, vectors_folder: Path, rows: parquet.Rows, new: list[int], failed: list[str]) -> None:
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


_SHA256, _PHASH = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{16}")
