"""Adds the photos of a Parquet export to an index; their files are not read."""

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from birdsearch.backbones.classes import are_numbers
from birdsearch.errors import BackboneMismatchError, InputFileError
from birdsearch.export import parquet
from birdsearch.export.selection import BATCH, Batch
from birdsearch.files import PathSet
from birdsearch.indexing import corrections
from birdsearch.records import AddReport, Label, LabelReport, Photo, Prediction, Progress, counted, shown
from birdsearch.species import names
from birdsearch.storage import parts
from birdsearch.storage.catalog import commits
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.region_rows import RegionEntry
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")

_SHA256, _PHASH = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{16}")


def import_photos(store: Store, path: Path, progress: Progress | None = None) -> AddReport:
    """Add the photos of an export; of those whose path the index holds already only the corrections count.

    Raises BackboneMismatchError where the vectors are of another backbone, InputFileError where the file is not an
    export.
    """
    started = time.monotonic()
    origin = parquet.read_origin(path)
    if origin.backbone != store.identity.backbone:
        raise BackboneMismatchError(
            f"{shown(str(path))} holds vectors of {origin.backbone}, this index is made with "
            f"{store.identity.backbone.told_from(origin.backbone)}: import it into an index of that backbone."
        )
    with store.writing() as catalog:
        for folder in origin.folders:
            catalog.ensure_root(os.fsencode(folder))
        _choose_labels(catalog, origin.labels)
        names.take_overrides(catalog, origin.names)
        catalog.keep_not_duplicates(origin.not_duplicates)
        added, unchanged, away = _import(catalog, store.folder.vectors, path, progress)
    if away:
        logger.warning(
            "the files of %s are not here: what compares pixels (dedupe, split) cannot read them",
            counted(away, "photo"),
        )
    return AddReport(added=added, unchanged=unchanged, seconds=time.monotonic() - started)


def _choose_labels(catalog: Catalog, choices: Mapping[str, str]) -> None:
    """Folders get their labels here as they did there, unless something was chosen here for them, above or below."""
    known = catalog.label_choices()
    ours, theirs = PathSet(known), {os.fsencode(folder): choice for folder, choice in sorted(choices.items())}
    new = [folder for folder in theirs if folder not in ours and not any(one in PathSet([folder]) for one in known)]
    catalog.set_label_choices({folder: theirs[folder] for folder in new})


def _import(catalog: Catalog, vectors_folder: Path, path: Path, progress: Progress | None) -> tuple[int, int, int]:
    """Commit the photos of an export; returns how many were new, had known paths, and are new without a file here."""
    added = unchanged = away = 0
    known = catalog.known_files([b"/"])  # once: asking for every batch would take the square of a million photos
    held = {name: file.photo_id for name, file in known.items() if file.photo_id is not None}
    for batch in parquet.read_export(path, BATCH):
        for photo, label in zip(batch.photos, batch.labels, strict=True):
            _check(photo, label, path)
        names = [os.fsencode(photo.path) for photo in batch.photos]
        first = {name: n for n, name in reversed(list(enumerate(names)))}  # a path named twice counts once
        new = [n for n, name in enumerate(names) if name not in held and first[name] == n]
        unchanged += len(batch.photos) - len(new)
        _take_corrections(catalog, batch, {n: held[name] for n, name in enumerate(names) if name in held})
        if new:
            failed = [batch.photos[n].path for n in new if names[n] in known]
            _commit(catalog, vectors_folder, batch, new, failed)
            added += len(new)
            away += sum(not os.path.exists(names[n]) for n in new)
            held.update(dict.fromkeys((names[n] for n in new), 0))
        if progress is not None:
            progress("import", added + unchanged, None, "")
    return added, unchanged, away


def _take_corrections(catalog: Catalog, batch: Batch, held: Mapping[int, int]) -> None:
    """The corrections of photos that the index holds: place in the batch -> id; the newer one of two counts."""
    here = catalog.known_photos(held.values())
    given = {
        photo_id: label
        for n, photo_id in held.items()
        if (label := batch.labels[n]) is not None
        and label.source == "correction"
        and photo_id in here
        and here[photo_id].sha256 == batch.photos[n].sha256
    }
    report = corrections.take(catalog, given)
    if report != LabelReport(unchanged=report.unchanged):
        logger.warning(
            "corrections of photos that the index holds already: %d changed a label, %d confirmed one, "
            "%d are not newer than the correction here, which stays",
            *(report.changed, report.confirmed, report.older),
        )


def _commit(catalog: Catalog, vectors_folder: Path, batch: Batch, new: list[int], failed: list[str]) -> None:
    """Commit the photos at the places `new` of a batch; `failed` are the paths that count as failures so far."""
    next_photo, next_region = catalog.next_ids()
    commit = commits.Batch(recovered=failed, imported=True)
    for folder in sorted({os.path.dirname(os.fsencode(batch.photos[n].path)) for n in new}):
        catalog.ensure_root(folder)
    for offset, n in enumerate(new):
        photo, label = batch.photos[n], batch.labels[n]
        if are_numbers(guess.class_name for guess in photo.predictions):  # of an index that is not repaired yet
            photo = replace(photo, predictions=())
        by_hand = label is not None and label.source == "correction"
        said = None if label is None or by_hand else (label.source, label.species)
        entry = commits.Entry(replace(photo, id=next_photo + offset), False, next_region + offset, said)
        commit.entries.append(replace(entry, correction=label) if by_hand else entry)
        commit.found_by[next_photo + offset] = batch.found_by[n]
    regions = [(next_photo + offset, one) for offset, n in enumerate(new) for one in batch.regions[n]]
    regions.sort(key=lambda each: each[1].vector is None)  # those with a vector follow the frames
    embedded = [one for _, one in regions if one.vector is not None]
    for row, (photo_id, one) in enumerate(regions, start=len(new)):
        region = replace(one.region, photo_id=photo_id)
        commit.regions.append(RegionEntry(next_region + row, region, None if one.vector is None else row))
    vectors = np.concatenate([batch.vectors[new], *(one.vector[None] for one in embedded if one.vector is not None)])
    norms = np.concatenate([batch.norms[new], np.array([one.norm for one in embedded], dtype=np.float32)])
    part = parts.Part(np.arange(next_region, next_region + len(norms)), vectors, norms)
    commit.part = parts.listed(vectors_folder, catalog.next_part(), part, "import")
    catalog.commit(commit)


def _check(photo: Photo, label: Label | None, path: Path) -> None:
    """Raise InputFileError for a photo that no export holds."""
    name = os.fsencode(photo.path)
    counted = None not in (photo.size, photo.mtime_ns) and _are_whole(photo.predictions)
    hashes = _SHA256.fullmatch(photo.sha256 or "") and (photo.phash is None or _PHASH.fullmatch(photo.phash))
    labelled = label is None or (label.source in commits.AUTHORITY and label.species)
    if os.path.abspath(name) != name or not hashes or not counted or not labelled:
        raise InputFileError(
            f"{shown(str(path))}: {shown(photo.path)} lacks an absolute path, a sha256 or a size, or holds what no "
            "export does. Export the photos again."
        )


def _are_whole(predictions: Sequence[Prediction]) -> bool:
    """Whether the predictions of a photo are complete, and no two have one position."""
    known = all(
        None not in (p.position, p.probability) and p.rank and p.class_name and 0 <= (p.probability or 0) <= 1
        for p in predictions
    )
    return known and len({p.position for p in predictions}) == len(predictions)
