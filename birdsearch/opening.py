"""Make an index, open one, bring back one that cannot be opened."""

import os
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsearch.backbones.classes import Classes
from birdsearch.errors import BackboneMismatchError, IndexDamagedError
from birdsearch.files import sha256_of
from birdsearch.index import Index
from birdsearch.records import shown
from birdsearch.storage import maintenance
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import FORMAT, Folder

if TYPE_CHECKING:
    from birdsearch.backbones import Backbone


def create(
    path: str | os.PathLike[str],
    *,
    backbone: Any = None,  # a name, the path of a checkpoint, or an object with name, dim and embed(images)
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
) -> Index:
    """Make a new, empty index in a folder that does not exist or is empty."""
    from birdsearch.backbones import DEFAULT, load_backbone

    folder = Folder(path)
    folder.check_free()
    loaded = load_backbone(backbone or DEFAULT, runtime=runtime, device=device, precision=precision)
    identity = {
        "format": FORMAT,
        "id": uuid.uuid4().hex,
        "backbone": loaded.identity,
        "source": loaded.source,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with folder.writing():
        folder.check_free()  # another process may have been faster
        folder.vectors.mkdir(exist_ok=True)
        folder.classifier.unlink(missing_ok=True)  # what a killed `create` with another backbone may have left
        if loaded.class_names:
            folder.write_classes(Classes.of(loaded))
            identity["classifier_sha256"] = sha256_of(folder.classifier)
        with closing(Catalog(folder.catalog)) as catalog:
            catalog.upgrade()
            with catalog.transaction() as connection:
                catalog.set_state(connection, "identity", identity)
        # Last, because its presence is what makes the folder an index.
        folder.write_identity(identity)
    return Index(folder, identity, loaded, runtime=runtime, device=device, precision=precision)


def open(
    path: str | os.PathLike[str],
    *,
    backbone: Any = None,  # only for an index that was made with your own object
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
) -> Index:
    """Open an index; no network is loaded before one is needed."""
    folder = Folder(path)
    identity = folder.read_identity()
    made_with = identity["backbone"]
    loaded: Backbone | None = None
    if isinstance(backbone, str | Path):
        if str(backbone) not in (made_with["name"], identity.get("source")):
            raise _mismatch(folder, made_with["name"], str(backbone))
    elif backbone is not None:
        from birdsearch.backbones import load_backbone

        loaded = load_backbone(backbone)
        if loaded.identity != made_with:
            raise _mismatch(folder, made_with["name"], loaded.name)
    if not folder.catalog.exists():
        raise IndexDamagedError(
            f"{shown(str(folder.catalog))} is missing: restore it from a backup, "
            f"or move {shown(str(folder.path))} away and index again."
        )
    index = Index(folder, identity, loaded, runtime=runtime, device=device, precision=precision)
    try:
        index.bring_up_to_date()
    except BaseException:
        index.close()
        raise
    return index


def restore(path: str | os.PathLike[str]) -> list[str]:
    """Write a lost or broken index.json again from the catalog, so that `open` works; returns what was done."""
    return maintenance.restore_identity(Folder(path))


def _mismatch(folder: Folder, made_with: str, asked: str) -> BackboneMismatchError:
    return BackboneMismatchError(
        f"the index {shown(str(folder.path))} was made with the backbone {made_with}, not with {asked}: "
        "leave the backbone out to use its own, or make another index."
    )
