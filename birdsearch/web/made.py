"""Reports that take a while: each is made once, as a job where it takes long, and kept for those who ask again."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from birdsearch.index import Index
from birdsearch.records import Filter, Progress, as_json
from birdsearch.web.jobs import QUEUED, RUNNING, Job, Jobs

AT_ONCE = 3_000  # photos of which a report is made while the asker waits: about a second
_KEPT = 12  # reports


def _silent(stage: str, done: int, total: int | None, item: str) -> None:
    """Progress that nobody follows."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the photos of a filter."""

    do: str  # as jobs call it
    words: str  # what the job is called
    where: Filter | None
    make: Callable[[Index, Progress], Any]
    at_once: int | None = AT_ONCE  # photos up to which nobody waits for a job; None for any number
    options: tuple[Any, ...] = ()  # what else is asked

    @property
    def key(self) -> str:
        """The same for the same question."""
        return f"{self.do} {json.dumps(as_json([self.where, self.options]), sort_keys=True)}"

    def takes_long(self, index: Index) -> bool:
        """Whether nobody wants to wait for the answer."""
        return self.at_once is not None and index.count(self.where) > self.at_once


@dataclass(frozen=True, slots=True)
class Made:
    """A report, and the generation of the index that it is of."""

    report: Any
    generation: int


class Reports:
    """The reports that were made last, for those who ask again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[str, Made] = OrderedDict()

    def kept(self, question: Question) -> Made | None:
        """What was made last for this question; None where nothing is kept."""
        with self._lock:
            return self._made.get(question.key)

    def make(self, index: Index, question: Question, progress: Progress = _silent) -> Made:
        """Make a report now, and keep it."""
        generation = index.generation  # before: what a commit changes meanwhile makes the report old, never wrong
        made = Made(question.make(index, progress), generation)
        with self._lock:
            self._made[question.key] = made
            self._made.move_to_end(question.key)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made

    def job(self, index: Index, jobs: Jobs, question: Question) -> Job:
        """The job that makes a report: the one that runs or waits already, or a new one."""

        def work(progress: Progress) -> None:
            self.make(index, question, progress)

        running = jobs.newest(question.key, QUEUED, RUNNING)
        return running or jobs.start(question.do, question.words, work, writes=False, key=question.key)
