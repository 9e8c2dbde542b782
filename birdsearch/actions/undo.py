"""Take a run back: every file and every row, whatever a kill has left, also where its folders were moved."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

from birdsearch.actions import attributes, filesystem, journal
from birdsearch.actions.attributes import NotRestoredError
from birdsearch.actions.filesystem import Seen, SkipFile, checked
from birdsearch.actions.journal import Intent, Log
from birdsearch.errors import STOPS, PlanError
from birdsearch.files import FileState
from birdsearch.records import ActionReport, Progress, blocks, shown
from birdsearch.storage import vectors
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.commits import Batch, PhotoUpdate
from birdsearch.storage.folder import Folder


def undo(
    folder: Folder,
    catalog: Catalog,
    run: str | None = None,
    *,
    foreign: bool = False,
    progress: Progress | None = None,
) -> ActionReport:
    """Bring every file and every row of a run back: of the last one of which anything can be, or of the one named.

    Never overwrites: where another file stands in the old place this one is skipped, and can be undone later. Where a
    folder was moved, and indexed again in its new place, its files come back there. The caller holds the lock of the
    index, and sees to the engine afterwards. Raises PlanError where there is no such run, where it is undone already,
    where a later run must be undone first, or, unless `foreign`, where somebody else recorded it.
    """
    started = time.monotonic()
    today = moved_folders(folder, catalog)
    log = journal.select_run(folder, run, lambda log, intent: _can_be_back(today(intent), log.run))
    if not foreign:
        log.check_own()
    log.intents = [today(intent) for intent in log.intents]
    _check_order(folder, log, today)
    skipped: list[tuple[str, str]] = []
    waiting = _photos_first(log.open())
    away: set[int | None] = set()  # photos that could not be brought back
    photos = size = 0
    with journal.append(log) as file:
        for batch in blocks(len(waiting), journal.BATCH):
            back: list[Intent] = []
            bare: list[Intent] = []  # of which only the bytes are back: to be undone once more
            stopped = None
            for number, intent in enumerate(waiting[batch], batch.start):
                try:
                    if progress:
                        progress("undo", number, len(waiting), intent.path)
                except STOPS as stop:
                    stopped = stop
                    break
                try:
                    if intent.beside in away and intent.beside is not None:
                        raise SkipFile("its photo could not be brought back")
                    if bring_back(intent, log.run, done=intent.number in log.done):
                        photos, size = photos + intent.photo, size + intent.size
                    back.append(intent)
                except NotRestoredError as error:
                    skipped.append((intent.path, filesystem.reason(error)))
                    bare.append(intent)
                except (SkipFile, OSError) as error:
                    skipped.append((intent.path, filesystem.reason(error)))
                    away.add(intent.number)
            filesystem.sync(back + bare)
            skipped += _restore(folder, catalog, log, back + bare)
            log.back.difference_update(intent.number for intent in bare)
            journal.write(file, [{"back": [intent.number for intent in back]}])
            if stopped is not None:
                raise stopped
            if progress:
                progress("undo", batch.stop, len(waiting), waiting[batch.stop - 1].path)
        filesystem.remove_made(log.intents)
        if not log.open() and not log.emptied:
            journal.write(file, [{"end": True, "undone": True}])
    return ActionReport(log.run, photos, tuple(skipped), size, time.monotonic() - started, len(skipped))


def _photos_first(intents: Sequence[Intent]) -> list[Intent]:
    """In the order in which they come back: the last first, each photo before its companions."""
    last = {intent.number: intent.beside if intent.beside is not None else intent.number for intent in intents}
    return sorted(intents, key=lambda intent: (-last[intent.number], intent.number))


def _check_order(folder: Folder, log: Log, today: Callable[[Intent], Intent]) -> None:
    """Raises PlanError where a later run took away what this one kept or took away, and can still bring it back."""
    mine = {name for intent in log.open() for name in (intent.path, intent.kept) if name}
    written = {intent.path for intent in log.open() if intent.kind == "write"}
    for later in reversed(journal.logs(folder)):
        if later.run == log.run:
            return
        taken = [today(i) for i in later.open() if i.number in later.done or not later.ended]
        # What was written into a file since, and is still in it, is in the way of what was written before alone.
        both = {i.path for i in taken if i.path in (written if i.kind == "write" else mine)}
        both = {i.path for i in taken if i.path in both and _can_be_back(i, later.run)}
        if both and not later.undone:
            raise PlanError(
                f"run {later.run} came after {log.run} and also took {shown(min(both))}: "
                f"undo that one first (`birdsearch undo {later.run}`)."
            )


def _can_be_back(intent: Intent, run: str) -> bool:
    """Whether a file can be brought back, or is back already and only not known to be."""
    if intent.kind == "write":
        return filesystem.is_written(intent) or filesystem.is_as_before(intent)
    names = filter(None, (intent.to, *filesystem.hidden_names(intent, run)))
    return any(map(os.path.lexists, names)) or checked(intent.path, intent.sha256) is not None


# Folders that were moved --------------------------------------------------------------------------------------------


def moved_folders(folder: Folder, catalog: Catalog) -> Callable[[Intent], Intent]:
    """Gives an intent the names that its files have today, where their folder was moved and indexed again.

    The photos that were kept tell: the index knows where each of them was, by the journal, and where it is.
    """
    then = {i.kept_id: i.kept for log in journal.logs(folder) for i in log.open() if i.kept_id is not None}
    now = catalog.known_photos(then)
    moves: Counter[tuple[str, str]] = Counter()
    for photo_id, old in then.items():
        if photo_id in now and now[photo_id].path != old:
            moves[_without_common_end(old, now[photo_id].path)] += 1

    def follow(name: str, there: Callable[[str], bool]) -> str:
        """Where a file or a folder is today; its own name where it is there, or nowhere."""
        if not name or there(name):
            return name
        for (old, new), _ in moves.most_common():
            if name.startswith(old + os.sep) and there(new + name[len(old) :]):
                return new + name[len(old) :]
        return name

    def today(intent: Intent) -> Intent:
        if not moves:
            return intent
        made = tuple(follow(name, os.path.lexists) for name in intent.made)
        to, kept = follow(intent.to, os.path.lexists), follow(intent.kept, os.path.lexists)
        path = follow(intent.path, lambda name: os.path.isdir(os.path.dirname(name)))
        return replace(intent, path=path, to=to, kept=kept, made=made)

    return today


def _without_common_end(old: str, new: str) -> tuple[str, str]:
    """Two paths of a file as the folder that was moved: its old and its new name."""
    while os.path.basename(old) == os.path.basename(new) and os.path.dirname(old) != old != new:
        old, new = os.path.dirname(old), os.path.dirname(new)
    return old, new


# Photos that were written -------------------------------------------------------------------------------------------


def renew_written(catalog: Catalog, intents: Iterable[Intent]) -> None:
    """Tell the catalog which bytes photos have whose own file was written, or brought back: their pixels are the same.

    A file that was changed again is left to the next run of `index`.
    """
    own = {i.kept_id: i for i in intents if i.kind == "write" and i.path == i.kept and i.kept_id is not None}
    updates = []
    for photo_id, photo in catalog.known_photos(own).items():
        intent = own[photo_id]
        for sha256 in (intent.sha256, intent.new_sha256):
            file = checked(photo.path, sha256) if photo.path == intent.path else None
            if file is not None and file == Seen.of(info := os.lstat(photo.path)):
                updates.append(PhotoUpdate(photo_id, {"sha256": sha256, **asdict(FileState.of(info))}))
    if updates:
        catalog.commit(Batch(updates=updates))


# One file -----------------------------------------------------------------------------------------------------------


def bring_back(intent: Intent, run: str, *, done: bool) -> bool:
    """One file as it was before the run; False where it had never gone.

    Raises SkipFile or OSError where it cannot be, NotRestoredError where only its bytes could.
    """
    try:
        came = _BRING_BACK[intent.kind](intent, run, done)
    except (SkipFile, OSError) as error:
        if not _is_back_after_all(intent, run):
            raise error
        came = True
    if came and intent.sha256:
        attributes.restore(intent.path, intent)
    return came


def _is_back_after_all(intent: Intent, run: str) -> bool:
    """After a step that failed: puts right what was only begun, and tells whether the file is in its place."""
    try:
        if intent.kind == "link":
            filesystem.drop_links(intent, run)
            return not filesystem.is_linked(intent) and checked(intent.path, intent.sha256) is not None
        if intent.kind == "write":
            return not filesystem.settle(intent, run) and filesystem.is_as_before(intent)
        return not filesystem.settle(intent, run) and checked(intent.path, intent.sha256) is not None
    except (SkipFile, OSError):
        return False


def _bring_back_move(intent: Intent, run: str, done: bool) -> bool:
    filesystem.unhide(intent, run)
    file = checked(intent.to, intent.sha256)
    if checked(intent.path, intent.sha256):
        if file:
            filesystem.remove_second(intent, run, file)
        return done or file is not None
    there = os.path.lexists(intent.to)
    if os.path.lexists(intent.path):
        if not there and not done:
            return False  # it was changed since
        if there:
            raise SkipFile("another file stands in its place: move that one away, then undo again")
    if not there:
        text = "if its folder was moved, index it in its new place, then undo again"
        raise SkipFile(f"it is no longer where it was put: {shown(intent.to)}; {text}")
    if file is None:
        raise SkipFile(f"its copy {shown(intent.to)} has been changed: look at it and put it back by hand")
    filesystem.move(intent.to, intent.path, run, intent, file)
    return True


def _bring_back_link(intent: Intent, run: str, done: bool) -> bool:
    filesystem.drop_links(intent, run)
    here = filesystem.inode(intent.path)
    if here is not None and not filesystem.is_linked(intent):
        if not done:
            return False
        if checked(intent.path, intent.sha256) is None:
            raise SkipFile("another file stands in its place: move that one away, then undo again")
        return True
    if here is None and not done:
        raise SkipFile("it is no longer there")
    source = intent.path if here else intent.kept
    if checked(source, intent.sha256) is None:
        raise SkipFile(f"the bytes that it shared with {shown(intent.kept)} were changed in place: its own are gone")
    filesystem.unlink_from_kept(source, intent, run)
    return True


def _bring_back_written(intent: Intent, run: str, done: bool) -> bool:
    filesystem.settle(intent, run)
    file = checked(intent.path, intent.new_sha256)
    if file is not None:
        filesystem.unwrite(intent, run, file)
        return True
    if not done or filesystem.is_as_before(intent):
        return done
    raise SkipFile("it was changed since its tags were written: it stays as it is")


_BRING_BACK = {"move": _bring_back_move, "link": _bring_back_link, "write": _bring_back_written}


def _restore(folder: Folder, catalog: Catalog, log: Log, back: Sequence[Intent]) -> list[tuple[str, str]]:
    """The catalog follows the files that came back; returns what could not be restored."""
    log.back.update(intent.number for intent in back)
    # A pair comes back with the second of its two photos.
    paired = [i for i in log.intents if i.number in log.back and "not_duplicates" in i.rows]
    rows = {os.fsencode(i.path): (i.photo_id, i.rows) for i in [*paired, *back] if i.photo_id is not None}
    renew_written(catalog, back)
    if not any(intent.photo_id is not None for intent in back):
        return []
    stored = [row for _, tables in rows.values() for row in tables.get("regions", [])]
    part_of = {row["id"]: row["part_id"] for row in stored if row["part_id"] is not None}
    if vectors.engine_lacks(folder, catalog, part_of):  # it was built without them, and would never find them
        catalog.set_state(vectors.STATE, None)
    notes = catalog.restore_rows(rows, [log.merges[i.number] for i in back if i.number in log.merges])
    return [(os.fsdecode(path), note) for path, note in notes.items()]
