"""Judges a Camtrap DP package as frictionless does, with the official schemas of 1.0.2 (MIT, in tests/data)."""

import json
from pathlib import Path
from typing import Any

import frictionless
import jsonschema
from frictionless import Package
from referencing import Registry
from referencing.jsonschema import DRAFT4

from tests.support import DATA

SCHEMAS = DATA / "camtrap-dp"
_PROFILES = Path(frictionless.__file__).parent / "assets/profiles"


def problems(folder: Path) -> list[str]:
    """What is wrong with a package: with its description first, then with its tables."""
    package = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    profile = json.loads((SCHEMAS / "camtrap-dp-profile.json").read_text(encoding="utf-8"))
    # Named by the profile, and not to be fetched in a test; the second says less than the profile itself.
    offline: dict[str, Any] = {
        "http://json.schemastore.org/geojson.json": json.loads((_PROFILES / "geojson.json").read_text()),
        "https://specs.frictionlessdata.io/schemas/data-package.json": {},
    }
    known = [(url, DRAFT4.create_resource(contents)) for url, contents in offline.items()]
    registry: Registry[Any] = Registry().with_resources(known)
    found = [error.message for error in jsonschema.Draft4Validator(profile, registry=registry).iter_errors(package)]
    if found:
        return found
    for resource in package["resources"]:
        resource["schema"] = json.loads((SCHEMAS / resource["schema"].rsplit("/", 1)[-1]).read_text(encoding="utf-8"))
    package.pop("profile")
    report = Package.from_descriptor(package, basepath=str(folder)).validate()
    return [*(error.message for error in report.errors), *(e.message for task in report.tasks for e in task.errors)]
