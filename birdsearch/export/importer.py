"""Adds the photos of a Parquet export to an index; their files are not read."""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from birdsearch.errors import BackboneMismatchError, InputFileError
from birdsearch.export import parquet
from birdsearch.export.selection import BATCH, Batch
from birdsearch.records import AddReport, Photo, shown
from birdsearch.storage import parts
from birdsearch.storage.catalog import commits
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.store import Store

_SHA256, _PHASH = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{16}")


def import_photos(store: Store, path: Path) -> AddReport:
    """Add the photos of an export; those whose path the index holds already are left as they are.

    Raises BackboneMismatchError where the vectors are of another backbone, InputFileError where the file is not an
    export.
    """
    started = time.monotonic()
    origin = parquet.read_origin(path)
    if origin.backbone != store.identity.backbone:
        raise BackboneMismatchError(
            f"{shown(str(path))} holds vectors of {origin.backbone.name}, this index is made with "
            f"{store.identity.backbone.name}: import it into an index of that backbone."
        )
    with store.writing() as catalog:
        added, unchanged = _import(catalog, store.folder.vectors, path, origin.folders)
    return AddReport(added=added, unchanged=unchanged, seconds=time.monotonic() - started)


def _import(catalog: Catalog, vectors_folder: Path, path: Path, folders: Iterable[str]) -> tuple[int, int]:
    """Commit the photos of an export; returns how many were new and how many paths were known."""
    for folder in folders:
        catalog.ensure_root(os.fsencode(folder))
    added = unchanged = 0
    known = catalog.known_files([b"/"])  # once: asking for every batch would take the square of a million photos
    held = {name for name, file in known.items() if file.photo_id is not None}
    for batch in parquet.read_export(path, BATCH):
        for photo, source in zip(batch.photos, batch.label_sources, strict=True):
            _check(photo, source, path)
        names = [os.fsencode(photo.path) for photo in batch.photos]
        first = {name: n for n, name in reversed(list(enumerate(names)))}  # a path named twice counts once
        new = [n for n, name in enumerate(names) if name not in held and first[name] == n]
        unchanged += len(batch.photos) - len(new)
        if new:
            failed = [batch.photos[n].path for n in new if names[n] in known]
            _commit(catalog, vectors_folder, batch, new, failed)
            added += len(new)
            held.update(names[n] for n in new)
    return added, unchanged


def _commit(catalog: Catalog, vectors_folder: Path, batch: Batch, new: list[int], failed: list[str]) -> None:
    """Commit the photos at the places `new` of a batch; `failed` are the paths that count as failures so far."""
    next_photo, next_region = catalog.next_ids()
    commit = commits.Batch(recovered=failed)
    for folder in sorted({os.path.dirname(os.fsencode(batch.photos[n].path)) for n in new}):
        catalog.ensure_root(folder)
    for offset, n in enumerate(new):
        photo, source = batch.photos[n], batch.label_sources[n]
        label = (source, photo.label) if source and photo.label else None
        entry = commits.Entry(replace(photo, id=next_photo + offset), False, next_region + offset, label)
        commit.entries.append(entry)
    part = parts.Part(np.arange(next_region, next_region + len(new)), batch.vectors[new], batch.norms[new])
    part_id = catalog.next_part()
    sha256 = parts.write(parts.file_of(vectors_folder, part_id), part)
    commit.part = commits.PartRow(part_id, len(new), sha256, "import")
    catalog.commit(commit)


def _check(photo: Photo, label_source: str | None, path: Path) -> None:
    """Raise InputFileError for a photo that no export holds."""
    name = os.fsencode(photo.path)
    hashes = _SHA256.fullmatch(photo.sha256 or "") and (photo.phash is None or _PHASH.fullmatch(photo.phash))
    if os.path.abspath(name) != name or not hashes or label_source not in (None, *commits.AUTHORITY):
        raise InputFileError(
            f"{shown(str(path))}: {shown(photo.path)} lacks an absolute path, a sha256, or holds what no export does. "
            "Export the photos again."
        )
