"""Labels that come from folder names or from a CSV."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from birdsearch.errors import InputFileError
from birdsearch.files import read_csv, with_trailing_slash
from birdsearch.records import shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.store import Store

logger = logging.getLogger("birdsearch")

Label = tuple[str, str]  # source ("folder" or "csv"), species


def read_labels(path: Path) -> dict[bytes, str]:
    """Absolute path of a photo -> species, from a CSV with the columns path and species.

    A relative path counts from the folder of the CSV. Raises InputFileError, with the line, for what cannot be used.
    """
    labels: dict[bytes, str] = {}
    for line, values in read_csv(path, ["species"], any_of=["path"]):
        photo, species = values.get("path", ""), values.get("species", "").strip()
        if not photo:
            raise InputFileError(f"{shown(str(path))}, line {line}: no path. Write path,species in every line.")
        if species:
            labels[_absolute(path, photo)] = species
    return labels


def read_corrections(path: Path, ids_by_path: Mapping[bytes, int]) -> dict[int, str]:
    """Photo id -> species, from a CSV with the columns id or path, and species; empty species are left out.

    Raises InputFileError, with the line, for a photo that is not among `ids_by_path`.
    """
    ids, labels = set(ids_by_path.values()), dict[int, str]()
    for line, values in read_csv(path, ["species"], any_of=["id", "path"]):
        number, photo = values.get("id", "").strip(), values.get("path", "")
        known = ids_by_path.get(_absolute(path, photo)) if photo else None
        if number.isascii() and number.isdigit():
            if known not in (None, int(number)):
                raise InputFileError(
                    f"{shown(str(path))}, line {line}: {shown(photo)} is photo {known} of this index, not {number}. "
                    "Is it the table of another index? Leave one of the two out."
                )
            known = int(number)
        if known is None or known not in ids:
            which = number or shown(photo) or "no id and no path"
            raise InputFileError(f"{shown(str(path))}, line {line}: the index holds no such photo ({which}).")
        if species := values.get("species", "").strip():
            labels[known] = species
    return labels


def _absolute(path: Path, photo: str) -> bytes:
    return os.path.abspath(os.path.join(os.fsencode(path.parent), os.fsencode(photo)))


class Labeller:
    """What the remembered choice of each folder says of the photos under it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._choices = catalog.label_choices()
        self._tables: dict[str, dict[bytes, str] | None] = {}
        self._given = False  # whether this run names where labels come from

    def choose(self, folders: list[bytes], labels: str | None) -> None:
        """Remember "none", "folder" or a CSV for these folders; None leaves what was chosen before."""
        if labels is None:
            return
        choice = labels
        if labels not in ("none", "folder"):
            choice = os.path.abspath(labels)
            self._tables[choice] = read_labels(Path(choice))
        self._given = True
        for folder in folders:
            above = self.source(folder)
            # Below a folder of the same choice nothing new is said, and its name stays that of a species.
            again = above is not None and above[1] == choice and above[0] != folder
            self._catalog.set_label_choices({folder: None if again else choice})
            self._choices = self._catalog.label_choices()

    def source(self, path: bytes) -> tuple[bytes, str] | None:
        """The deepest folder above the path for which something was chosen, and what; None where nothing was."""
        above = [f for f in self._choices if path == f or path.startswith(with_trailing_slash(f))]
        return max(((folder, self._choices[folder]) for folder in above), key=lambda c: len(c[0]), default=None)

    def of(self, path: bytes) -> Label | None:
        """The label of the photo at a path."""
        source = self.source(path)
        if source is None or source[1] == "none":
            return None
        folder, choice = source
        if choice == "folder":
            parent = os.path.dirname(path)
            # A photo that lies directly in the chosen folder lies in no species folder.
            return ("folder", shown(os.fsdecode(os.path.basename(parent)))) if parent != folder else None
        species = (self._table(choice) or {}).get(path)
        return ("csv", species) if species else None

    def follow(self, old: bytes, new: bytes) -> None:
        """When a folder was moved as a whole, its choice moves along."""
        source = self.source(old)
        if source is None or self.source(new) is not None or os.path.lexists(source[0]):
            return
        below = old[len(source[0]) :]
        if new.endswith(below):
            moved = new[: len(new) - len(below)]
            choice = os.fsencode(source[1])
            if choice.startswith(with_trailing_slash(source[0])):  # a CSV that lay in the folder
                choice = moved + choice[len(source[0]) :]
            self._catalog.set_label_choices({source[0]: None, moved: os.fsdecode(choice)})
            self._choices = self._catalog.label_choices()

    def refresh(self, folders: list[bytes]) -> dict[int, Label | None]:
        """Photo id -> new label for every photo under the folders whose label is not what the choice says now."""
        changed: dict[int, Label | None] = {}
        for photo_id, (path, label) in self._catalog.folder_labels(folders).items():
            source = self.source(path)
            if source is None or (source[1] not in ("none", "folder") and self._table(source[1]) is None):
                continue  # nothing was ever chosen, or the CSV is away: what is known stays
            new = self.of(path)
            if new is None and source[1] not in ("none", "folder") and not self._given:
                continue  # a renamed photo keeps what the CSV said of it until a CSV is named again
            if new != label:
                changed[photo_id] = new
        return changed

    def unmatched(self, folders: list[bytes]) -> int:
        """How many lines of the CSVs chosen for these folders name a photo that the index does not hold."""
        chosen = {choice for folder, choice in self._choices.items() if folder in folders} - {"none", "folder"}
        indexed = {path for path, _ in self._catalog.folder_labels(folders).values()}
        return sum(len(set(self._table(choice) or {}) - indexed) for choice in chosen)

    def _table(self, choice: str) -> dict[bytes, str] | None:
        if choice not in self._tables:
            try:
                self._tables[choice] = read_labels(Path(choice))
            except InputFileError as error:
                logger.warning("labels stay as they are: %s", error)
                self._tables[choice] = None
        return self._tables[choice]


def correct(store: Store, labels: Mapping[int, str | None], author: str | None) -> int:
    """Set or (None) remove the corrections of photos; returns how many labels changed."""
    before = {photo.id: photo.label for photo in store.catalog.photos(labels)}  # raises for an unknown id
    corrected = {int(photo_id): None if name is None else name.strip() for photo_id, name in labels.items()}
    if empty := [photo_id for photo_id, name in corrected.items() if name == ""]:
        raise ValueError(f"photo {empty[0]} would have an empty label: None removes a correction")
    with store.writing() as catalog:
        catalog.correct_labels(corrected, author)
    return sum(photo.label != before[photo.id] for photo in store.catalog.photos(labels))


def correct_from(store: Store, path: Path, author: str | None) -> int:
    """The corrections of a CSV; returns how many labels changed."""
    known = store.catalog.known_files([b"/"])  # with missing photos: their labels count when the file is back
    ids_by_path = {name: file.photo_id for name, file in known.items() if file.photo_id is not None}
    return correct(store, read_corrections(path, ids_by_path), author)
