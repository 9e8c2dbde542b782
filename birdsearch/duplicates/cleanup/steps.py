"""What each step of a plan comes to, and what travels along: looks at the files, moves none."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from birdsearch.duplicates.cleanup.filesystem import TRASH, Left, inode
from birdsearch.duplicates.cleanup.journal import Intent
from birdsearch.duplicates.cleanup.plan import Protected
from birdsearch.duplicates.cleanup.sidecars import Beside
from birdsearch.files import sha256_of, with_trailing_slash
from birdsearch.records import RELATIONS, Plan, Step, shown


class Planner:
    """What one run of `apply` intends to do."""

    def __init__(
        self,
        plan: Plan,
        run: str,
        *,
        action: tuple[str, str],  # word, target folder
        relations: Sequence[str],
        protect: Sequence[str],
        roots: Iterable[bytes],
        known: Callable[[Sequence[bytes]], dict[bytes, int]],  # ids of those of these paths that the index holds
    ) -> None:
        self._word, self._target = action
        self._run, self._relations, self._known = run, relations, known
        self._safe = Protected(protect)
        self._number = 0
        self._roots = list(roots)
        self._named = {step.path for step in plan.steps}
        self._keeps: dict[int, list[Step]] = {}
        for step in plan.steps:
            if step.do == "keep":
                self._keeps.setdefault(step.group, []).append(step)
        kept = (inode(step.path) for keeps in self._keeps.values() for step in keeps)
        self._kept_inodes = {there for there in kept if there is not None}
        self._places: set[str] = set()  # names that files of this run go to
        self._homes: dict[str, str] = {}  # folder -> where its trash lies
        self.owners: dict[int, list[str]] = {}  # intent of what travels along -> files that must have gone before it

    def intended(self, step: Step) -> Intent:
        """What a step comes to; Left where it may not be done."""
        if step.path in self._safe:
            raise Left("protected")
        info = os.lstat(step.path)
        if not stat.S_ISREG(info.st_mode):
            raise Left("a symbolic link: left alone" if stat.S_ISLNK(info.st_mode) else "not a regular file")
        if (info.st_dev, info.st_ino) in self._kept_inodes:
            raise Left("another name of a file that is kept: nothing would be gained, and the last name could go")
        keep, relation = self._keep_of(step)
        if relation not in self._relations:
            raise Left(f"{relation}: removed only where the relation is named (--relation {relation})")
        if self._word == "hardlink" and relation != "identical":
            raise Left(f"{relation}: hard links are for identical files only")
        intent = self._intent(step.path, info, step.sha256, relation)
        intent = replace(intent, kept=keep.path, kept_sha256=keep.sha256, kept_inode=inode(keep.path) or (0, 0))
        if self._word != "hardlink":
            return self._placed(intent)
        if intent.kept_inode[0] != info.st_dev:
            raise Left("on another disk than the kept file: hard links do not reach there")
        return replace(intent, kind="link", attributes=_attributes(intent.path))

    def _keep_of(self, step: Step) -> tuple[Step, str]:
        """The kept photo that a photo is related to most closely, and how.

        Relations in a plan are those to the photo that was proposed: where a person keeps another one, two photos are
        related as the weaker of the two ties says. Equal bytes are equal whatever it says.
        """

        def tie(keep: Step) -> int:
            weaker = max((RELATIONS.index(one.relation) for one in (step, keep) if one.relation), default=0)
            if keep.sha256 == step.sha256:
                return 0
            # The words of a person cannot make different bytes identical.
            return max(weaker, 1)

        there = [keep for keep in self._keeps[step.group] if os.path.lexists(keep.path)]
        if not there:
            raise Left(f"the kept photo {shown(self._keeps[step.group][0].path)} is no longer there")
        keep = min(there, key=tie)
        stated = step.relation or keep.relation
        if stated == "identical" and keep.sha256 != step.sha256:
            raise Left(f"said to be identical, but its bytes are not those of {shown(keep.path)}")
        return keep, RELATIONS[tie(keep)]

    def _intent(self, path: str, info: os.stat_result, sha256: str, relation: str) -> Intent:
        number, self._number = self._number, self._number + 1
        return Intent(
            number=number,
            kind="move",
            path=path,
            to="",
            kept="",
            kept_sha256="",
            kept_inode=(0, 0),
            sha256=sha256,
            size=info.st_size,
            mode=stat.S_IMODE(info.st_mode),
            mtime_ns=info.st_mtime_ns,
            atime_ns=info.st_atime_ns,
            owner=(info.st_uid, info.st_gid),
            relation=relation,
        )

    def _placed(self, intent: Intent) -> Intent:
        """The intent with a free name to go to."""
        parent = os.path.dirname(intent.path)
        if self._word == "trash":
            home = self._home(parent)
            base = os.path.join(home, TRASH, self._run)
            bases = [base, *(f"{base}-{n}" for n in range(2, 1000))]
        else:
            home = self._root(parent)
            if (parent + os.sep).startswith(self._target.rstrip(os.sep) + os.sep):
                raise Left(f"lies in {shown(self._target)} already")
            base = os.path.join(self._target, self._run)
            bases = [self._target, base, *(f"{base}-{n}" for n in range(2, 1000))]
        below = os.path.relpath(intent.path, home)
        places = (os.path.join(base, below) for base in bases)
        to = next((name for name in places if name not in self._places and not os.path.lexists(name)), None)
        if to is None:
            raise Left("no free name where it should go")
        self._places.add(to)
        made: list[str] = []
        above = os.path.dirname(to)
        while not os.path.lexists(above):
            made.insert(0, above)
            above = os.path.dirname(above)
        return replace(intent, to=to, made=tuple(made))

    def _root(self, folder: str) -> str:
        """The deepest root of the index above a folder; the folder itself where there is none."""
        name = with_trailing_slash(os.fsencode(folder))
        return os.fsdecode(
            max((r for r in self._roots if name.startswith(with_trailing_slash(r))), key=len, default=name)
        )

    def _home(self, folder: str) -> str:
        """The highest folder from its root down to this one, on the same file system, where a trash may be made."""
        if folder not in self._homes:
            device = os.stat(folder).st_dev
            home, root = folder, self._root(folder).rstrip(os.sep)
            above = folder
            while above.rstrip(os.sep) != root and above != os.path.dirname(above):
                above = os.path.dirname(above)
                there = os.path.join(above, TRASH) if os.path.isdir(os.path.join(above, TRASH)) else above
                if os.stat(above).st_dev == device and os.access(there, os.W_OK | os.X_OK):
                    home = above
            self._homes[folder] = home
        return self._homes[folder]

    def along(self, intents: Sequence[Intent]) -> list[Intent]:
        """What travels with these photos: pictures of their stem where the rule allows it, then sidecars."""
        listings: dict[str, Beside] = {}

        def beside(folder: str) -> Beside:
            if folder not in listings:
                listings[folder] = Beside([])
                with suppress(OSError):  # a folder that may not be listed
                    listings[folder] = Beside(os.listdir(folder))
            return listings[folder]

        going = {intent.path for intent in intents}
        found: dict[str, Intent] = {}
        for intent in intents:
            folder, name = os.path.split(intent.path)
            kept_folder, kept_name = os.path.split(intent.kept)
            others = [os.path.join(folder, other) for other in beside(folder).companions(name)]
            twins = [os.path.join(kept_folder, twin) for twin in beside(kept_folder).companions(kept_name)]
            # A RAW goes when nothing that stays has its stem.
            twinned = [self._twin(path, twins) for path in others if path not in going and path not in found]
            for one in [one for one in twinned if one] if all(twinned) else []:
                found[one.path] = one
                self.owners[one.number] = [intent.path, *(path for path in others if path in going)]
        going |= set(found)
        for intent in intents:
            folder, name = os.path.split(intent.path)
            for other, belongs in beside(folder).sidecars(name).items():
                path, owners = os.path.join(folder, other), [os.path.join(folder, owner) for owner in belongs]
                if path in found or not set(owners) <= going or path in self._named:
                    continue
                with suppress(OSError, Left):
                    info = os.lstat(path)
                    if stat.S_ISREG(info.st_mode) and path not in self._safe:
                        made = self._placed(self._intent(path, info, sha256_of(path), ""))
                        self.owners[made.number] = owners
                        found[path] = made
        return list(found.values())

    def _twin(self, path: str, twins: Sequence[str]) -> Intent | None:
        """The intent for a picture of the same stem, where the kept photo has an equal one beside it."""
        with suppress(OSError, Left):
            info = os.lstat(path)
            mine = path in self._named or path in self._safe or self._known([os.fsencode(path)])
            if mine or not stat.S_ISREG(info.st_mode):
                return None
            for twin in twins:
                other = os.lstat(twin)
                if twin in self._named or not stat.S_ISREG(other.st_mode) or other.st_size != info.st_size:
                    continue
                if not os.path.samestat(info, other) and (sha256 := sha256_of(path)) == sha256_of(twin):
                    made = self._placed(self._intent(path, info, sha256, ""))
                    return replace(made, kept=twin, kept_sha256=sha256)
        return None


# What travels along -------------------------------------------------------------------------------------------------


# Files --------------------------------------------------------------------------------------------------------------


def _attributes(path: str) -> dict[str, str]:
    """The extended attributes of a file, values in hex; none where the system knows none."""
    if not hasattr(os, "listxattr"):
        return {}
    with suppress(OSError):
        return {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    return {}
