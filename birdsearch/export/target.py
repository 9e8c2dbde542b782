"""Where an export and other outputs go: a new file or folder, which appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from birdsearch import files
from birdsearch.errors import OutputFileError
from birdsearch.files import check_target
from birdsearch.records import shown
from birdsearch.sheets import csv_bytes

__all__ = ["check_target", "csv_bytes", "new_file", "new_folder", "write_file"]


def write_file(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a file that a user asked for. Raises OutputFileError where it cannot or must not be written."""
    with files.new_file(path, force=force) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, ending: str = "", why: str = "") -> Iterator[BinaryIO]:
    """A file for an exporter to write to; `exporter.export` has checked before what it may overwrite.

    With an `ending` (".parquet") other names are refused; `why` is the reason in the message.
    """
    if path.suffix.lower() != ending and ending:
        raise _unwritable(path, why, f"file that ends in {ending},")
    with files.new_file(path, force=True) as file:
        yield file


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name when the block ends. Raises OutputFileError where it cannot be."""
    empty = path.is_dir() and not any(path.iterdir())
    if os.path.lexists(path) and not empty:
        raise _unwritable(path, "something is there already", "new or empty folder")
    if not path.absolute().parent.is_dir():
        raise _unwritable(path, "its folder does not exist", "new or empty folder")
    with files.written(path), files.durable_folder(path) as folder:
        yield folder


def _unwritable(path: Path, why: str, kind: str) -> OutputFileError:
    return OutputFileError(f"cannot write {shown(str(path))}: {why}. Name a {kind} in a folder that exists.")
