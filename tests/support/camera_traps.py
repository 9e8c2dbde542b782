"""Files in which camera trap projects hand on what was seen: Camtrap DP packages, COCO and detections."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, object]
_RESOURCES = ("deployments", "media", "observations")


def package(
    folder: Path, media: Sequence[Row], observations: Sequence[Row], paths: Mapping[str, object] | None = None
) -> Path:
    """A package of these tables; what a row does not say is as usual. Returns its datapackage.json."""
    folder.mkdir(parents=True, exist_ok=True)
    usual_media = {"deploymentID": "d1", "timestamp": "2026-05-01T07:00:00+02:00", "filePublic": "false"}
    usual = {
        "deploymentID": "d1", "mediaID": "", "eventID": "", "eventStart": "2026-05-01T07:00:00+02:00",
        "eventEnd": "2026-05-01T07:00:00+02:00", "observationLevel": "media", "observationType": "animal",
        "scientificName": "", "classificationMethod": "human", "classifiedBy": "", "classificationTimestamp": "",
        "classificationProbability": "", "bboxX": "", "bboxY": "", "bboxWidth": "", "bboxHeight": "",
    }  # fmt: skip
    table(
        folder / "media.csv", [{"mediaID": "", "filePath": "", "fileName": "", **usual_media, **row} for row in media]
    )
    table(folder / "observations.csv", [{"observationID": n, **usual, **row} for n, row in enumerate(observations)])
    listed = [{"name": name, "path": (paths or {}).get(name, f"{name}.csv")} for name in _RESOURCES]
    return written(folder / "datapackage.json", {"name": "test", "resources": listed})


def table(path: Path, rows: Sequence[Row]) -> Path:
    """A CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["none"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def written(path: Path, content: Any) -> Path:
    """JSON in a file."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
