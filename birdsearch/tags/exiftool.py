"""The program ExifTool, which reads and writes the metadata of files: one process for many of them.

It is called as a process that ends by itself, where the package PyExifTool keeps one open: no user's name of a file
reaches a shell, a killed birdsearch leaves no ExifTool behind that waits, and nothing has to be installed but ExifTool.
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from birdsearch.errors import InstallationError

SECONDS = 60.0  # that one file may take, a guess: a few hundredths are usual
_WHERE = "apt install libimage-exiftool-perl (Debian, Ubuntu), brew install exiftool (macOS), exiftool.org (Windows)"
# Every tag with its group and number, unknown ones too, as numbers and whole structures.
_READ = ("-q", "-json", "-a", "-u", "-n", "-struct", "-G1:4")


@dataclass(frozen=True, slots=True)
class Answer:
    """What ExifTool printed for one command."""

    out: str
    said: str  # errors and warnings, a line each

    @property
    def error(self) -> str:
        """Why it could not be done; empty where it was."""
        wrong = (line for line in self.said.splitlines() if line.startswith(("Error", "Can't")))
        return " ".join(line.removeprefix("Error: ").rpartition(" - ")[0] or line for line in wrong)


class NoAnswerError(Exception):
    """ExifTool came to no end with these commands."""


def check_installed() -> None:
    """Raises InstallationError, which says where to get it, if ExifTool is not there."""
    _program()


def reading(path: str) -> list[str]:
    """The command that reads every tag of a file; see `tags`."""
    return [*_READ, path]


def tags(answer: Answer) -> dict[str, Any] | None:
    """What `reading` was answered: "XMP-dc:Subject" -> value; None where it could not be read."""
    try:
        (found,) = json.loads(answer.out)
    except ValueError:
        return None
    return None if "ExifTool:Error" in found else dict(found)


def writing(arguments: Sequence[str], path: str) -> list[str]:
    """The command that writes tags into a file: into a copy, as it takes the name of the file before anybody looks."""
    # What ExifTool calls minor errors are slips of other programs; whether anything is lost the caller sees.
    return ["-q", "-n", "-m", *arguments, "-overwrite_original", path]


def can_be_named(path: str) -> bool:
    """Whether ExifTool can be told of a file: each line that it reads is one argument."""
    return "\n" not in path and "\r" not in path


def run(commands: Sequence[Sequence[str]]) -> list[Answer]:
    """What ExifTool answers to each command.

    Raises InstallationError where it is not there, NoAnswerError where it comes to no end.
    """
    mark = secrets.token_hex(16)
    lines = [line for command in commands for line in (*command, "-echo3", mark, "-echo4", mark, "-execute")]
    # Without a configuration of the user's, whose tags could change what is written.
    program = [_program(), "-config", "", "-@", "-", *(["-charset", "filename=utf8"] if os.name == "nt" else [])]
    try:
        done = subprocess.run(
            program,
            input=b"".join(os.fsencode(line) + b"\n" for line in lines),
            capture_output=True,
            timeout=SECONDS + len(commands),
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswerError from error
    out, said = (_parts(stream, mark) for stream in (done.stdout, done.stderr))
    if not len(out) == len(said) == len(commands):
        raise NoAnswerError
    return [Answer(*both) for both in zip(out, said, strict=True)]


def _parts(stream: bytes, mark: str) -> list[str]:
    return stream.decode("utf-8", "replace").split(f"{mark}\n")[:-1]


def _program() -> str:
    found = shutil.which("exiftool")
    if found is None:
        what = "ExifTool, which reads and writes tags, is not installed"
        raise InstallationError(f"{what}. Get it by {_WHERE}, then try again.")
    return found
