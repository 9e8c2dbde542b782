"""Adds the photos of a Parquet export to an index; their files are not read."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch.backbones.classes import are_numbers
from birdsearch.errors import BackboneMismatchError
from birdsearch.export import parquet
from birdsearch.export.parquet import LABEL, Rows
from birdsearch.export.selection import BATCH
from birdsearch.files import PathSet, above, is_there
from birdsearch.indexing import corrections
from birdsearch.records import AddReport, Ids, Label, LabelReport, Progress, counted, shown
from birdsearch.species import names
from birdsearch.storage import parts
from birdsearch.storage.catalog import commits
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import SETTLED, STORED, NewPhotos, signed
from birdsearch.storage.catalog.region_rows import RegionEntry
from birdsearch.storage.place import Place
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")


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
    with store.writing(shared=True) as catalog:
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


def _import(catalog: Catalog, place: Place, path: Path, progress: Progress | None) -> tuple[int, int, int]:
    """Commit the photos of an export; returns how many were new, had known paths, and are new without a file here."""
    added = unchanged = away = 0
    for rows in parquet.read_export(path, BATCH):
        known = catalog.files_at(rows.paths)
        held = {name: file.photo_id for name, file in known.items() if file.photo_id is not None}
        first = {name: row for row, name in reversed(list(enumerate(rows.paths)))}  # a path named twice counts once
        new = [row for row, name in enumerate(rows.paths) if name not in held and first[name] == row]
        unchanged += len(rows.paths) - len(new)
        if held:
            _take_corrections(catalog, rows, {row: held[name] for row, name in enumerate(rows.paths) if name in held})
        if new:
            taken = rows.only(new)
            _commit(catalog, place, taken, [os.fsdecode(name) for name in taken.paths if name in known])
            added += len(new)
            away += sum(not is_there(name) for name in taken.paths)
        if progress is not None:
            progress("import", added + unchanged, None, "")
    return added, unchanged, away


def _take_corrections(catalog: Catalog, rows: Rows, held: Mapping[int, int]) -> None:
    """The corrections of photos that the index holds: row -> id; the newer one of two counts."""
    columns = (rows.column(name) for name in ("sha256", "label", *(f"label_{each}" for each in LABEL)))
    by_hand = {row: said for row, said in enumerate(zip(*columns, strict=True)) if said[2] == "correction"}
    here = catalog.known_photos(held[row] for row in by_hand if row in held)
    given = {
        held[row]: Label(held[row], *label)
        for row, (sha256, *label) in by_hand.items()
        if row in held and held[row] in here and here[held[row]].sha256 == sha256
    }
    report = corrections.take(catalog, given)
    if report != LabelReport(unchanged=report.unchanged):
        logger.warning(
            "corrections of photos that the index holds already: %d changed a label, %d confirmed one, "
            "%d are not newer than the correction here, which stays",
            *(report.changed, report.confirmed, report.older),
        )


def _commit(catalog: Catalog, place: Place, rows: Rows, failed: list[str]) -> None:
    """Commit new photos; `failed` are the paths of those that count as failures so far."""
    photo_id, region_id = catalog.new_ids(len(rows.paths), len(rows.paths) + sum(map(len, rows.regions.values())))
    covered = PathSet(catalog.roots().values())
    for folder in sorted({above(name) for name in rows.paths}):
        if folder not in covered:
            catalog.ensure_root(folder)
    commit = commits.Batch(new=_new_photos(rows, photo_id, region_id), recovered=failed)
    regions = [(photo_id + row, one) for row, have in sorted(rows.regions.items()) for one in have]
    regions.sort(key=lambda each: each[1].vector is None)  # those with a vector follow the frames
    embedded = [one for _, one in regions if one.vector is not None]
    for row, (owner, one) in enumerate(regions, start=len(rows.paths)):
        region = replace(one.region, photo_id=owner)
        commit.regions.append(RegionEntry(region_id + row, region, None if one.vector is None else row))
    vectors = np.concatenate([rows.vectors, *(one.vector[None] for one in embedded if one.vector is not None)])
    norms = np.concatenate([rows.norms, np.array([one.norm for one in embedded], dtype=np.float32)])
    part = parts.Part(np.arange(region_id, region_id + len(norms)), vectors, norms)
    catalog.commit(commit, partial(parts.listed, place, part=part, runtime="import"))


def _new_photos(rows: Rows, first_id: int, first_region: int) -> NewPhotos:
    """The rows as the catalog takes them."""
    photos = {name: rows.column(name) for name in STORED if name not in ("id", *SETTLED)}
    photos["keywords"] = [None if words is None else list(map(str, words)) for words in photos["keywords"]]
    photos["phash"] = [signed(value) for value in rows.column("phash")]
    photos["rendered"] = [value or "file" for value in photos["rendered"]]
    photos["found_by"] = rows.column("found_by")
    labels: dict[str, list[Any]] = {"species": rows.column("label")}
    labels |= {name: rows.column(f"label_{name}") for name in LABEL}
    labels["photo_id"] = list(range(first_id, first_id + len(rows.paths)))
    labelled = [source is not None for source in labels["source"]]
    guessed, predictions = rows.predictions()
    predictions["photo_id"] = (guessed + first_id).tolist()
    named = _named(guessed, predictions["class_name"])
    return NewPhotos(
        first_id,
        first_region,
        rows.paths,
        photos,
        {name: [*compress(values, labelled)] for name, values in labels.items()},
        {name: [*compress(values, named)] for name, values in predictions.items()},
    )


def _named(rows: Ids, classes: Sequence[str]) -> list[bool]:
    """Which predictions are of photos some class of which has a name; others come of an index that is not repaired."""
    numbers = {name for name in set(classes) if are_numbers([name])}
    owners = rows.tolist()
    named = {row for row, name in zip(owners, classes, strict=True) if name not in numbers}
    return [row in named for row in owners]
