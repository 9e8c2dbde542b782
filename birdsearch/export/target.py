"""The target of an export: a new file or folder, which appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from birdsearch.errors import OutputFileError
from birdsearch.files import atomic_write, durable_folder
from birdsearch.records import shown


@contextmanager
def new_file(path: Path, ending: str = "", why: str = "") -> Iterator[BinaryIO]:
    """A file to write to, which takes its name when the block ends. Raises OutputFileError where it cannot be.

    With an `ending` (".parquet") other names are refused; `why` is the reason in the message.
    """
    kind, taken = "file", "it is a folder" if path.is_dir() else ""
    if path.suffix.lower() != ending and ending:
        kind, taken = f"file that ends in {ending},", why
    with _written(path, kind, taken), atomic_write(path) as file:
        yield file


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name when the block ends. Raises OutputFileError where it cannot be."""
    empty = path.is_dir() and not any(path.iterdir())
    taken = "something is there already" if os.path.lexists(path) and not empty else ""
    with _written(path, "new or empty folder", taken), durable_folder(path) as folder:
        yield folder


@contextmanager
def _written(path: Path, kind: str, taken: str) -> Iterator[None]:
    """Translates what the disk refuses, before and while a thing of this kind is written."""
    why = taken or ("" if path.absolute().parent.is_dir() else "its folder does not exist")
    if why:
        raise OutputFileError(f"cannot write {shown(str(path))}: {why}. Name a {kind} in a folder that exists.")
    try:
        yield
    except OSError as error:
        where = shown(os.fsdecode(error.filename)) if error.filename else shown(str(path))
        raise OutputFileError(
            f"cannot write {where}: {error.strerror}. Make room or permission, then run the same command again."
        ) from error
