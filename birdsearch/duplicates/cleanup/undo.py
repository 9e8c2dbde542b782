"""Take a run of `apply` back: every file and every row, whatever a kill has left."""

import os
import time
from collections.abc import Sequence

from birdsearch.duplicates.cleanup import filesystem, journal
from birdsearch.duplicates.cleanup.filesystem import SkipFile, has_content
from birdsearch.duplicates.cleanup.journal import Intent, Log
from birdsearch.errors import PlanError
from birdsearch.records import ActionReport, Progress, blocks, shown
from birdsearch.storage import vectors
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder


def undo(folder: Folder, catalog: Catalog, run: str | None = None, *, progress: Progress | None = None) -> ActionReport:
    """Bring every file and every row of a run back: of the last one that is not undone, or of the one named.

    Never overwrites: where another file stands in the old place this one is skipped, and can be undone later. The
    caller holds the lock of the index, and sees to the engine afterwards. Raises PlanError where there is no such run,
    where it is undone already, or where a later run must be undone first.
    """
    started = time.monotonic()
    log = journal.select_run(folder, run)
    _check_order(folder, log)
    skipped: list[tuple[str, str]] = []
    waiting = log.open()[::-1]
    photos = size = 0
    with journal.append(log) as file:
        for batch in blocks(len(waiting), journal.BATCH):
            back: list[Intent] = []
            for intent in waiting[batch]:
                try:
                    if _bring_back(intent, log):
                        photos, size = photos + intent.photo, size + intent.size
                    back.append(intent)
                except (SkipFile, OSError) as error:
                    skipped.append((intent.path, filesystem.reason(error)))
            filesystem.sync(back)
            skipped += _restore(folder, catalog, log, back)
            journal.write(file, [{"back": [intent.number for intent in back]}])
            if progress:
                progress("undo", batch.stop, len(waiting), waiting[batch.stop - 1].path)
        filesystem.remove_made(log.intents)
        if not log.open():
            journal.write(file, [{"end": True, "undone": True}])
    return ActionReport(log.run, photos, tuple(skipped), size, time.monotonic() - started)


def _check_order(folder: Folder, log: Log) -> None:
    """Raises PlanError where a later run took away what this one kept or took away."""
    mine = {name for intent in log.open() for name in (intent.path, intent.kept) if name}
    for later in reversed(journal.logs(folder)):
        if later.run == log.run:
            return
        both = mine & {intent.path for intent in later.open() if intent.number in later.done or not later.ended}
        if both and not later.undone:
            raise PlanError(
                f"run {later.run} came after {log.run} and also took {shown(min(both))}: "
                f"undo that one first (`birdsearch undo {later.run}`)."
            )


def _bring_back(intent: Intent, log: Log) -> bool:
    """One file as it was before the run; False where it had never gone. SkipFile or OSError where it cannot be."""
    done = intent.number in log.done
    if intent.kind == "link":
        return _bring_back_link(intent, log.run, done)
    for place in (intent.to, intent.path):
        filesystem.unlink_if_exists(filesystem.temporary(place, log.run, intent))
    here, there = os.path.lexists(intent.path), os.path.lexists(intent.to)
    if here and has_content(intent.path, intent.sha256):
        if there and has_content(intent.to, intent.sha256):
            filesystem.remove_second_name(intent)  # the run was killed between the two names of a move
        elif not done:
            return False
    elif there and here:
        raise SkipFile("another file stands in its place: move that one away, then undo again")
    elif there:
        if not has_content(intent.to, intent.sha256):
            raise SkipFile(f"its copy {shown(intent.to)} has been changed: look at it and put it back by hand")
        filesystem.move(intent.to, intent.path, log.run, intent)
    elif done or not here:
        raise SkipFile(f"it is no longer where it was put: {shown(intent.to)}")
    else:
        return False  # it was changed since
    filesystem.restore_stat(intent.path, intent)
    return True


def _bring_back_link(intent: Intent, run: str, done: bool) -> bool:
    filesystem.drop_links(intent, run)
    here = filesystem.inode(intent.path)
    if here is not None and not filesystem.is_linked(intent):
        if not done:
            return False
        if not has_content(intent.path, intent.sha256):
            raise SkipFile("another file stands in its place: move that one away, then undo again")
        filesystem.restore_stat(intent.path, intent)
        return True
    if here is None and not done:
        raise SkipFile("it is no longer there")
    source = intent.path if here else intent.kept
    if not has_content(source, intent.sha256):
        raise SkipFile(f"the bytes that it shared with {shown(intent.kept)} were changed in place: its own are gone")
    filesystem.unlink_from_kept(source, intent, run)
    return True


def _restore(folder: Folder, catalog: Catalog, log: Log, back: Sequence[Intent]) -> list[tuple[str, str]]:
    """The catalog follows the files that came back; returns what could not be restored."""
    log.back.update(intent.number for intent in back)
    # A pair comes back with the second of its two photos.
    paired = [i for i in log.intents if i.number in log.back and "not_duplicates" in i.rows]
    rows = {os.fsencode(i.path): (i.photo_id, i.rows) for i in [*paired, *back] if i.photo_id is not None}
    if not any(intent.photo_id is not None for intent in back):
        return []
    part_of = {row["id"]: row["part_id"] for _, tables in rows.values() for row in tables.get("regions", [])}
    if vectors.engine_lacks(folder, catalog, part_of):  # it was built without them, and would never find them
        catalog.set_state(vectors.STATE, None)
    notes = catalog.restore_rows(rows, [log.merges[i.number] for i in back if i.number in log.merges])
    return [(os.fsdecode(path), note) for path, note in notes.items()]
