"""Serving: what a server holds (an index or none yet, its settings), and what who asks may see of it."""

import ipaddress
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request

import birdsearch
from birdsearch.errors import BirdsearchError, IndexMissingError
from birdsearch.files import is_url
from birdsearch.index import Index
from birdsearch.records import Filter, as_json, shown
from birdsearch.web.jobs import Job, Jobs
from birdsearch.web.keys import EDIT, Keys, Links
from birdsearch.web.made import Made, Question, Reports
from birdsearch.web.turns import Turns

PORT = 8377
LOCK_SECONDS = 10.0  # that a change waits while another process writes
_SECRET = ("latitude", "longitude", "camera_serial")  # fields of records that a viewer does not see
_ABSOLUTE = re.compile(
    r"(?<![\w./~])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"][^/\\'\"\n]*[/\\])+([^\s/\\'\"]*)"
)  # a path, whose folders may have spaces in their names, and its last name
_ADDRESS = re.compile(r"\b(?!https?:)([A-Za-z][\w+.-]*://)[^\s'\"]*[^\s'\".:,;)]")  # of a database or a store


class NoIndexError(BirdsearchError):
    """The server has no index yet."""


class ForbiddenError(BirdsearchError):
    """The role of the asker, or a server that only reads, does not allow this."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server was started."""

    host: str = "127.0.0.1"
    port: int = PORT
    allow_hosts: tuple[str, ...] = ()  # names by which it may be called besides its own
    read_only: bool = False
    place: Path | str | None = None  # where the first `add` makes an index
    keys: Keys = field(default_factory=Keys)
    links: Links = field(default_factory=Links)

    @property
    def is_local(self) -> bool:
        """Whether only programs of this computer can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def cookie(self) -> str:
        """The name of the cookie with the key: cookies do not know ports."""
        return f"birdsearch-{self.port}"


class State:
    """What all requests share. The index comes with the first `add` where there is none yet."""

    def __init__(self, index: Index | None, settings: Settings) -> None:
        self.index = index
        # Kept, as a page says what goes wrong where the catalog does not answer.
        self.index_id = None if index is None else index.provenance.index_id
        self.settings = settings
        self.jobs = Jobs()
        self.turns = Turns(waiting=2)  # of questions: each takes a core
        self.searches = Turns(waiting=16)  # by vectors that are known: they take milliseconds, so more may wait
        self.decoding = Turns()  # of pictures for pages, which a browser asks for by the dozen
        self.reports = Reports()
        self.stopping = threading.Event()  # set when the server is asked to end: open streams end then
        self._made_here = False

    @cached_property
    def scratch(self) -> Path:
        """A folder for files that are fetched once; it goes with the server."""
        self._folder = tempfile.TemporaryDirectory(prefix="birdsearch-")
        return Path(self._folder.name)

    def index_for_adding(self) -> Index:
        """The index; where there is none yet, a new one in the place of the settings.

        Its network is made ready first, which takes a while.
        """
        if self.index is None:
            if self.settings.place is None:
                raise NoIndexError("this server was started without a place for an index: start it with --index NAME.")
            try:  # somebody may have made it meanwhile
                self.index = birdsearch.open(self.settings.place, lock_timeout=LOCK_SECONDS)
            except IndexMissingError:
                self.index = birdsearch.create(self.settings.place)
            self._made_here = True
            self.index_id = self.index.provenance.index_id
        return self.index

    def hiding_paths(self) -> Callable[[str], str]:
        """What makes of a text one for those who may not know where files lie.

        Paths become those below the folders of the index, and elsewhere names alone.
        """
        roots: tuple[str, ...] = ()
        with suppress(BirdsearchError):  # of a catalog that does not answer; last names are all that is told then
            roots = self.index.provenance.folders if self.index is not None else ()
        below = [root.rstrip(os.sep) + os.sep for root in sorted(map(shown, roots), key=len, reverse=True)]

        def hide(text: str) -> str:
            for root in below:
                text = text.replace(root, "")
            return _ABSOLUTE.sub(r"\1", _ADDRESS.sub(r"\1…", text))

        return hide

    def close(self) -> None:
        """End the jobs, and close what was opened here."""
        self.stopping.set()
        self.jobs.close()
        if self._made_here and self.index is not None:
            self.index.close()
        if "scratch" in self.__dict__:
            self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class Serving:
    """The state of the server as the asker of one request may use it."""

    state: State
    role: str

    @property
    def index(self) -> Index:
        """The index. Raises NoIndexError where there is none yet."""
        if self.state.index is None:
            raise NoIndexError("there is no index yet: add a folder of photos first, on the page of photos.")
        return self.state.index

    @property
    def folders(self) -> list[str]:
        """The folders of the index into which a file can be written: those that are none of a store."""
        return [folder for folder in self.index.provenance.folders if not is_url(folder)]

    @property
    def jobs(self) -> Jobs:
        """What takes long."""
        return self.state.jobs

    @property
    def settings(self) -> Settings:
        """How the server was started."""
        return self.state.settings

    @property
    def may_edit(self) -> bool:
        """Whether the asker may change the index."""
        return self.role == EDIT and not self.settings.read_only

    @property
    def sees_all(self) -> bool:
        """Whether the asker may know where photos lie and were taken."""
        return self.role == EDIT

    def check_sees_files(self) -> None:
        """Raises ForbiddenError where the asker may not know which files lie on the computer."""
        if not self.sees_all:
            raise ForbiddenError("this key may not see which files lie on the computer.")

    def seen(self, record: Any) -> Any:
        """A record, or a list of them, as JSON: for the role "view" without positions, serials and absolute paths."""
        plain = as_json(record)
        return plain if self.sees_all else _told(plain, self.state.hiding_paths())

    def photos(self, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Those of the photos that are there, by id, as the asker may see them."""
        wanted = sorted(set(ids))
        there = self.index.photos(Filter(ids=wanted)) if wanted else []
        return {one["id"]: one for one in self.seen(there)}

    def answer(self, question: Question, *, fresh: bool = False) -> Made | Job:
        """A report, or the job that makes it. Raises ForbiddenError where a viewer asks for a job of their own.

        One of few photos is always of today; of many, what was made of an earlier state of the index does unless it is
        to be made `fresh`.
        """
        index, reports = self.index, self.state.reports
        takes_long = question.takes_long(index)
        if takes_long and not self.sees_all and (question.where is not None or fresh):
            raise ForbiddenError("this key may see the reports of all photos, and not have others made.")
        made = reports.kept(question)
        if made is not None and (made.generation == index.generation or (takes_long and not fresh)):
            return made
        if takes_long:
            return reports.job(index, self.jobs, question)
        with self.state.turns:
            return reports.make(index, question)

    def tag(self) -> str:
        """The ETag of an answer that holds until the next commit."""
        return f'W/"{self.index.provenance.index_id[:12]}-{self.index.generation}-{self.role}"'


def _told(plain: Any, hide: Callable[[str], str]) -> Any:
    """JSON as a viewer may see it, whichever record it is of."""
    if isinstance(plain, dict):
        return {hide(name): None if name in _SECRET else _told(value, hide) for name, value in plain.items()}
    if isinstance(plain, list):
        return [_told(value, hide) for value in plain]
    return hide(plain) if isinstance(plain, str) else plain


def held(request: Request) -> Serving:
    """The state of the server for the asker of this request, whose role the doors have found."""
    return Serving(request.app.state.serving, request.scope["state"]["role"])


Held = Annotated[Serving, Depends(held)]
