"""eBird's Record Format (Extended): lists of birds seen at a place on a day."""

import codecs
import csv
from collections import Counter
from pathlib import Path
from typing import Any

from birdsearch.export.selection import Selection
from birdsearch.export.sightings import (
    Once,
    Sighting,
    SightingOptions,
    Sightings,
    claim_of,
    has_claim,
    has_day,
    has_place,
    species_of_picture,
)
from birdsearch.export.target import new_file
from birdsearch.export.texts import one_line
from birdsearch.records import ExportReport, counted
from birdsearch.sheets import guarded

COLUMNS = 19  # without a header
MOST_BYTES = 10**6  # of a file that eBird takes
NO_BIRD = "no bird"
NO_SPECIES = "a label above the species, which is no record"
DECIMALS = 3  # of the degrees of a place: a hundred metres, within which sightings of a day are one list

Record = tuple[str, str, str, str, str, str]  # day, location, latitude, longitude, scientific and English name


class EBird:
    """Records as eBird imports them: what people say, never a prediction."""

    name = "ebird"
    suffix = ".csv"
    help = "eBird's Record Format (Extended), a list for each place and day, without the pictures"
    options = SightingOptions

    def write(self, photos: Selection, path: Path, options: SightingOptions) -> ExportReport:
        """Write a line for each species, place and day."""
        sightings = Sightings(photos, options)
        needs = has_claim, _is_species_of_bird, has_day, has_place, Once(species_of_picture)
        photographed = Counter(_record(one) for one in sightings.fit(*needs))
        with new_file(path) as file:
            rows = csv.writer(codecs.getwriter("utf-8")(file))
            rows.writerows(_row(record, photographed[record]) for record in sorted(photographed))
        return sightings.report

    def next_step(self, path: Path, report: ExportReport) -> str:
        """Where it is imported, and what is done by hand."""
        if not report.written:
            return ""
        too_large = " in parts, as eBird takes files of up to 1 MB" if path.stat().st_size > MOST_BYTES else ""
        how = "choose eBird Record Format (Extended); photos are added to the lists by hand"
        return f"Next: https://ebird.org/import{too_large}: {how}"


def _is_species_of_bird(one: Sighting) -> str:
    claim = claim_of(one)
    if "Aves" not in claim.ranks:
        return NO_BIRD
    return "" if claim.rank in ("species", "subspecies") else NO_SPECIES


def _record(one: Sighting) -> Record:
    assert one.place is not None
    latitude, longitude = (f"{degrees:.{DECIMALS}f}" for degrees in (one.place.latitude, one.place.longitude))
    location = one.locality or f"at {latitude}, {longitude}{' (rounded)' if one.place.rounded else ''}"
    claim = claim_of(one)
    genus, species, *_ = claim.scientific.split()
    return (
        (one.photo.taken_at or "")[:10],
        one_line(location),
        latitude,
        longitude,
        f"{genus} {species}",
        claim.english,
    )


def _row(record: Record, photographed: int) -> list[Any]:
    """One line; X is a bird that was there, of which nobody counted how many."""
    day, location, latitude, longitude, scientific, english = record
    year, month, date = day.split("-")
    genus, _, species = scientific.partition(" ")
    return [
        guarded(english), genus, species, "X", counted(photographed, "photo"), guarded(location), latitude, longitude,
        f"{month}/{date}/{year}", "", "", "", "Historical", 1, "", "N", "", "", "From photographs",
    ]  # fmt: skip
