"""Apply a plan: its files move, by the steps of filesystem.py, and the catalog follows; undo.py takes it back.

Nothing is ever deleted: a file gets another name, or its name is linked to equal bytes, after both files were checked:
their sha256, and for `pixels` their pixels. Each step is written and synced before it is done (journal.py), so that
`undo` can bring everything back after a kill at any moment. It looks at the files themselves and trusts no "done".

- `trash`: into `.birdsearch-trash/RUN/` in the root folder, on the same file system, so that nothing is copied.
- `move:DIR`: under DIR, below the same folders as before; a name that is taken there is never overwritten.
- `hardlink`: of identical files only; the name stays and leads to the bytes of the kept file. Whoever edits one of
  them in place edits both: then `undo` says that it cannot bring the old bytes back.

A photo and its companions go together or not at all: sidecars with the last photo they belong to, beside the kept photo
where that is the same picture and lacks one of their kind. A RAW that is one exposure with a photo goes with it, too;
where neither it can come beside the kept photo nor that has a RAW of its own, both stay. Another picture of the same
stem is a photo of its own: it goes along only where the kept photo has one of exactly the same bytes beside it, and
neither a plan nor the index names it; otherwise it stays, and so does every sidecar that it shares.
"""

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from birdsearch.actions import filesystem, journal
from birdsearch.actions.attributes import NotRestoredError
from birdsearch.actions.filesystem import Seen, SkipFile
from birdsearch.actions.journal import Intent, Line
from birdsearch.actions.runs import finish_killed, follow
from birdsearch.actions.undo import bring_back
from birdsearch.duplicates.cleanup.plan import problems
from birdsearch.duplicates.cleanup.steps import IN_STORE, ApplyOptions, AsToldError, Planner
from birdsearch.errors import STOPS, PhotoError, PlanError, os_error_text
from birdsearch.files import is_url
from birdsearch.photos.decode import Fingerprint, fingerprint
from birdsearch.records import (
    PIXELS,
    ActionReport,
    Plan,
    Progress,
    Step,
    blocks,
    counted,
    shown,
)
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder


def apply(
    folder: Folder, catalog: Catalog, plan: Plan, options: ApplyOptions, progress: Progress | None = None
) -> ActionReport:
    """Carry a plan out; what does not fit the files any more is skipped, each with its reason.

    The caller holds the lock of the index. Raises PlanError for a plan that could lose something.
    """
    started = time.monotonic()
    for _, reason in problems(plan):
        raise PlanError(f"the plan cannot be carried out: {reason}.")
    finish_killed(folder, catalog)
    removed = [step.path for step in plan.steps if step.do == "remove"]
    if removed and all(map(is_url, removed)):
        raise PlanError(
            f"nothing was done: what would go by this plan, {counted(len(removed), 'photo')}, lies {IN_STORE}. "
            "The plan is the list of what to remove there."
        )
    run = _Apply(folder, catalog, Planner(plan, options, journal.next_run(folder), folder, catalog))
    header = {"action": options.action, "relations": [*options.relations]}
    return run.run([step for step in plan.steps if step.do == "remove"], header, progress, started)


class _Apply:
    """One run of `apply`."""

    def __init__(self, folder: Folder, catalog: Catalog, planner: Planner) -> None:
        self._folder, self._catalog, self._planner = folder, catalog, planner
        self._journal: BinaryIO | None = None  # made when there is something to do
        self._skipped: list[tuple[str, str]] = []
        self._as_told: list[str] = []  # the reasons of those that stay as the person asked
        self._done = 0  # photos
        self._freed = 0  # bytes
        self._fingerprints: dict[str, Fingerprint] = {}  # by the sha256 of the bytes

    def run(self, steps: Sequence[Step], header: Line, progress: Progress | None, started: float) -> ActionReport:
        """Everything, in batches."""

        def tell(before: int, done: int, path: str) -> None:
            if progress:
                progress("apply", before + done, len(steps), path)

        try:
            for batch in blocks(len(steps), journal.BATCH):
                self._batch(steps[batch], header, partial(tell, batch.start))
                tell(batch.stop, 0, steps[batch.stop - 1].path)
            if self._journal:
                journal.write(self._journal, [{"end": True}])
        finally:
            if self._journal:
                self._journal.close()
        return ActionReport(
            self._planner.run if self._journal else None,
            self._done,
            tuple(self._skipped),
            self._freed,
            time.monotonic() - started,
            failed=len(self._skipped) - len(self._as_told),
            as_told=tuple(dict.fromkeys(self._as_told)),
        )

    def _batch(self, steps: Sequence[Step], header: Line, tell: Callable[[int, str], None]) -> None:
        photos: list[Intent] = []
        for step in steps:
            tell(0, step.path)
            try:
                photos.append(self._planner.intended(step))
            except (SkipFile, OSError) as error:
                self._skip(step.path, error)
        with_photo, blocked = self._planner.companions([intent for intent in photos if intent.kind == "move"])
        for intent in photos:
            if intent.number in blocked:
                self._skip(intent.path, SkipFile(blocked[intent.number]))
        photos = self._with_rows([intent for intent in photos if intent.number not in blocked])
        groups = [[intent, *with_photo.get(intent.number, ())] for intent in photos]
        intents = [intent for group in groups for intent in group]
        if not intents:
            return
        if self._journal is None:
            self._journal = journal.create(self._folder, self._planner.run, header)
        journal.write(self._journal, intents)
        done: list[Intent] = []
        left: list[Intent] = []
        stopped = None
        for number, group in enumerate(groups):
            try:
                tell(number, group[0].path)
            except STOPS as stop:  # between two photos: the journal says what was done, and the catalog follows
                stopped = stop
                left += [intent for untouched in groups[number:] for intent in untouched]
                break
            self._carry_out(group, done, left)
        filesystem.sync(done)
        journal.write(self._journal, [{"done": [i.number for i in done], "left": [i.number for i in left]}])
        filesystem.remove_made(left)
        self._done += sum(intent.photo for intent in done)
        self._freed += sum(intent.size for intent in done)
        follow(self._catalog, self._journal, done)
        if stopped is not None:
            raise stopped

    def _skip(self, path: str, error: SkipFile | OSError) -> None:
        self._skipped.append((path, filesystem.reason(error)))
        if isinstance(error, AsToldError):
            self._as_told.append(filesystem.reason(error))

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

    def _carry_out(self, group: Sequence[Intent], done: list[Intent], left: list[Intent]) -> None:
        """Check a photo and its companions once more, then move or link them: all of them, or none.

        What is in neither list afterwards is where only `undo` can tell: it looks.
        """
        gone: list[Intent] = []
        for intent in group:
            if any(os.path.lexists(owner) for owner in self._planner.owners.get(intent.number, ())):
                left.append(intent)  # a photo that it belongs to was skipped: that is reported
                continue
            try:
                _carry_out_one(intent, self._planner.run, self._check(intent))
            except (SkipFile, OSError) as error:
                self._skip(intent.path, error)
                if self._has_gone(intent, left):
                    gone.append(intent)
                    continue
                if intent.beside is not None:
                    self._skip(group[0].path, SkipFile(f"stays, as {shown(intent.path)} belongs to it"))
                break
            gone.append(intent)
        else:
            done += gone
            return
        untouched = group[group.index(intent) + 1 :]
        left += [one for one in untouched if one not in left]
        for one in reversed(gone):
            self._take_back(one, done, left)

    def _has_gone(self, intent: Intent, left: list[Intent]) -> bool:
        """Whether a step that failed was done all the same."""
        try:
            if filesystem.settle(intent, self._planner.run):
                return True
            left.append(intent)
        except (SkipFile, OSError) as error:
            self._skip(intent.path, error)
        return False

    def _take_back(self, intent: Intent, done: list[Intent], left: list[Intent]) -> None:
        try:
            bring_back(intent, self._planner.run, done=True)
            left.append(intent)
        except (SkipFile, OSError, NotRestoredError) as error:
            self._skipped.append((intent.path, filesystem.reason(error)))
            done.append(intent)

    def _check(self, intent: Intent) -> tuple[Seen, Seen | None]:
        """Both files, which are what the plan saw."""
        kept, there = None, os.path.realpath(intent.kept)
        if intent.kept:
            name = f"the kept photo {shown(intent.kept)}"
            try:
                info, kept = os.stat(there), filesystem.checked(there, intent.kept_sha256)
            except OSError as error:
                raise SkipFile(f"{name}: {os_error_text(error)}") from error
            if kept is None:
                raise SkipFile(f"{name} has changed since the plan was made")
            if os.path.samestat(info, os.lstat(intent.path)):
                raise SkipFile("another name of the kept file")
        info = os.lstat(intent.path)
        file = filesystem.checked(intent.path, intent.sha256)
        if file is None or (file.mtime_ns, stat.S_IMODE(info.st_mode)) != (intent.mtime_ns, intent.mode):
            raise SkipFile("changed since the plan was made")
        if intent.relation == PIXELS.name:
            mine, its = (self._fingerprint(*one) for one in ((intent.path, intent.sha256), (there, intent.kept_sha256)))
            if mine != its:
                raise SkipFile(f"said to have the same pixels, but they are not those of {shown(intent.kept)}")
        return file, kept

    def _fingerprint(self, path: str, sha256: str) -> Fingerprint:
        if sha256 not in self._fingerprints:
            try:
                self._fingerprints[sha256] = fingerprint(path)
            except PhotoError as error:
                raise SkipFile(f"the pixels of {shown(path)} cannot be compared: {error}") from error
        return self._fingerprints[sha256]


def _carry_out_one(intent: Intent, run: str, files: tuple[Seen, Seen | None]) -> None:
    file, kept = files
    if intent.kind == "move":
        filesystem.move(intent.path, intent.to, run, intent, file)
    elif kept is not None:
        filesystem.link(intent, run, file, kept)
