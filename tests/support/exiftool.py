"""The program ExifTool, where it is installed: what it reads of files, and the mark of tests that need it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")


def read(path: Path, *options: str) -> dict[str, Any]:
    """Every tag of a file by its group."""
    command = ["exiftool", "-json", "-G1", "-a", "-u", "-n", "-struct", *options, str(path)]
    (tags,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return dict(tags)


def warnings(path: Path) -> set[str]:
    """What `-validate` has to say of a file."""
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(path)]
    return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())
