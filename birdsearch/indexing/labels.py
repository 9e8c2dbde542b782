"""Labels that come from folder names, from keywords or from a file."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from birdsearch.arrays import IdSet
from birdsearch.errors import InputFileError
from birdsearch.files import SHARD_SIGN, PathSet, above, with_trailing_slash
from birdsearch.indexing.folder_labels import folder_label
from birdsearch.indexing.keyword_labels import last_words, species_named
from birdsearch.indexing.label_files import LabelTable, Named, read_labels
from birdsearch.records import Filter, SeveralSpecies, counted, shown
from birdsearch.storage.catalog.catalog import Catalog, FolderLabel
from birdsearch.storage.catalog.commits import FILE, Said
from birdsearch.storage.catalog.tables import NAMES
from birdsearch.taxonomy import resolve

logger = logging.getLogger("birdsearch")

KEYWORDS = "keywords"  # a choice; with a keyword behind a bar only those below that one count


class Labeller:
    """What the remembered choice of each folder says of the photos under it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._know_choices()
        self._index_id = str((catalog.get_state("identity") or {}).get("id", ""))
        self._tables: dict[str, LabelTable | None] = {}
        self._sought: set[str] = set()  # files whose photos were looked for where they lie now
        self._listed: Mapping[bytes, str] = {}  # path -> label of a list, which counts before what folders have chosen
        self._given = False  # whether this run names where labels come from
        self._overrides: dict[str, str] = {}
        self._meant: dict[str, str] = {}  # the same by what names have in common that differ in case and signs only
        self._folder_labels: dict[tuple[bytes, bytes], str | None] = {}  # folder and the chosen one above it
        self._meanings: dict[str, str | None] = {}  # name in a keyword -> the species that it means for certain
        self.renew()

    def _know_choices(self) -> None:
        """Read what was chosen for folders."""
        self._choices = self._catalog.label_choices()
        self._sources: dict[bytes, tuple[bytes, str] | None] = {}  # of what lies directly in a folder or a tar file

    def renew(self) -> None:
        """Read anew what names mean, which a user may have changed since."""
        overrides = dict(self._catalog.get_state(NAMES, {}))
        if overrides != self._overrides:
            self._overrides = overrides
            self._meant = {resolve.same(name): species for name, species in overrides.items()}
            self._folder_labels.clear()
            self._meanings.clear()

    def choose(self, folders: list[bytes], labels: str | None) -> None:
        """Remember "none", "folder", "keywords" or a file for these folders; None leaves what was chosen before."""
        if labels is None:
            return
        choice = labels
        if labels not in ("none", "folder") and _root_keyword(labels) is None:
            choice = os.path.abspath(labels)
            self._tables[choice] = table = read_labels(Path(labels), self._index_id)
            if table.note:
                logger.warning("%s", table.note)
        self._given = True
        for folder in folders:
            over = self.source(folder)
            # Below a folder of the same choice nothing new is said, and its name stays that of a species.
            again = over is not None and over[1] == choice and over[0] != folder
            self._catalog.set_label_choices({folder: None if again else choice})
            self._know_choices()

    def take_list(self, labels: Mapping[bytes, str]) -> None:
        """Let a list of photos say what they are: path -> label. For other photos nothing is remembered of it."""
        self._listed = labels

    def source(self, path: bytes) -> tuple[bytes, str] | None:
        """The deepest folder above the path for which something was chosen, and what; None where nothing was."""
        if (own := self._choices.get(path)) is not None:
            return path, own
        within = path[: 1 + max(path.rfind(b"/"), path.rfind(SHARD_SIGN))]
        if within not in self._sources:
            over = [f for f in self._choices if within.startswith((with_trailing_slash(f), f + SHARD_SIGN))]
            deepest = max(over, key=len, default=None)
            self._sources[within] = None if deepest is None else (deepest, self._choices[deepest])
        return self._sources[within]

    def of(self, path: bytes, sha256: str | None, keywords: Sequence[str] | None = None) -> Said | None:
        """The label of the photo at a path, of these bytes and with these keywords."""
        if (listed := self._listed.get(path)) is not None:
            return Said(FILE, listed)
        source = self.source(path)
        if source is None or source[1] == "none":
            return None
        folder, choice = source
        if choice == "folder":
            parent = above(path)
            # A photo that was named itself lies in the folder that names it.
            species = self._folder_label(parent, above(parent) if path == folder else folder)
            return Said("folder", species) if species else None
        if (root := _root_keyword(choice)) is not None:
            return self._keyword_label(keywords or (), root)
        table = self._table(choice)
        return None if table is None else table.said(path, sha256 or "")

    def _folder_label(self, parent: bytes, chosen: bytes) -> str | None:
        """The label of the photos that lie directly in a folder, which is the chosen one or lies below it."""
        if (parent, chosen) not in self._folder_labels:
            # A tar file is a folder of what lies in it.
            below = re.split(rb"/|(?:\.tar)(?:#|$)", parent[len(chosen) :]) if parent != chosen else []
            names = [shown(os.fsdecode(name)) for name in reversed(below) if name]
            named = shown(os.fsdecode(os.path.basename(chosen)))
            self._folder_labels[parent, chosen] = folder_label(names, named, self._overrides)
        return self._folder_labels[parent, chosen]

    def _meaning(self, name: str) -> str | None:
        """What all names have in common of the species that a name in a keyword means for certain."""
        if name not in self._meanings:
            meaning = resolve.species_of_keyword(name, self._meant.get(resolve.same(name)))
            self._meanings[name] = None if meaning is None else meaning.candidates[0]
        return self._meanings[name]

    def follow(self, old: bytes, new: bytes) -> None:
        """When a folder was moved as a whole, its choice moves along."""
        source = self.source(old)
        if source is None or self.source(new) is not None or os.path.lexists(source[0]):
            return
        below = old[len(source[0]) :]
        if new.endswith(below):
            moved = new[: len(new) - len(below)]
            choice = os.fsencode(source[1])
            if choice.startswith(with_trailing_slash(source[0])):  # a file of labels that lay in the folder
                choice = moved + choice[len(source[0]) :]
            self._catalog.set_label_choices({source[0]: None, moved: os.fsdecode(choice)})
            self._know_choices()

    def refresh(self, folders: list[bytes]) -> Iterator[tuple[int, Said | None]]:
        """Id and new label of every photo under the folders whose label is not what the choice says now."""
        for choice in self._tables_of(folders):
            self._find_moved(choice)
        for known in self._known(folders):
            if known.path in self._listed:
                if (new := self.of(known.path, known.sha256)) != known.label:
                    yield known.photo_id, new
                continue
            source = self.source(known.path)
            if source is None or (os.path.isabs(source[1]) and self._table(source[1]) is None):
                continue  # nothing was ever chosen, or the file is away: what is known stays
            if known.label is not None and known.label.source == FILE and not (os.path.isabs(source[1]) or self._given):
                continue  # a list said so, which counts more than folders and keywords until these are chosen anew
            if _root_keyword(source[1]) is not None and known.keywords is None:
                continue  # its file is away, and was never read for them
            new = self.of(known.path, known.sha256, known.keywords)
            if new is None and os.path.isabs(source[1]) and not self._given:
                continue  # a renamed photo keeps what the file said of it until a file is named again
            if new != known.label:
                yield known.photo_id, new

    def unmatched(self, folders: list[bytes]) -> list[Named]:
        """The lines of the files chosen for these folders that name a photo that the index does not hold."""
        tables = [table for choice in self._tables_of(folders) if (table := self._table(choice)) is not None]
        return [one for table in tables for one in table.unmatched(self._catalog.folder_labels(folders))]

    def entries(self, folders: list[bytes]) -> str:
        """What the files chosen for these folders consist of, for messages."""
        tables = [table for choice in self._tables_of(folders) if (table := self._table(choice)) is not None]
        return " and ".join(dict.fromkeys(table.entries for table in tables))

    def _tables_of(self, folders: list[bytes]) -> set[str]:
        """The files of labels chosen for these folders, for one above or for one below."""
        named, over = PathSet(folders), {source[1] for f in folders if (source := self.source(f)) is not None}
        chosen = {choice for folder, choice in self._choices.items() if folder in named} | over
        return {choice for choice in chosen if os.path.isabs(choice)}

    def _find_moved(self, choice: str) -> None:
        """Find, once, the photos that a file names by where they lay elsewhere, and tell about them when it is new."""
        table = self._table(choice)
        if table is None or choice in self._sought:
            return
        self._sought.add(choice)
        folders = [folder for folder, chosen in self._choices.items() if chosen == choice]
        self._tables[choice] = table = table.found_among(
            lambda: (photo.path for photo in self._catalog.folder_labels(folders))
        )
        if table.moved and self._given:
            photo, at = next(iter(table.moved.items()))
            logger.warning(
                "%s: %s found by the end of the path (%s is %s)", shown(choice), counted(len(table.moved), "photo"),
                next(shown(one.photo or one.file) for (path, _), one in table.named.items() if path == at),
                shown(os.fsdecode(photo)),
            )  # fmt: skip

    def refresh_keywords(self) -> Iterator[tuple[int, Said | None]]:
        """Id and new label of photos that get it from keywords, which may mean something else now."""
        for known, root, keywords in self._with_keywords(list(self._choices)):
            if (new := self._keyword_label(keywords, root)) != known.label:
                yield known.photo_id, new

    def several_species(self, folders: list[bytes]) -> dict[int, tuple[str, ...]]:
        """Photo id -> the species that its keywords or the file of labels name, where they are more than one."""
        named: dict[int, tuple[str, ...]] = {}
        for known, root, keywords in self._with_keywords(folders):
            if len(species := species_named(keywords, root, self._meaning)) > 1:
                named[known.photo_id] = species
        tables = {choice: table for choice in self._tables_of(folders) if (table := self._table(choice)) is not None}
        if any(table.names_several for table in tables.values()):
            for choice in tables:
                self._find_moved(choice)
            for known in self._catalog.folder_labels(folders):
                source = self.source(known.path)
                table = None if source is None else self._tables.get(source[1])
                if table is not None and len(species := table.several_species(known.path)) > 1:
                    named[known.photo_id] = species
        return named

    def unsure_keywords(self, where: Filter | None) -> Counter[str]:
        """The names in keywords that give photos of a filter no label, or are corrected -> how many have each."""
        found: Counter[str] = Counter()
        seen: IdSet | None = None
        for known, root, keywords in self._with_keywords(list(self._choices)):
            seen = IdSet(self._catalog.photo_ids(where)) if seen is None else seen
            if known.photo_id in seen:
                is_named = bool(species_named(keywords, root, self._meaning))
                names = set(last_words(keywords, root))
                found.update(name for name in names if not is_named or resolve.same(name) in self._meant)
        return found

    def without_keywords(self, folders: Sequence[bytes]) -> set[int]:
        """The photos whose labels come from keywords, and whose files were not read for them yet."""
        unread = (known for known in self._known(folders) if known.keywords is None) if self._from_keywords else ()
        return {known.photo_id for known in unread if self._keyword_above(known.path) is not None}

    def _keyword_label(self, keywords: Sequence[str], root: str) -> Said | None:
        named = species_named(keywords, root, self._meaning)
        return Said(KEYWORDS, named[0]) if len(named) == 1 else None

    def _with_keywords(self, folders: list[bytes]) -> Iterator[tuple[FolderLabel, str, tuple[str, ...]]]:
        """The photos whose labels come from keywords: what is known, the keyword above those that count, all."""
        for known in self._known(folders) if self._from_keywords else ():
            if known.keywords is not None and (root := self._keyword_above(known.path)) is not None:
                yield known, root, known.keywords

    def _keyword_above(self, path: bytes) -> str | None:
        """The keyword below which those count that give a photo its label; None where it has it from elsewhere."""
        source = self.source(path)
        return None if source is None else _root_keyword(source[1])

    @property
    def _from_keywords(self) -> bool:
        """Whether any label comes from keywords."""
        return any(_root_keyword(choice) is not None for choice in self._choices.values())

    def _known(self, folders: Sequence[bytes]) -> Iterator[FolderLabel]:
        """What is known of the photos under these folders; their keywords where a label may come from them."""
        return self._catalog.folder_labels(folders, keywords=self._from_keywords)

    def nameless(self, folders: list[bytes]) -> list[str]:
        """The folders of the photos for which no folder names a species, those of most first."""
        without = (photo.path for photo in self._catalog.folder_labels(folders) if photo.label is None)
        parents = (above(path) for path in without if (self.source(path) or ("", ""))[1] == "folder")
        names = Counter(shown(os.fsdecode(os.path.basename(parent))) for parent in parents)
        return [name for name, _ in names.most_common()]

    def _table(self, choice: str) -> LabelTable | None:
        if choice not in self._tables:
            try:
                self._tables[choice] = read_labels(Path(choice), self._index_id)
            except InputFileError as error:
                logger.warning("labels stay as they are: %s", error)
                self._tables[choice] = None
        return self._tables[choice]


def _root_keyword(choice: str) -> str | None:
    """The keyword below which those count that give labels, "" for all; None where labels do not come from keywords."""
    source, _, root = choice.partition("|")
    return root if source == KEYWORDS else None


def several_species(
    catalog: Catalog, where: Filter | None, labeller: Labeller | None = None
) -> tuple[SeveralSpecies, ...]:
    """The photos of a filter that have no label, for their keywords or the file of labels name several species."""
    labeller = labeller or Labeller(catalog)
    with catalog.snapshot():
        named = labeller.several_species(list(catalog.label_choices()))
        seen = named.keys() & set(catalog.photo_ids(where)) if named else ()
        photos = catalog.photos(sorted(seen))
    return tuple(
        SeveralSpecies(photo.id, photo.path, named[photo.id]) for photo in photos if photo.id and photo.label is None
    )
