"""Labels that a person gives by hand: above what folders and CSVs say, with author and time."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from birdsearch.errors import InputFileError
from birdsearch.indexing.label_rows import LabelRow, contradiction, moment, read_rows
from birdsearch.indexing.moved_paths import photos_at
from birdsearch.memory import PHOTOS_AT_ONCE
from birdsearch.records import Label, LabelReport, batched, counted, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.tables import NAMES
from birdsearch.storage.store import Store
from birdsearch.taxonomy import resolve

logger = logging.getLogger("birdsearch")


def correct(store: Store, labels: Mapping[int, str | None], author: str | None) -> LabelReport:
    """Set or (None) remove the corrections of photos; a species that a photo has already is confirmed."""
    given: dict[int, Label | None] = {}
    for photo_id, species in labels.items():
        if species is not None and not species.strip():
            raise ValueError(f"photo {photo_id} would have an empty label: None removes a correction")
        given[int(photo_id)] = None if species is None else by_hand(int(photo_id), species.strip(), author)
    _warn_of_misspelt(store.catalog, given)
    with store.changing() as catalog:
        catalog.photos(given)  # raises for an unknown id
        known = catalog.labels_of(given)
        new = {photo_id: label for photo_id, label in given.items() if _says_more(label, known.get(photo_id))}
        return _set(catalog, given, known, new)


def restore(store: Store, report: LabelReport) -> LabelReport:
    """Label the photos of a report as they were before; those that are gone meanwhile count as unknown."""
    with store.changing() as catalog:
        here = catalog.known_photos(report.before)
        given = {photo_id: _correction(label) for photo_id, label in report.before.items() if photo_id in here}
        known = catalog.labels_of(given)
        new = {photo_id: label for photo_id, label in given.items() if label != _correction(known.get(photo_id))}
        return replace(_set(catalog, given, known, new, report.kept), unknown=len(report.before) - len(given))


def _correction(label: Label | None) -> Label | None:
    """A label that was given by hand; None for any other, which stays beneath and needs not be set."""
    return label if label is not None and label.source == "correction" else None


def _set(
    catalog: Catalog,
    given: Mapping[int, Label | None],
    known: Mapping[int, Label],
    new: Mapping[int, Label | None],
    keep: Mapping[str, Label] | None = None,
) -> LabelReport:
    """Set those labels that are new among those that are given, and say what became of all of them."""
    before = {photo.id: photo.label for photo in catalog.photos(given)}
    kept = catalog.correct_labels(new, keep) if new or keep else {}  # readers need not look again for what was known
    same = [photo for photo in catalog.photos(given) if photo.label == before[photo.id]]
    confirmed = sum(new.get(photo.id or 0) is not None for photo in same)
    counts = len(before) - len(same), confirmed, len(same) - confirmed
    return LabelReport(*counts, before={photo_id: known.get(photo_id) for photo_id in new}, kept=kept)


def _says_more(label: Label | None, have: Label | None) -> bool:
    """Whether a correction, or the end of one, is not yet what the index has."""
    if have is None or have.source != "correction":
        return label is not None
    return label is None or label.species != have.species or label.author not in (None, have.author)


def _warn_of_misspelt(catalog: Catalog, given: Mapping[int, Label | None]) -> None:
    """Tell of new labels that no list has, where there is one that is spelled nearly so; they are set all the same."""
    known, meanings = list(catalog.label_counts()), dict(catalog.get_state(NAMES, {}))
    new = {label.species for label in given.values() if label is not None} - set(known)
    for meaning in resolve.resolve_many(sorted(new), overrides=meanings):
        if meaning.method == "guess" and meaning.rank == "species" and meaning.taxon is not None:
            near = meaning.taxon.english or meaning.taxon.scientific
        elif meaning.method == "unresolved" and (alike := resolve.similar([meaning.name], known)):
            near = alike[0]
        else:
            continue
        logger.warning(
            "%s is in no list of birds, and no photo was labelled so: did you mean %s? It is set as you wrote it",
            *(shown(name) for name in (meaning.name, near)),
        )


def take(catalog: Catalog, given: Mapping[int, Label]) -> LabelReport:
    """Corrections from elsewhere, with their authors and times; one of the index that is not older stays."""
    known = catalog.labels_of(given)
    counts = dict.fromkeys(("changed", "confirmed", "unchanged", "older"), 0)
    new: dict[int, Label | None] = {}
    for photo_id, label in given.items():
        have = known.get(photo_id)
        by_hand = have is not None and have.source == "correction"
        if have is not None and by_hand and have.species == label.species and moment(have.created_at) is not None:
            counts["unchanged"] += 1
        elif have is not None and by_hand and not _is_later(label, have):
            counts["older"] += 1
        else:
            counts["confirmed" if have is not None and have.species == label.species else "changed"] += 1
            new[photo_id] = label
    kept = catalog.correct_labels(new) if new else {}
    return LabelReport(**counts, before={photo_id: known.get(photo_id) for photo_id in new}, kept=kept)


def correct_from(store: Store, path: Path, author: str | None, least: float = 0.0) -> LabelReport:
    """The corrections of a CSV. Raises InputFileError, with the line, and changes nothing, for what cannot be used.

    Only what somebody changed or confirmed counts: lines that are as birdsearch wrote them change nothing. Of the
    answers of a program for a photo the first counts, if it is at least so probable and the program does not abstain.
    """
    rows = _sure_answers(list(read_rows(path, ["sha256", "id", "path"])), least)
    saying = [row for row in rows if row.says_something]
    with store.catalog.snapshot():
        photos = NamedPhotos.of(store, saying)
        found = [(row, photos.named(row)) for row in saying]
        known = store.catalog.labels_of({photo_id for _, ids in found for photo_id in ids})
    if found and not any(ids for _, ids in found):
        raise InputFileError(f"{shown(str(path))}: the index holds none of its photos. Is it a list of another index?")
    given: dict[int, Label] = {}
    lines: dict[int, tuple[int, str]] = {}  # photo -> the line that speaks of it, and what it says
    unchanged = len(rows) - len(saying)
    for row, ids in found:
        for photo_id in ids:
            line, species = lines.setdefault(photo_id, (row.line, row.species))
            if species != row.species:
                raise contradiction(row, line, species)
            if row.by_hand or photo_id not in known or known[photo_id].species != row.species:
                given[photo_id] = _label(row, photo_id, author)
            else:
                unchanged += 1
    _warn_of_misspelt(store.catalog, given)
    with store.changing() as catalog:
        report = take(catalog, given)
    unknown = sum(not ids for _, ids in found)
    return replace(report, unchanged=report.unchanged + unchanged, unknown=unknown)


def _sure_answers(rows: Sequence[LabelRow], least: float) -> list[LabelRow]:
    """The lines without a program's further answers for a photo, those that are unlikely, or where it abstains."""
    unknown = {row.photo for row in rows if row.abstains}
    first = [row for row in rows if row.is_first]
    named = [row for row in first if row.photo not in unknown]
    sure = [row for row in named if not least or (row.probability or 0.0) >= least]
    for count, why in (
        (len(first) - len(named), "they are probably none of your species"),
        (len(named) - len(sure), f"no species reaches the probability {least:g}"),
    ):
        if count:
            logger.warning("%s left as they are: %s", counted(count, "photo"), why)
    return sure


@dataclass(frozen=True, slots=True)
class NamedPhotos:
    """The photos of the index, as a CSV may name them."""

    index_id: str
    by_path: Mapping[bytes, int]
    by_sha256: Mapping[str, Sequence[int]]
    paths: Mapping[int, bytes]  # of the photos that it names by their ids or their bytes

    @classmethod
    def of(cls, store: Store, rows: Sequence[LabelRow]) -> "NamedPhotos":
        catalog = store.catalog  # with missing photos: their labels count when the file is back
        by_path = photos_at({row.path: row.values["path"] for row in rows if row.path is not None}, catalog)
        by_sha256 = catalog.ids_with_bytes(sorted({row.sha256 for row in rows if row.sha256}))
        numbers = {row.number for row in rows if row.number is not None}
        paths = {
            photo_id: os.fsencode(photo.path)
            for block in batched(numbers.union(*by_sha256.values()), PHOTOS_AT_ONCE)
            for photo_id, photo in catalog.known_photos(block).items()
        }
        return cls(store.identity.id, by_path, by_sha256, paths)

    def lacks(self, row: LabelRow) -> bool:
        """Whether the index does not hold the photo that a line names by its bytes or, without those, its path."""
        if row.sha256:
            return not self.named(row)
        by_path = row.path is not None and not row.index_id
        return by_path and row.path not in self.by_path

    def named(self, row: LabelRow) -> Sequence[int]:
        """The photos that a line names: those of its bytes, of copies the one in its place; none for unknown bytes.

        Raises InputFileError for a line without a sha256 that does not name one photo of this index for certain.
        """
        ours = row.index_id == self.index_id
        at = self.by_path.get(row.path) if row.path is not None else None
        own = [row.number] if ours and row.number is not None and row.number in self.paths else []
        if row.sha256:
            same = self.by_sha256.get(row.sha256, ())
            if not same:
                return own  # it may have been edited since
            exact = [photo_id for photo_id in (*own, at) if photo_id is not None and photo_id in same]
            return exact[:1] or self._alike(row, same)
        if row.index_id and not ours:
            raise InputFileError(
                f"{row.place}: {shown(row.photo)} is a photo of another index, and the line has no sha256, by which it "
                "could be found here. Let that index write the list again."
            )
        if own:
            return own
        if at is None and row.path is None and row.number is not None and not ours:
            raise InputFileError(
                f"{row.place}: of which index is {row.number} the id? Add the column sha256, path, or index_id "
                f"(of this index: {self.index_id})."
            )
        if at is None:
            which = shown(row.photo) or "no sha256, id or path"
            raise InputFileError(f"{row.place}: the index holds no such photo ({which}).")
        if row.number not in (None, at):
            raise InputFileError(
                f"{row.place}: {shown(row.photo)} is photo {at} of this index, not {row.number}. "
                "Is it the table of another index? Leave one of the two out."
            )
        return [at]

    def _alike(self, row: LabelRow, same: Sequence[int]) -> Sequence[int]:
        """Of copies those that lie below their root as the line says; all of them where none does."""
        relative = row.values.get("relative_path", "")
        below = b"/" + relative.encode("utf-8", "surrogateescape")
        return [photo_id for photo_id in same if relative and self.paths[photo_id].endswith(below)] or same


def _label(row: LabelRow, photo_id: int, author: str | None) -> Label:
    """What a line says; whoever edited it is the author, else it keeps the one that it names."""
    if row.edited or not (row.author or row.created_at or row.is_correction):
        return by_hand(photo_id, row.species, author)
    label = Label(photo_id, row.species, "correction", row.author or author, row.created_at or None)
    if row.created_at and moment(row.created_at) is None:
        raise InputFileError(
            f"{row.place}: created_at is {shown(row.created_at)!r}. Write a time as 2026-11-26T17:00:00+00:00."
        )
    return label


def by_hand(photo_id: int, species: str, author: str | None) -> Label:
    """What a person says of a photo now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Label(photo_id, shown(species), "correction", author and shown(author), now)


def _is_later(label: Label, other: Label) -> bool:
    """Whether a correction was made after another one; one without a time counts as the first."""
    mine, others = moment(label.created_at), moment(other.created_at)
    return mine is not None and (others is None or mine > others)
