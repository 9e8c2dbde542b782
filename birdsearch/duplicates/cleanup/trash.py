"""What lies in the trash of each run, and its end."""

import os
import time
from collections.abc import Iterator, Sequence

from birdsearch.actions import filesystem, journal
from birdsearch.actions.filesystem import TRASH, SkipFile
from birdsearch.actions.journal import Intent, Log
from birdsearch.actions.undo import moved_folders
from birdsearch.records import ActionReport, TrashedRun, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder


def trashed(folder: Folder, catalog: Catalog) -> list[TrashedRun]:
    """Each run of which something lies in the trash, oldest first."""
    runs = []
    for log, intents in _runs(folder, catalog):
        places = sorted({intent.to[: intent.to.index(TRASH)] + os.path.join(TRASH, log.run) for intent in intents})
        photos, size = sum(intent.photo for intent in intents), sum(intent.size for intent in intents)
        companions, only_here = len(intents) - photos, sum(not _is_elsewhere(intent, catalog) for intent in intents)
        at = str(log.header["at"])
        runs.append(TrashedRun(log.run, at, photos, companions, size, tuple(places), only_here))
    return runs


def empty(folder: Folder, catalog: Catalog) -> ActionReport:
    """Delete for good what lies in the trash; a run that was emptied can no longer be undone.

    What is not as it was put there stays, and what may be the last of its kind: the photo that was kept for it, or for
    that one in a later run, must be there. The caller holds the lock of the index.
    """
    started = time.monotonic()
    skipped: list[tuple[str, str]] = []
    photos = size = 0
    runs = list(_runs(folder, catalog))
    kept = {intent.path: intent.kept for _, intents in runs for intent in intents if intent.kept}
    for log, intents in runs:
        gone: list[Intent] = []
        stay: set[int] = set()
        try:
            for intent in intents:
                try:
                    if intent.beside in stay:
                        raise SkipFile("its photo stays in the trash")
                    _check(intent, kept)
                    filesystem.delete(intent)
                    gone.append(intent)
                except (SkipFile, OSError) as error:
                    skipped.append((intent.to, filesystem.reason(error)))
                    stay.add(intent.number)
        finally:  # also where Ctrl-C stops it
            with journal.append(log) as file:
                journal.write(file, [{"emptied": [intent.number for intent in gone]}])
        filesystem.remove_made(log.intents)
        photos += sum(intent.photo for intent in gone)
        size += sum(intent.size for intent in gone)
    return ActionReport(None, photos, tuple(skipped), size, time.monotonic() - started, len(skipped))


def _runs(folder: Folder, catalog: Catalog) -> Iterator[tuple[Log, Sequence[Intent]]]:
    """Each run that this user recorded, and what of it lies in the trash, the photos first."""
    today = moved_folders(folder, catalog)
    for log in filter(Log.is_own, journal.logs(folder)):
        log.intents = [today(intent) for intent in log.intents]
        inside = [i for i in log.open() if os.path.join(os.sep + TRASH, log.run) in i.to and os.path.lexists(i.to)]
        if inside:
            yield log, sorted(inside, key=lambda intent: (intent.beside is not None, intent.number))


def _check(intent: Intent, kept: dict[str, str]) -> None:
    """Raises SkipFile for what may be the last of its kind."""
    name, passed = intent.kept, set()
    while name and not os.path.isfile(name) and name not in passed:
        passed.add(name)
        name = kept.get(name, "")  # a later run took it as well
    if intent.kept and (not os.path.isfile(name) or os.path.samefile(name, intent.to)):
        raise SkipFile(f"the photo that was kept for it is no longer there: {shown(intent.kept)}")


def _is_elsewhere(intent: Intent, catalog: Catalog) -> bool:
    """Whether the bytes of a file in the trash lie elsewhere too, as the kept file or as another photo of the index."""
    names = [os.fsdecode(path) for path in catalog.paths_with_bytes(intent.sha256).values()]
    names += [intent.kept] if intent.kept and intent.kept_sha256 == intent.sha256 else []
    return any(os.path.isfile(name) and os.path.getsize(name) == intent.size for name in names)
