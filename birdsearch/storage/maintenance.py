"""Verify and repair: every promise of the on-disk format, checked and, where possible, made good."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import numpy as np

from birdsearch.backbones.classes import Classes
from birdsearch.cache import file_problem
from birdsearch.errors import BackboneError, BirdsearchError, IndexDamagedError, IndexMissingError
from birdsearch.files import is_there, is_url, sha256_of
from birdsearch.homes import homes, indexes_in
from birdsearch.records import PAIR, AddReport, Filter, Identity, IndexInfo, IndexSummary, Progress, as_json, shown
from birdsearch.storage import optimize, parts, vectors
from birdsearch.storage.address import Address
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import GIVEN, PartRow
from birdsearch.storage.catalog.tables import IDENTITY, NAMES, RAW
from birdsearch.storage.folder import Folder
from birdsearch.storage.store import Store, catalog_there, list_again, open_catalog
from birdsearch.storage.vectors import stored_identity

_UNIT = 1e-3  # how far the length of a stored vector may be from 1


def facts(store: Store) -> IndexInfo:
    """What an index is and holds, as JSON takes it."""
    catalog, identity = store.catalog, store.identity
    folders = [os.fsdecode(root) for root in catalog.roots_in_use()]
    known: dict[str, Any] = {
        "path": str(store.folder.address),
        "format": identity.format,
        "created": identity.created,
        "backbone": identity.backbone.name,
        "dim": identity.backbone.dim,
        "weights_sha256": identity.backbone.weights_sha256,
        "engine": store.vectors.engine_name(),
        "engine_state": store.vectors.engine_state(),
        "whitened": vectors.whitening_sha256(catalog) is not None,
        "runtimes": catalog.runtimes(),
        **catalog.counts(),
        **_species(catalog),
        "not_here": sum(
            catalog.count(Filter(under=folder)) for folder in folders if not (is_url(folder) or os.path.isdir(folder))
        ),
        "folders": folders,
        "labels": {os.fsdecode(f): choice for f, choice in catalog.label_choices().items()},
        "raw": catalog.get_state(RAW, PAIR),
        "bytes": store.folder.bytes(),
    }
    return cast(IndexInfo, known)  # a test compares the keys


def _species(catalog: Catalog) -> dict[str, int]:
    """How many species the photos show, and how many labels are something else."""
    from birdsearch.taxonomy.resolve import count_species  # for which the lists of birds are read

    count: dict[str, int] = as_json(count_species(catalog.species_names(), catalog.get_state(NAMES, {})))
    return count


def list_indexes(database: str | None = None) -> list[IndexSummary]:
    """The indexes that a name opens from the current folder; of two with one name the first is the one it opens.

    With a `database`, birds+postgresql://HOST/DATABASE, those that have their catalogs in it. Raises IndexAddressError,
    and IndexUnwritableError where it cannot be asked.

    >>> "garden" in [summary.name for summary in birdsearch.list_indexes()]
    True
    """
    if database is not None:
        return _in_database(Address.of_database(database))
    return [_summary(Folder(place)) for home in homes() for place in indexes_in(home)]


def _in_database(database: Address) -> list[IndexSummary]:
    from birdsearch.storage.catalog.postgresql_database import PostgreSQLCatalog, indexes_of  # of few indexes

    found = []
    for name, size in indexes_of(database).items():
        address = replace(database, name=name)
        known = IndexSummary(name, str(address), bytes=size)
        try:
            with closing(PostgreSQLCatalog(address)) as catalog:
                identity = stored_identity(catalog)
                backbone = None if identity is None else identity.backbone.name
                found.append(replace(known, photos=catalog.count(), backbone=backbone))
        except BirdsearchError as error:
            found.append(replace(known, problem=str(error)))
    return found


def _summary(folder: Folder) -> IndexSummary:
    known = IndexSummary(folder.path.name, str(folder.address), bytes=folder.bytes(), changed=folder.changed())
    try:
        identity = folder.read_identity()
        with closing(open_catalog(folder, identity)) as catalog:
            return replace(known, photos=catalog.count(), backbone=identity.backbone.name)
    except BirdsearchError as error:
        return replace(known, problem=str(error))


def problems(store: Store, progress: Progress | None = None) -> Iterator[str]:
    """Each breach of the format in words; nothing where all is well. A part the catalog does not list is no breach."""
    yield from map(store.folder.place.told, _problems(store, progress))


def _problems(store: Store, progress: Progress | None) -> Iterator[str]:
    folder, catalog = store.folder, store.catalog
    broken = catalog.integrity_problems()
    yield from broken
    if broken:
        return  # what a broken catalog says of the rest is worth nothing
    if stored_identity(catalog) != store.identity:
        yield f"{shown(str(folder.identity))} is not what the catalog remembers of it"
    checks = [_classes_problem(folder, store.identity) or _mistaken(store), whitening_problem(folder, catalog)]
    checks += [problem for _, problem in _part_problems(folder, catalog, store.identity.backbone.dim, progress)]
    yield from (problem for problem in checks if problem is not None)
    for photo in catalog.photos_without_frame():
        yield f"photo {photo.id} ({shown(photo.path)}) has no vector"
    yield from catalog.region_problems()
    yield from (
        f"photo {photo_id} shows a label or species that its records do not give"
        for photo_id in catalog.stale_species()
    )
    yield from _lacking_companions(catalog)
    yield from store.vectors.problems()


def _lacking_companions(catalog: Catalog) -> Iterator[str]:
    """Photos that are there without a file that went with them when they were indexed."""
    for photo in catalog.photos_with_companions():
        lost = [path for path in photo.companions if not os.path.lexists(path)]
        if lost and os.path.lexists(photo.path):
            names = ", ".join(map(shown, lost))
            what = f"photo {photo.id} ({shown(photo.path)}) lacks what went with it"
            yield f"{what}: {names}; `birdsearch index` forgets that"


def restore_identity(folder: Folder) -> list[str]:
    """Make index.json and the catalog's copy of it the same again, where one is lost; returns what was done.

    Where both are there and differ, the catalog's is right.
    """
    try:
        catalog = catalog_there(folder)
    except IndexMissingError:
        if not list_again(folder):
            raise
        return ["listed the index in its database again", *restore_identity(folder)]
    try:
        current = folder.read_identity()
    except IndexDamagedError:
        if catalog is None:
            raise
        current = None
    if catalog is None:
        return []
    with closing(catalog):
        identity = stored_identity(catalog)
        if identity == current:
            return []
        with folder.writing():
            if identity is not None:
                folder.write_identity(identity)
                return ["wrote index.json again from the catalog"]
            catalog.set_state(IDENTITY, as_json(current))
    return ["wrote the catalog's copy of index.json again"]


def repair(store: Store, embed: Callable[[list[str]], AddReport], progress: Progress | None = None) -> list[str]:
    """Rebuild what can be rebuilt; `embed` indexes photos again whose vector is lost. Returns what was done."""
    folder, catalog = store.folder, store.catalog
    done = restore_identity(folder)
    store.reopen(folder.read_identity())
    with store.writing():
        damaged = any(store.vectors.problems())
        dropped, hurt = drop_damaged_parts(folder, catalog, store.identity.backbone.dim, progress)
        done += dropped
        if _classes_problem(folder, store.identity) is not None:
            write_classes_again(store, store.backbone.classes)
            done.append("wrote the classifier again from the backbone")
        if (layer := store.last_layer) is not None and _mistaken(store) is not None:
            write_classes_again(store, layer)
            forgotten = catalog.forget_predictions()
            done.append(f"wrote the classifier again as a projection, and forgot {forgotten} predictions of numbers")
        if whitening_problem(folder, catalog) is not None:
            done.append(optimize.refit(folder, catalog, store.vectors))
        if count := catalog.derive_species():
            done.append(f"worked out the species of {count} photos again")
        if damaged:
            store.vectors.forget_engine()
        if store.vectors.refresh():
            done.append("built the engine anew")
    lost = [photo.path for photo in catalog.photos_without_frame()]
    regions = [photo.path for photo in catalog.known_photos(hurt).values() if photo.path not in lost]
    if present := [path for path in (*lost, *regions) if is_there(path)]:
        try:
            report = embed(present)
            done += [f"embedded {report.changed} photos again"] if lost else []
            done += [f"embedded {report.regions.embedded} regions again"] if report.regions.embedded else []
        except BackboneError as error:
            done.append(f"{len(present)} photos have lost their vector, and it cannot be made again: {error}")
    if away := sum(not is_there(path) for path in lost):
        done.append(f"{away} photos have lost their vector and their file is away: index again when it is back")
    return done


def drop_damaged_parts(
    folder: Folder, catalog: Catalog, dim: int, progress: Progress | None = None
) -> tuple[list[str], set[int]]:
    """Forget every part that cannot be trusted; its photos are then without a vector, or some of their regions.

    Returns what was done, and those photos.
    """
    done: list[str] = []
    hurt: set[int] = set()
    for part, problem in _part_problems(folder, catalog, dim, progress):
        if problem is not None:
            held = catalog.regions_by_id(region_id for region_id, _ in catalog.regions_of_part(part.id))
            hurt |= {region.photo_id for region in held.values() if region.photo_id is not None}
            catalog.drop_part(part.id)
            folder.vectors.drop(re.escape(parts.name_of(part.id)))
            own = " Its vectors were given by Index.add_vectors: give them again." if part.runtime == GIVEN else ""
            done.append(f"dropped a part: {folder.place.told(problem)}{own}")
    return done, hurt


def write_classes_again(store: Store, layer: Classes) -> None:
    """Write classifier.npz, and its new checksum. The caller holds the lock."""
    store.folder.write_classes(layer)
    # Another numpy may lay the same numbers down otherwise.
    identity = replace(store.identity, classifier_sha256=sha256_of(store.folder.classifier))
    store.catalog.set_state(IDENTITY, as_json(identity))
    store.folder.write_identity(identity)
    store.reopen(identity)


def whitening_problem(folder: Folder, catalog: Catalog) -> str | None:
    """What is wrong with the whitening transform, where the index has one."""
    sha256 = vectors.whitening_sha256(catalog)
    return None if sha256 is None else file_problem(folder.whitening(sha256, anew=True), sha256, anew=True)


def _classes_problem(folder: Folder, identity: Identity) -> str | None:
    sha256 = identity.classifier_sha256
    return None if sha256 is None else file_problem(folder.place.here(folder.classifier.name), sha256, anew=True)


def _mistaken(store: Store) -> str | None:
    """What an older birdsearch made of an encoder's projection: classes that are numbers, and predictions of them."""
    layer = store.last_layer
    if layer is None or layer.names or not (layer.mistaken or store.catalog.has_predictions()):
        return None
    name = shown(str(store.folder.classifier))
    return f"{name} takes the projection of an encoder for classes, which are numbers: run `birdsearch repair`"


def _part_problems(
    folder: Folder, catalog: Catalog, dim: int, progress: Progress | None
) -> Iterator[tuple[PartRow, str | None]]:
    """Each part and what is wrong with it."""
    listed = catalog.parts()
    for number, part in enumerate(listed):
        if progress is not None:
            progress("verify", number, len(listed), "")
        yield part, _part_problem(folder, catalog, part, dim)


def _part_problem(folder: Folder, catalog: Catalog, part: PartRow, dim: int) -> str | None:
    path = parts.file_of(folder.vectors, part.id)
    name = shown(str(path))
    if (problem := file_problem(path, part.sha256, anew=True)) is not None:
        return problem
    try:
        stored = parts.read(path, part.sha256)
    except IndexDamagedError as error:
        return str(error)
    if stored.vectors.shape != (part.rows, dim):
        return f"{name} holds {stored.vectors.shape} vectors, the catalog says {(part.rows, dim)}"
    if not np.allclose(np.linalg.norm(stored.vectors, axis=1), 1, atol=_UNIT):
        return f"{name} holds vectors whose length is not 1"
    for region_id, row in catalog.regions_of_part(part.id):
        if not 0 <= row < part.rows or stored.region_ids[row] != region_id:
            return f"{name} does not hold region {region_id} in row {row}"
    return None
