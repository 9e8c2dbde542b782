"""What each step of a plan does, and what travels along: reads the files, moves none."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

from birdsearch.duplicates.cleanup.filesystem import TRASH, SkipFile, inode
from birdsearch.duplicates.cleanup.journal import Intent
from birdsearch.duplicates.members import FolderSet
from birdsearch.errors import PlanError
from birdsearch.files import sha256_of, with_trailing_slash
from birdsearch.photos.sidecars import FolderListing
from birdsearch.records import APPLIED_BY_DEFAULT, IDENTICAL, PIXELS, RELATIONS, Plan, Relation, Step, shown
from birdsearch.storage.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a plan is carried out. Raises PlanError for an action or a relation that does not exist."""

    action: str  # "trash", "move:FOLDER" or "hardlink"
    relations: Sequence[str] = APPLIED_BY_DEFAULT  # only photos of these go
    protect: Sequence[str] = ()  # folders in which nothing is touched

    def __post_init__(self) -> None:
        word, _, target = self.action.partition(":")
        if word not in ("trash", "move", "hardlink") or (word == "move") != bool(target):
            raise PlanError(f'no action "{shown(self.action)}": it is trash, move:FOLDER or hardlink.')
        if target and os.path.lexists(target) and not os.path.isdir(target):
            raise PlanError(f"{shown(target)} is not a folder: name one to move the files to.")
        if unknown := [relation for relation in self.relations if relation not in RELATIONS]:
            raise PlanError(f'no relation "{shown(unknown[0])}": they are {", ".join(RELATIONS)}.')


class Planner:
    """What one run of `apply` intends to do."""

    def __init__(self, plan: Plan, options: ApplyOptions, run: str, catalog: Catalog) -> None:
        self._word, _, target = options.action.partition(":")
        self.run, self._target, self._relations = run, os.path.abspath(target), options.relations
        self._catalog, self._roots = catalog, tuple(catalog.roots().values())
        self._safe = FolderSet(options.protect)
        self._numbers = count()
        self._named = {step.path for step in plan.steps}
        self._keeps: dict[int, list[Step]] = {}
        for step in plan.steps:
            if step.do == "keep":
                self._keeps.setdefault(step.group, []).append(step)
        kept = (inode(step.path) for keeps in self._keeps.values() for step in keeps)
        self._kept_inodes = {there for there in kept if there is not None}
        self._places: set[str] = set()  # names that files of this run go to
        self._trash_root = cache(self._find_trash_root)
        self.owners: dict[int, list[str]] = {}  # intent of a companion -> files that must have gone before it

    def intended(self, step: Step) -> Intent:
        """The intent of a step; SkipFile where it may not be done."""
        if step.path in self._safe:
            raise SkipFile("protected")
        info = os.lstat(step.path)
        if not stat.S_ISREG(info.st_mode):
            raise SkipFile("a symbolic link: left alone" if stat.S_ISLNK(info.st_mode) else "not a regular file")
        if (info.st_dev, info.st_ino) in self._kept_inodes:
            raise SkipFile("another name of a file that is kept: nothing would be gained, and the last name could go")
        keep, relation = self._keep_of(step)
        if relation not in self._relations:
            raise SkipFile(f"{relation}: removed only where the relation is named (--relation {relation})")
        if self._word == "hardlink" and step.sha256 != keep.sha256:
            raise SkipFile(f"{relation}: hard links are for identical files only")
        intent = self._intent(step.path, info, step.sha256, relation)
        intent = replace(intent, kept=keep.path, kept_sha256=keep.sha256, kept_inode=inode(keep.path) or (0, 0))
        if self._word != "hardlink":
            return self._placed(intent)
        if intent.kept_inode[0] != info.st_dev:
            raise SkipFile("on another disk than the kept file: hard links do not reach there")
        return replace(intent, kind="link", attributes=_attributes(intent.path))

    def _keep_of(self, step: Step) -> tuple[Step, str]:
        """The kept photo that a photo is related to most closely, and how.

        Relations in a plan are those to the photo that was proposed: where a person keeps another one, two photos are
        related as the weaker of the two ties says. Equal bytes are equal whatever it says.
        """
        there = [keep for keep in self._keeps[step.group] if os.path.lexists(keep.path)]
        if not there:
            raise SkipFile(f"the kept photo {shown(self._keeps[step.group][0].path)} is no longer there")
        keep = max(there, key=lambda keep: _tie(step, keep).strength)
        if (step.relation or keep.relation) == IDENTICAL.name and keep.sha256 != step.sha256:
            raise SkipFile(f"said to be identical, but its bytes are not those of {shown(keep.path)}")
        return keep, _tie(step, keep).name

    def _intent(self, path: str, info: os.stat_result, sha256: str, relation: str) -> Intent:
        return Intent(
            number=next(self._numbers),
            kind="move",
            path=path,
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
        trash = self._word == "trash"
        if not trash and (parent + os.sep).startswith(self._target.rstrip(os.sep) + os.sep):
            raise SkipFile(f"lies in {shown(self._target)} already")
        home = self._trash_root(parent) if trash else self._root(parent)
        base = os.path.join(home, TRASH, self.run) if trash else os.path.join(self._target, self.run)
        bases = [*([] if trash else [self._target]), base, *(f"{base}-{n}" for n in range(2, 1000))]
        places = (os.path.join(each, os.path.relpath(intent.path, home)) for each in bases)
        to = next((name for name in places if name not in self._places and not os.path.lexists(name)), None)
        if to is None:
            raise SkipFile("no free name where it should go")
        self._places.add(to)
        made: tuple[str, ...] = ()
        above = os.path.dirname(to)
        while not os.path.lexists(above):
            made, above = (above, *made), os.path.dirname(above)
        return replace(intent, to=to, made=made)

    def _root(self, folder: str) -> str:
        """The deepest root of the index above a folder; the folder itself where there is none."""
        name = with_trailing_slash(os.fsencode(folder))
        above = [root for root in self._roots if name.startswith(with_trailing_slash(root))]
        return os.fsdecode(max(above, key=len, default=name))

    def _find_trash_root(self, folder: str) -> str:
        """The highest folder from its root down to this one, on the same file system, where a trash may be made."""
        device, root = os.stat(folder).st_dev, self._root(folder).rstrip(os.sep)
        home = above = folder
        while above.rstrip(os.sep) != root and above != os.path.dirname(above):
            above = os.path.dirname(above)
            there = os.path.join(above, TRASH) if os.path.isdir(os.path.join(above, TRASH)) else above
            if os.stat(above).st_dev == device and os.access(there, os.W_OK | os.X_OK):
                home = above
        return home

    def companions(self, intents: Sequence[Intent]) -> list[Intent]:
        """What travels with these photos: pictures of their stem where the rule allows it, then sidecars."""
        listing = cache(FolderListing.read)
        going = {intent.path for intent in intents}
        made: dict[str, Intent] = {}
        for intent in intents:
            folder, name = os.path.split(intent.path)
            kept_folder, kept_name = os.path.split(intent.kept)
            others = [os.path.join(folder, other) for other in listing(folder).same_stem_images(name)]
            near_kept = [os.path.join(kept_folder, n) for n in listing(kept_folder).same_stem_images(kept_name)]
            left = [path for path in others if path not in going and path not in made]
            equal = [one for path in left if (one := self._equal_companion(path, near_kept))]
            if len(equal) == len(left):  # a RAW goes when nothing that stays has its stem
                made |= {one.path: one for one in equal}
                goes_first = [intent.path, *(path for path in others if path in going)]
                self.owners |= {one.number: goes_first for one in equal}
        going |= set(made)
        for intent in intents:
            folder, name = os.path.split(intent.path)
            for other, belongs in listing(folder).sidecars(name).items():
                path, owners = os.path.join(folder, other), [os.path.join(folder, owner) for owner in belongs]
                if path in made or not set(owners) <= going or path in self._named:
                    continue
                with suppress(OSError, SkipFile):
                    info = os.lstat(path)
                    if stat.S_ISREG(info.st_mode) and path not in self._safe:
                        made[path] = self._placed(self._intent(path, info, sha256_of(path), ""))
                        self.owners[made[path].number] = owners
        return list(made.values())

    def _equal_companion(self, path: str, candidates: Sequence[str]) -> Intent | None:
        """The intent for a picture of the same stem, where the kept photo has an equal one beside it."""
        with suppress(OSError, SkipFile):
            info = os.lstat(path)
            mine = path in self._named or path in self._safe or self._catalog.ids_at([os.fsencode(path)])
            if mine or not stat.S_ISREG(info.st_mode):
                return None
            for candidate in candidates:
                other = os.lstat(candidate)
                if candidate in self._named or not stat.S_ISREG(other.st_mode) or other.st_size != info.st_size:
                    continue
                if not os.path.samestat(info, other) and (sha256 := sha256_of(path)) == sha256_of(candidate):
                    made = self._placed(self._intent(path, info, sha256, ""))
                    return replace(made, kept=candidate, kept_sha256=sha256)
        return None


def _tie(step: Step, keep: Step) -> Relation:
    """How two photos of a plan are related."""
    if keep.sha256 == step.sha256:
        return IDENTICAL
    # The words of a person cannot make different bytes identical.
    named = [RELATIONS[one.relation] for one in (step, keep) if one.relation]
    return min((PIXELS, *named), key=lambda relation: relation.strength)


def _attributes(path: str) -> dict[str, str]:
    """The extended attributes of a file, values in hex; none where the system knows none."""
    with suppress(OSError, AttributeError):
        return {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    return {}
