"""The runs that an index records: their list, how the catalog follows one, and the end of one that was killed."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

from birdsearch.actions import filesystem, journal
from birdsearch.actions.attributes import NotRestoredError
from birdsearch.actions.filesystem import SkipFile
from birdsearch.actions.journal import Intent, Log
from birdsearch.actions.undo import bring_back, renew_written
from birdsearch.records import SAME_PICTURE, RunSummary
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.removal import DeletedPhoto
from birdsearch.storage.folder import Folder


def runs(folder: Folder) -> list[RunSummary]:
    """Every run, oldest first."""
    return [log.summary(filesystem.has_gone) for log in journal.logs(folder)]


def follow(catalog: Catalog, file: BinaryIO, done: Iterable[Intent]) -> None:
    """The catalog follows the files; what kept photos take over is in the journal before it is in the catalog."""
    done = list(done)
    renew_written(catalog, done)
    deleted = [
        DeletedPhoto(i.number, i.photo_id, os.fsencode(i.path), i.kept_id, i.relation in SAME_PICTURE, i.rows)
        for i in done
        if i.photo_id is not None
    ]
    if deleted:
        catalog.delete_and_merge(deleted, lambda new: journal.write(file, [{"merged": [m.as_json() for m in new]}]))


def finish_killed(folder: Folder, catalog: Catalog) -> None:
    """Bring every run that was killed to its end. The caller holds the lock of the index."""
    for log in journal.logs(folder):
        if not log.ended and not log.undone and log.is_own():
            _finish(catalog, log)


def _finish(catalog: Catalog, log: Log) -> None:
    """What had gone is done, what had not gone stays, with its companions."""
    done = [intent for intent in log.intents if intent.number in log.done]
    settled = log.done | log.left | log.back | log.emptied
    gone: dict[int, bool] = {}
    for intent in log.intents:
        with suppress(SkipFile, OSError):  # `undo` says what stands in the way
            if intent.number not in settled:
                gone[intent.number] = filesystem.settle(intent, log.run)
    torn = {intent.beside for intent in log.intents if gone.get(intent.number) is False and intent.beside is not None}
    for intent in reversed(log.intents):
        if gone.get(intent.number) and (intent.number in torn or intent.beside in torn):
            with suppress(SkipFile, OSError, NotRestoredError):
                bring_back(intent, log.run, done=True)
                gone[intent.number] = False
    new = [intent for intent in log.intents if gone.get(intent.number)]
    filesystem.sync(new)
    with journal.append(log) as file:
        left = [number for number, there in gone.items() if not there]
        journal.write(file, [{"done": [intent.number for intent in new], "left": left}])
        follow(catalog, file, [intent for intent in done + new if intent.number not in log.back])
        filesystem.remove_made(log.intents)
        journal.write(file, [{"end": True}])
