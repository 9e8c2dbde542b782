"""Apply a plan: its files move, by the steps of filesystem.py, and the catalog follows; undo.py takes it back.

Nothing is ever deleted: a file gets another name, or its name is linked to equal bytes, after its sha256 and that of
the photo that stays were checked. Each step is written and synced before it is done (journal.py), so that `undo` can
bring everything back after a kill at any moment. It looks at the files themselves and trusts no "done".

- `trash`: into `.birdsearch-trash/RUN/` in the root folder, on the same file system, so that nothing is copied.
- `move:DIR`: under DIR, below the same folders as before; a name that is taken there is never overwritten.
- `hardlink`: of identical files only; the name stays and leads to the bytes of the kept file. Whoever edits one of
  them in place edits both: then `undo` says that it cannot bring the old bytes back.

Sidecars go with the last photo they belong to. A picture of the same stem (the RAW of a JPEG) is a photo of its own:
it goes along only where the kept photo has one of exactly the same bytes beside it, and neither a plan nor the index
names it; otherwise it stays, and so does every sidecar that it shares.
"""

import os
import stat
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from birdsearch.duplicates.cleanup import filesystem, journal
from birdsearch.duplicates.cleanup.filesystem import SkipFile
from birdsearch.duplicates.cleanup.journal import Intent, Line, Log
from birdsearch.duplicates.cleanup.plan import problems
from birdsearch.duplicates.cleanup.steps import ApplyOptions, Planner
from birdsearch.errors import PlanError, os_error_text
from birdsearch.files import sha256_of
from birdsearch.records import SAME_PICTURE, ActionReport, Plan, Progress, RunSummary, Step, blocks, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.removal import DeletedPhoto
from birdsearch.storage.folder import Folder


def runs(folder: Folder) -> list[RunSummary]:
    """Every run of `apply`, oldest first."""
    return [log.summary() for log in journal.logs(folder)]


def apply(
    folder: Folder, catalog: Catalog, plan: Plan, options: ApplyOptions, progress: Progress | None = None
) -> ActionReport:
    """Carry a plan out; what does not fit the files any more is skipped, each with its reason.

    The caller holds the lock of the index. Raises PlanError for a plan that could lose something.
    """
    started = time.monotonic()
    for _, reason in problems(plan):
        raise PlanError(f"the plan cannot be carried out: {reason}.")
    for log in journal.logs(folder):
        if not log.ended and not log.undone:
            _finish(catalog, log)
    run = _Apply(folder, catalog, Planner(plan, options, journal.next_run(folder), catalog))
    header = {"action": options.action, "relations": [*options.relations]}
    return run.run([step for step in plan.steps if step.do == "remove"], header, progress, started)


class _Apply:
    """One run of `apply`."""

    def __init__(self, folder: Folder, catalog: Catalog, planner: Planner) -> None:
        self._folder, self._catalog, self._planner = folder, catalog, planner
        self._journal: BinaryIO | None = None  # made when there is something to do
        self._skipped: list[tuple[str, str]] = []
        self._done = 0  # photos
        self._freed = 0  # bytes

    def run(self, steps: Sequence[Step], header: Line, progress: Progress | None, started: float) -> ActionReport:
        """Everything, in batches."""
        try:
            for batch in blocks(len(steps), journal.BATCH):
                self._batch(steps[batch], header)
                if progress:
                    progress("apply", batch.stop, len(steps), steps[batch.stop - 1].path)
            if self._journal:
                journal.write(self._journal, [{"end": True}])
        finally:
            if self._journal:
                self._journal.close()
        name = self._planner.run if self._journal else None
        return ActionReport(name, self._done, tuple(self._skipped), self._freed, time.monotonic() - started)

    def _batch(self, steps: Sequence[Step], header: Line) -> None:
        intents: list[Intent] = []
        for step in steps:
            try:
                intents.append(self._planner.intended(step))
            except (SkipFile, OSError) as error:
                self._skipped.append((step.path, filesystem.reason(error)))
        moves = [intent for intent in intents if intent.kind == "move"]
        intents = self._with_rows(intents) + self._planner.companions(moves)
        if not intents:
            return
        if self._journal is None:
            self._journal = journal.create(self._folder, self._planner.run, header)
        journal.write(self._journal, intents)
        done = [intent for intent in intents if self._carried_out(intent)]
        filesystem.sync(done)
        numbers = {intent.number for intent in done}
        rest = [intent for intent in intents if intent.number not in numbers]
        journal.write(self._journal, [{"done": sorted(numbers), "left": [intent.number for intent in rest]}])
        filesystem.remove_made(rest)
        self._done += sum(intent.photo for intent in done)
        _follow(self._catalog, self._journal, done)

    def _with_rows(self, intents: Sequence[Intent]) -> list[Intent]:
        """The intents with every row of the catalog about the photos that go."""
        moves = [intent for intent in intents if intent.kind == "move"]  # behind a hard link the photo stays
        names = [os.fsencode(name) for intent in moves for name in (intent.path, intent.kept)]
        ids = self._catalog.ids_at(names)
        rows = self._catalog.snapshot_rows(sorted({ids[p] for p in names[::2] if p in ids}))
        full = []
        for intent in intents:
            photo_id, kept_id = (ids.get(os.fsencode(name)) for name in (intent.path, intent.kept))
            if photo_id is not None:
                intent = replace(intent, photo_id=photo_id, kept_id=kept_id, rows=rows[photo_id])
            full.append(intent)
        return full

    def _carried_out(self, intent: Intent) -> bool:
        """Check once more, then move or link; False where it was left, for a reason that is reported."""
        try:
            if any(os.path.lexists(owner) for owner in self._planner.owners.get(intent.number, ())):
                return False  # its photo was skipped: that is reported
            self._check(intent)
            if intent.kind == "link":
                self._freed += filesystem.link(intent, self._planner.run)
            else:
                filesystem.move(intent.path, intent.to, self._planner.run, intent)
                self._freed += intent.size
        except (SkipFile, OSError) as error:
            self._skipped.append((intent.path, filesystem.reason(error)))
            return False
        return True

    def _check(self, intent: Intent) -> None:
        """Both files are what the plan saw."""
        if intent.kept:
            try:
                info = os.stat(intent.kept)
                same = sha256_of(intent.kept) == intent.kept_sha256
            except OSError as error:
                raise SkipFile(f"the kept photo {shown(intent.kept)}: {os_error_text(error)}") from error
            if not same:
                raise SkipFile(f"the kept photo {shown(intent.kept)} has changed since the plan was made")
            if os.path.samestat(info, os.lstat(intent.path)):
                raise SkipFile("another name of the kept file")
        info = os.lstat(intent.path)
        facts = (stat.S_ISREG(info.st_mode), info.st_size, info.st_mtime_ns, stat.S_IMODE(info.st_mode))
        if facts != (True, intent.size, intent.mtime_ns, intent.mode) or sha256_of(intent.path) != intent.sha256:
            raise SkipFile("changed since the plan was made")


def _follow(catalog: Catalog, file: BinaryIO, done: Iterable[Intent]) -> None:
    """The catalog follows the files; what kept photos take over is in the journal before it is in the catalog."""
    deleted = [
        DeletedPhoto(i.number, i.photo_id, os.fsencode(i.path), i.kept_id, i.relation in SAME_PICTURE, i.rows)
        for i in done
        if i.photo_id is not None
    ]
    if deleted:
        catalog.delete_and_merge(deleted, lambda new: journal.write(file, [{"merged": [m.as_json() for m in new]}]))


def _finish(catalog: Catalog, log: Log) -> None:
    """Bring a run that was killed to an end: what had gone is done, what had not gone stays."""
    done = [intent for intent in log.intents if intent.number in log.done]
    settled = log.done | log.left | log.back
    new: list[Intent] = []
    stay: list[Intent] = []
    for intent in log.intents:
        with suppress(SkipFile, OSError):  # `undo` says what stands in the way
            if intent.number not in settled:
                (new if _has_gone(intent, log.run) else stay).append(intent)
    filesystem.sync(new)
    with journal.append(log) as file:
        journal.write(file, [{"done": [i.number for i in new], "left": [i.number for i in stay]}])
        _follow(catalog, file, [i for i in done + new if i.number not in log.back])
        journal.write(file, [{"end": True}])
    filesystem.remove_made(log.intents)


def _has_gone(intent: Intent, run: str) -> bool:
    """Whether a killed run had moved or linked a file; what it had only begun is put right."""
    if intent.kind == "link":
        filesystem.drop_links(intent, run)
        return filesystem.is_linked(intent)
    filesystem.unlink_if_exists(filesystem.temporary(intent.to, run, intent))
    if not os.path.lexists(intent.path):
        return filesystem.has_content(intent.to, intent.sha256)
    filesystem.remove_second_name(intent)
    return False
