"""Small file systems of a test's own, where the system lets us make them."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import ROOT

MEMORY = Path("/dev/shm")  # a disk that waits for nothing, where the system has it
APART = ["unshare", "--mount", "--map-root-user"]  # what is mounted there is mounted nowhere else


def call_where_disks_mount(check: Callable[[Path], None], folder: Path) -> None:
    """Call a function of a test module in a process that may mount disks in `folder`; skip where none may."""
    (folder / "try").mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder / "try")]
        subprocess.run([*APART, *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a small file system")
    code = f"""
from pathlib import Path
from {check.__module__} import {check.__name__}
{check.__name__}(Path({str(folder)!r}))
"""
    done = subprocess.run([*APART, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def other_disk(place: Path) -> Iterator[Path]:
    """A new folder on another file system than a place."""
    disks = [disk for disk in (MEMORY, Path(tempfile.gettempdir())) if disk.is_dir()]
    other = next((disk for disk in disks if disk.stat().st_dev != place.stat().st_dev), None)
    if other is None:
        pytest.skip("this system has no second file system that anybody may write to")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)
