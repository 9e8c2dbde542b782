"""iNaturalist's CSV for many observations at once; the pictures are added there by hand."""

import codecs
import logging
import unicodedata
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
from birdsearch.export.texts import Table
from birdsearch.records import ExportReport, counted

logger = logging.getLogger("birdsearch")

# Eight columns, which count by their position.
COLUMNS = (
    "Taxon name", "Date observed", "Description", "Place name", "Latitude / y coord / northing",
    "Longitude / x coord / easting", "Tags", "Geoprivacy",
)  # fmt: skip
ENCODING = "iso-8859-1"  # what iNaturalist reads: of UTF-8 every other letter would be another one
SAME = "another photo of an observation that is written"
FOREIGN = "a name with letters that iNaturalist does not read"


class INaturalist:
    """Observations as iNaturalist imports them: what people say, never a prediction."""

    name = "inaturalist"
    suffix = ".csv"
    help = "iNaturalist's CSV for many observations at once, without the pictures"
    options = SightingOptions

    def write(self, photos: Selection, path: Path, options: SightingOptions) -> ExportReport:
        """Write an observation for each event and taxon that has a place and a day."""
        sightings, lost = Sightings(photos, options), set[str]()
        needs = has_claim, has_day, has_place, _is_readable, Once(species_of_picture), Once(_observation, SAME)
        with new_file(path) as file:
            table = Table(codecs.getwriter(ENCODING)(file), COLUMNS)
            for one in sightings.fit(*needs):
                table.write(_row(one, _place_name(one, lost)))
        if lost:
            logger.warning(
                "%s: iNaturalist reads ISO-8859-1, so %s written without some letters (%s)",
                path, f"{counted(len(lost), 'name')} of places {'is' if len(lost) == 1 else 'are'}", min(lost),
            )  # fmt: skip
        return sightings.report

    def next_step(self, path: Path, report: ExportReport) -> str:
        """Where it is imported, and what is done by hand."""
        return (
            "Next: https://www.inaturalist.org/observations/import, then add the photos: each observation has the id "
            "of its first photo as a tag (birdsearch-ID)"
            if report.written
            else ""
        )


def _observation(one: Sighting) -> object:
    """What photos of one observation have in common."""
    return claim_of(one).scientific, one.event or one.photo.sha256


def _is_readable(one: Sighting) -> str:
    scientific = claim_of(one).scientific
    return "" if _readable(scientific) == scientific else FOREIGN


def _readable(text: str) -> str:
    """A text in letters of ISO-8859-1: marks that it does not have are taken from their letters, other letters go."""
    plain = "".join(
        letter if letter.encode(ENCODING, "ignore") else unicodedata.normalize("NFKD", letter)
        for letter in unicodedata.normalize("NFC", text)
    )
    return plain.encode(ENCODING, "ignore").decode(ENCODING)


def _place_name(one: Sighting, lost: set[str]) -> str:
    """The name of the place, in letters that iNaturalist reads."""
    readable = _readable(one.locality)
    if readable != unicodedata.normalize("NFC", one.locality):
        lost.add(one.locality)
    return readable


def _row(one: Sighting, place_name: str) -> dict[str, Any]:
    assert one.place is not None
    values = (
        claim_of(one).scientific, one.time.replace("T", " "), "", place_name,
        f"{one.place.latitude:.6f}", f"{one.place.longitude:.6f}",
        f"birdsearch-{one.photo.id}", "obscured" if one.place.rounded else "open",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
