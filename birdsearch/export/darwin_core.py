"""Darwin Core archives, as GBIF takes them: an occurrence for each photo of a named bird, and where the photo is."""

import codecs
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from html import escape
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZIP_DEFLATED, ZipFile

from birdsearch.export.privacy import GENERALIZED
from birdsearch.export.selection import Selection
from birdsearch.export.sightings import (
    DatasetOptions,
    Once,
    Sighting,
    Sightings,
    claim_of,
    has_claim,
    has_day,
    species_of_picture,
)
from birdsearch.export.target import new_file
from birdsearch.export.texts import Table, one_line
from birdsearch.photos.filetype import MEDIA_TYPES
from birdsearch.records import ExportReport

_DWC, _DC, _ROWS = "http://rs.tdwg.org/dwc/terms/", "http://purl.org/dc/terms/", "http://rs.gbif.org/terms/1.0/"
_CORE = (
    "occurrenceID", "basisOfRecord", "eventID", "eventDate", "scientificName", "taxonRank", "kingdom", "phylum",
    "class", "order", "family", "genus", "vernacularName", "occurrenceStatus", "decimalLatitude", "decimalLongitude",
    "geodeticDatum", "coordinateUncertaintyInMeters", "dataGeneralizations", "locality", "recordedBy", "identifiedBy",
    "dateIdentified", "identificationVerificationStatus", "identificationRemarks", "license", "datasetName",
)  # fmt: skip
_MEDIA = ("occurrenceID", "type", "format", "identifier", "created", "creator", "license")
_OF_DC = {"type", "format", "identifier", "created", "creator", "license"}  # terms of Dublin Core
# What GBIF knows these licences as.
_LICENSES = {
    "CC0-1.0": "http://creativecommons.org/publicdomain/zero/1.0/legalcode",
    "CC-BY-4.0": "http://creativecommons.org/licenses/by/4.0/legalcode",
    "CC-BY-NC-4.0": "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
}


class DarwinCore:
    """Photos as a Darwin Core archive."""

    name = "dwca"
    suffix = ".zip"
    help = "occurrences for GBIF, a Darwin Core archive"
    options = DatasetOptions

    def write(self, photos: Selection, path: Path, options: DatasetOptions) -> ExportReport:
        """Write an occurrence for each photo that has a sure label and a date."""
        sightings = Sightings(photos, options)
        with new_file(path) as file, ZipFile(file, "w", ZIP_DEFLATED) as archive, ExitStack() as stack:
            pictures = stack.enter_context(tempfile.TemporaryFile())  # an archive takes one file at a time
            media = Table(codecs.getwriter("utf-8")(pictures), _MEDIA)
            with TextIOWrapper(archive.open("occurrence.csv", "w"), "utf-8", newline="") as core:
                occurrences = Table(core, _CORE)
                for one in sightings.fit(has_claim, has_day, Once(species_of_picture)):
                    occurrences.write(_occurrence(one, options))
                    media.write(_picture(one, options), as_they_are=("identifier",))
            pictures.seek(0)
            with archive.open("multimedia.csv", "w") as member:
                shutil.copyfileobj(pictures, member)
            archive.writestr("meta.xml", _meta())
            archive.writestr("eml.xml", _eml(options))
        return sightings.report

    def next_step(self, path: Path, report: ExportReport) -> str:
        """Where it can be checked."""
        return "Next: https://www.gbif.org/tools/data-validator shows what GBIF makes of it" if report.written else ""


def _id(one: Sighting) -> str:
    """What stays the same in every export: the bytes of the photo, and the species."""
    sha256, species = species_of_picture(one)
    return f"birdsearch:{sha256}:{species.replace(' ', '_')}"


def _occurrence(one: Sighting, options: DatasetOptions) -> dict[str, Any]:
    claim, place = claim_of(one), one.place
    row = dict(zip(("kingdom", "phylum", "class", "order", "family", "genus"), claim.ranks, strict=False))
    row |= {
        "occurrenceID": _id(one),
        "basisOfRecord": "HumanObservation" if options.deployments is None else "MachineObservation",
        "eventID": one.event,
        "eventDate": one.time,
        "scientificName": claim.scientific,
        "taxonRank": claim.rank,
        "vernacularName": claim.english,
        "occurrenceStatus": "present",
        "locality": one.locality,
        "recordedBy": one.photo.photographer or "",
        "identifiedBy": claim.by,
        "dateIdentified": claim.at.isoformat() if claim.at else "",
        "identificationRemarks": f"label: {claim.source}",
        "license": _LICENSES.get(options.license, options.license),
        "datasetName": options.title,
    }
    if claim.probability is not None:
        row["identificationVerificationStatus"] = "unverified"
        row["identificationRemarks"] = f"prediction of a machine, probability {claim.probability:.3f}"
    if place is not None:
        row |= {"decimalLatitude": f"{place.latitude:.6f}", "decimalLongitude": f"{place.longitude:.6f}"}
        row |= {"geodeticDatum": "WGS84", "coordinateUncertaintyInMeters": str(place.uncertainty or "")}
        row["dataGeneralizations"] = GENERALIZED if place.rounded else ""
    return row


def _picture(one: Sighting, options: DatasetOptions) -> dict[str, Any]:
    return {
        "occurrenceID": _id(one),
        "type": "StillImage",
        "format": MEDIA_TYPES.get(one.photo.format or "", ""),
        "identifier": options.url + quote(one.photo.path),
        "created": (one.photo.taken_at or "").partition(".")[0],
        "creator": one.photo.photographer or "",
        "license": _LICENSES.get(options.license, options.license),
    }


def _meta() -> str:
    """What the columns of the two tables are."""

    def table(tag: str, kind: str, file: str, names: tuple[str, ...], key: str) -> str:
        terms = [(at, (_DC if name in _OF_DC else _DWC) + name) for at, name in enumerate(names)]
        fields = "".join(f'<field index="{at}" term="{term}"/>' for at, term in terms if at or tag == "core")
        how = 'encoding="UTF-8" fieldsTerminatedBy="," linesTerminatedBy="\\n" fieldsEnclosedBy="&quot;"'
        location = f"<files><location>{file}</location></files>"
        return f'<{tag} {how} ignoreHeaderLines="1" rowType="{kind}">{location}<{key} index="0"/>{fields}</{tag}>'

    core = table("core", f"{_DWC}Occurrence", "occurrence.csv", _CORE, "id")
    extension = table("extension", f"{_ROWS}Multimedia", "multimedia.csv", _MEDIA, "coreid")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">'
    return f"{head}{core}{extension}</archive>\n"


def _eml(options: DatasetOptions) -> str:
    """What the data set is: title, who it is by, licence."""
    title, name, license = (
        escape(one_line(text), quote=False) for text in (options.title, options.contributor, options.license)
    )
    person = f"<individualName><surName>{name}</surName></individualName>"
    rights = f"<intellectualRights><para>{license}</para></intellectualRights>" if license else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0" '
        'packageId="birdsearch" system="birdsearch" scope="system" xml:lang="en"><dataset>'
        f"<title>{title}</title><creator>{person}</creator><metadataProvider>{person}</metadataProvider>"
        f"<pubDate>{datetime.now(UTC):%Y-%m-%d}</pubDate><language>en</language>"
        "<abstract><para>Photographs of birds, with what people say that they show.</para></abstract>"
        f"{rights}<contact>{person}</contact></dataset></eml:eml>\n"
    )
