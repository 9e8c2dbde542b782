"""What each step of a plan does, and what travels along: reads the files, moves none."""

import logging
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count

from birdsearch.actions import attributes, filesystem
from birdsearch.actions.filesystem import TRASH, SkipFile
from birdsearch.actions.journal import Intent
from birdsearch.duplicates.members import FolderSet
from birdsearch.errors import PhotoError, PlanError, os_error_text
from birdsearch.files import is_index_folder, is_url, sha256_of, with_trailing_slash
from birdsearch.photos.filetype import has_raw_name
from birdsearch.photos.pairs import pairs, stem, written
from birdsearch.photos.sidecars import RAW, FolderListing, name_beside
from birdsearch.records import APPLIED_BY_DEFAULT, IDENTICAL, PIXELS, RELATIONS, Plan, Relation, Step, shown
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.catalog.companion_rows import Companion
from birdsearch.storage.folder import Folder

logger = logging.getLogger("birdsearch")

_SAME_PIXELS = (IDENTICAL.name, PIXELS.name)  # what says something of one of them is true of the other


class AsToldError(SkipFile):
    """A file stays because that is what the person who applies the plan asked for."""


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
        if target and is_url(target):
            raise PlanError(f"{shown(target)} is no folder of this computer: name one to move the files to.")
        if target and os.path.lexists(target) and not os.path.isdir(target):
            raise PlanError(f"{shown(target)} is not a folder: name one to move the files to.")
        if unknown := [relation for relation in self.relations if relation not in RELATIONS]:
            raise PlanError(f'no relation "{shown(unknown[0])}": they are {", ".join(RELATIONS)}.')


IN_STORE = "in a store of objects, where birdsearch changes nothing"


class Planner:
    """What one run of `apply` intends to do."""

    def __init__(self, plan: Plan, options: ApplyOptions, run: str, folder: Folder, catalog: Catalog) -> None:
        self._word, _, target = options.action.partition(":")
        self.run, self._target, self._relations = run, os.path.abspath(target), options.relations
        self._catalog, self._roots = catalog, tuple(catalog.roots().values())
        self._safe, self._own = FolderSet(options.protect), FolderSet([str(folder.path)])
        self._numbers = count()
        self._named = {step.path for step in plan.steps}
        self._known = catalog.ids_at([os.fsencode(path) for path in self._named])
        self._keeps: dict[int, list[Step]] = {}
        for step in plan.steps:
            if step.do == "keep":
                self._keeps.setdefault(step.group, []).append(step)
        self._kept_inodes: set[tuple[int, int] | None] = set()
        for step in (step for keeps in self._keeps.values() for step in keeps):
            with suppress(OSError):  # its step will say so
                self._kept_inodes.add(filesystem.inode(step.path))
        self._places: set[str] = set()  # names that files of this run go to
        self._trash_root, self._is_index = cache(self._find_trash_root), cache(_is_index)
        self._is_more_open = cache(attributes.is_more_open)
        self._probed: set[int] = set()  # devices
        self.owners: dict[int, list[str]] = {}  # intent of a companion -> files that must have gone before it

    def intended(self, step: Step) -> Intent:
        """The intent of a step; SkipFile where it may not be done."""
        if step.path in self._safe:
            raise AsToldError("protected")
        if is_url(step.path):
            raise SkipFile(f"{IN_STORE}; remove it there yourself, by the plan")
        self._check_is_photo(step.path, "")
        info = os.lstat(step.path)
        if not stat.S_ISREG(info.st_mode):
            raise SkipFile("a symbolic link: left alone" if stat.S_ISLNK(info.st_mode) else "not a regular file")
        if (info.st_dev, info.st_ino) in self._kept_inodes:
            raise SkipFile("another name of a file that is kept: nothing would be gained, and the last name could go")
        keep, relation = self._keep_of(step)
        if relation not in self._relations:
            raise AsToldError(f"{relation}: removed only where the relation is named (--relation {relation})")
        if self._word == "hardlink" and step.sha256 != keep.sha256:
            raise SkipFile(f"{relation}: hard links are for identical files only")
        intent = self._intent(step.path, info, step.sha256, relation)
        kept_inode = filesystem.inode(keep.path) or (0, 0)
        intent = replace(intent, kept=keep.path, kept_sha256=keep.sha256, kept_inode=kept_inode)
        if self._word != "hardlink":
            return self._placed(intent, info)
        if intent.kept_inode[0] != info.st_dev:
            raise SkipFile("on another disk than the kept file: hard links do not reach there")
        if info.st_nlink > 1:
            raise SkipFile("has other names (hard links): replacing one of them frees nothing")
        return replace(intent, kind="link")

    def _check_is_photo(self, path: str, name: str) -> None:
        """A plan is about photos of this index and nothing else."""
        if path in self._own or self._is_index(os.path.dirname(path)):
            raise SkipFile(f"{name}belongs to an index")
        if os.fsencode(path) not in self._known:
            raise SkipFile(f"{name}is not a photo of this index" if os.path.lexists(path) else f"{name}no longer there")

    def _keep_of(self, step: Step) -> tuple[Step, str]:
        """The kept photo that a photo is related to most closely, and how.

        Relations in a plan are those to the photo that was proposed: where a person keeps another one, two photos are
        related as the weaker of the two ties says. Equal bytes are equal whatever it says.
        """
        if all(is_url(keep.path) for keep in self._keeps[step.group]):
            raise SkipFile(f"the kept photo {shown(self._keeps[step.group][0].path)} is {IN_STORE}: left alone")
        there = [keep for keep in self._keeps[step.group] if os.path.lexists(keep.path)]
        if not there:
            raise SkipFile(f"the kept photo {shown(self._keeps[step.group][0].path)} is no longer there")
        keep = max(there, key=lambda keep: _tie(step, keep).strength)
        if not os.path.isfile(keep.path):
            raise SkipFile(f"the kept photo {shown(keep.path)} is not a regular file")
        self._check_is_photo(keep.path, f"the kept photo {shown(keep.path)} ")
        if (step.relation or keep.relation) == IDENTICAL.name and keep.sha256 != step.sha256:
            raise SkipFile(f"said to be identical, but its bytes are not those of {shown(keep.path)}")
        return keep, _tie(step, keep).name

    def _intent(self, path: str, info: os.stat_result, sha256: str, relation: str) -> Intent:
        made = attributes.recorded(next(self._numbers), "move", path, info, sha256)
        return replace(made, relation=relation)

    # Places

    def _placed(self, intent: Intent, info: os.stat_result) -> Intent:
        """The intent with a free name to go to, in a folder that is no more open than its own."""
        parent = os.path.dirname(intent.path)
        trash = self._word == "trash"
        if not trash and (parent + os.sep).startswith(self._target.rstrip(os.sep) + os.sep):
            raise SkipFile(f"lies in {shown(self._target)} already")
        home = self._trash_root(parent) if trash else self._root(parent)
        if trash and os.path.islink(os.path.join(home, TRASH)):
            raise SkipFile(f"{shown(os.path.join(home, TRASH))} is a link: remove it")
        base = os.path.join(home, TRASH, self.run) if trash else os.path.join(self._target, self.run)
        bases = [*([] if trash else [self._target]), base, *(f"{base}-{n}" for n in range(2, 1000))]
        for to in (os.path.join(each, os.path.relpath(intent.path, home)) for each in bases):
            made, above = _missing(os.path.dirname(to))
            open_to_more = not made and self._is_more_open(above, parent)
            if to not in self._places and not os.path.lexists(to) and not open_to_more:
                self._check_disk(above, intent, info)
                self._places.add(to)
                return replace(intent, to=to, made=made)
        raise SkipFile("no free name where it should go")

    def _check_disk(self, folder: str, intent: Intent, info: os.stat_result) -> None:
        """Raises SkipFile for what a copy on another disk could not bring back; says what the disk cannot keep."""
        if os.stat(folder).st_dev == info.st_dev:
            return
        if info.st_nlink > 1:
            raise SkipFile("has other names (hard links), which a copy on another disk would no longer be tied to")
        if not attributes.can_own(intent.owner):
            raise SkipFile("belongs to another user, and a copy on another disk could not be given to them")
        if (device := os.stat(folder).st_dev) not in self._probed:
            self._probed.add(device)
            if lost := attributes.lost_on(folder):
                words = ", ".join(lost)
                logger.warning("the disk of %s cannot keep %s: `undo` restores them", shown(folder), words)

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

    # Companions

    def companions(self, intents: Sequence[Intent]) -> tuple[dict[int, list[Intent]], dict[int, str]]:
        """What travels with these photos, by their numbers: their RAW, other pictures of their stem where the rule
        allows it, sidecars.

        What several of them share goes with the last of them. Second: why a photo has to stay, as its companion must.
        """
        listing = cache(FolderListing.read)
        going = {intent.path: intent.number for intent in intents}
        with_photo: dict[int, list[Intent]] = {intent.number: [] for intent in intents}
        blocked: dict[int, str] = {}

        def add(number: int, path: str, owners: list[str], made: Callable[[], Intent | None]) -> None:
            try:
                one = made()
            except (SkipFile, OSError) as error:
                blocked[number] = f"{shown(path)} belongs to it and cannot go: {filesystem.reason(error)}"
                return
            if one is not None:
                with_photo[number].append(replace(one, beside=number))
                self.owners[one.number] = owners

        raws = self._raws(intents)
        for intent in intents:
            for path in raws[intent.path]:
                going[path] = intent.number
                add(intent.number, path, [intent.path], partial(self._paired, path, intent, listing))
        for intent in intents:
            others = _same_stem(listing, intent.path)
            left = [path for path in others if path not in going]
            try:
                equal = {path: self._equal_companion(path, _same_stem(listing, intent.kept)) for path in left}
            except OSError as error:
                blocked[intent.number] = f"what lies beside it cannot be read: {os_error_text(error)}"
                continue
            if all(equal.values()):  # a RAW goes when nothing that stays has its stem
                owners = [intent.path, *(path for path in others if path in going)]
                last = max(going[path] for path in owners)
                for path, kept in equal.items():
                    add(last, path, owners, partial(self._raw, path, *(kept or ("", ""))))
                going |= dict.fromkeys(equal, last)
        done: set[str] = set()
        for intent in intents:
            pair = [intent.path, *raws[intent.path]]
            folder = os.path.dirname(intent.path)
            beside = [listing(folder).sidecars(os.path.basename(path)) for path in pair]
            for other, belongs in (item for one in beside for item in one.items()):
                path, owners = os.path.join(folder, other), [os.path.join(folder, owner) for owner in belongs]
                if path not in done | self._named and path not in self._safe and going.keys() >= set(owners):
                    done.add(path)
                    alone = intent if set(owners) <= set(pair) else None
                    last = max(going[owner] for owner in owners)
                    add(last, path, owners, partial(self._sidecar, path, alone, listing))
        return with_photo, blocked

    def _raws(self, intents: Sequence[Intent]) -> dict[str, list[str]]:
        """Photo -> the RAW that is one exposure with it, where the file is there and no photo itself."""
        ids = {intent.path: self._known[os.fsencode(intent.path)] for intent in intents}
        known = self._catalog.companions(ids.values())
        found = {
            path: [os.fsdecode(one.path) for one in known.get(photo_id, ()) if one.kind == RAW and self._goes_with(one)]
            for path, photo_id in ids.items()
        }
        photos = self._catalog.ids_at([os.fsencode(raw) for raws in found.values() for raw in raws])
        return {
            path: [
                raw
                for raw in raws
                if os.path.dirname(raw) == os.path.dirname(path) and raw not in self._named
                if os.fsencode(raw) not in photos
            ]
            for path, raws in found.items()
        }

    def _goes_with(self, raw: Companion) -> bool:
        """Whether a RAW is one exposure with its photo still; False where it has gone or become another picture."""
        try:
            info = os.stat(raw.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # what cannot be looked at is not left behind: who moves it says why that cannot be
        if (info.st_size, info.st_mtime_ns) == (raw.size, raw.mtime_ns):
            return True
        try:
            return bool(pairs([*self._catalog.photos([raw.photo_id]), written(os.fsdecode(raw.path))]))
        except (PhotoError, OSError):
            return False

    def _paired(self, path: str, photo: Intent, listing: Callable[[str], FolderListing]) -> Intent | None:
        """The intent for the RAW of a photo; SkipFile where the picture that stays would be left without one."""
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode):
            return None
        raws = [other for other in _same_stem(listing, photo.kept) if has_raw_name(other)]
        if (equal := self._equal_companion(path, raws)) is not None:
            return self._raw(path, *equal)
        made = self._intent(path, info, sha256_of(path), "")
        if photo.relation not in _SAME_PIXELS or raws:
            return self._placed(made, info)
        name, kept_name = os.path.basename(path), os.path.basename(photo.kept)
        if stem(name) != stem(kept_name):
            name = os.path.splitext(kept_name)[0] + os.path.splitext(name)[1]
        if (to := self._beside_kept(path, photo, name, listing)) is None:
            raise SkipFile(f"the kept photo {shown(photo.kept)} has no RAW, and this one cannot come beside it")
        return replace(made, to=to)

    def _sidecar(self, path: str, photo: Intent | None, listing: Callable[[str], FolderListing]) -> Intent | None:
        """The intent for a sidecar, of the photo that it belongs to alone; None for what is not one."""
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or self._catalog.ids_at([os.fsencode(path)]):
            return None
        intent = self._intent(path, info, sha256_of(path), "")
        to = None
        if photo and photo.relation in _SAME_PIXELS:
            folder, name = os.path.split(photo.path)
            name_there = name_beside(os.path.relpath(path, folder), name, os.path.basename(photo.kept))
            to = self._beside_kept(path, photo, name_there or "", listing)
        return replace(intent, to=to) if to else self._placed(intent, info)

    def _beside_kept(self, path: str, photo: Intent, name: str, listing: Callable[[str], FolderListing]) -> str | None:
        """The path of a companion beside the kept photo, where that is the same picture and lacks one of its kind."""
        folder = os.path.dirname(photo.path)
        kept_folder, kept_name = os.path.split(photo.kept)
        beside, suffix = listing(kept_folder), os.path.splitext(path)[1].lower()
        to = os.path.join(kept_folder, name)
        if (
            os.path.basename(to) in ("", kept_name)
            or any(os.path.splitext(one)[1].lower() == suffix for one in beside.sidecars(kept_name))
            or (beside.same_stem_images(kept_name) and not os.path.basename(to).startswith(kept_name))
            or photo.kept in self._safe
            or to in self._places
            or os.path.lexists(to)
            or os.stat(kept_folder).st_dev != os.stat(folder).st_dev
            or self._is_more_open(kept_folder, folder)
        ):
            return None
        self._places.add(to)
        return to

    def _equal_companion(self, path: str, candidates: Sequence[str]) -> tuple[str, str] | None:
        """A picture beside the kept photo, and its sha256, that equals one of the photo's stem which nobody named."""
        info = os.lstat(path)
        mine = path in self._named or path in self._safe or self._catalog.ids_at([os.fsencode(path)])
        if mine or not stat.S_ISREG(info.st_mode):
            return None
        for candidate in candidates:
            other = os.lstat(candidate)
            if candidate in self._named or not stat.S_ISREG(other.st_mode) or other.st_size != info.st_size:
                continue
            if not os.path.samestat(info, other) and (sha256 := sha256_of(path)) == sha256_of(candidate):
                return candidate, sha256
        return None

    def _raw(self, path: str, kept: str, sha256: str) -> Intent:
        """The intent for a picture of the same stem that lies beside the kept photo too."""
        info = os.lstat(path)
        return replace(self._placed(self._intent(path, info, sha256, ""), info), kept=kept, kept_sha256=sha256)


def _same_stem(listing: Callable[[str], FolderListing], photo: str) -> list[str]:
    folder, name = os.path.split(photo)
    return [os.path.join(folder, other) for other in listing(folder).same_stem_images(name)]


def _tie(step: Step, keep: Step) -> Relation:
    """How two photos of a plan are related."""
    if keep.sha256 == step.sha256:
        return IDENTICAL
    # The words of a person cannot make different bytes identical.
    named = [RELATIONS[one.relation] for one in (step, keep) if one.relation]
    return min((PIXELS, *named), key=lambda relation: relation.strength)


def _missing(folder: str) -> tuple[tuple[str, ...], str]:
    """The folders that have to be made for this one, outermost first, and the deepest that is there."""
    made: tuple[str, ...] = ()
    while not os.path.lexists(folder):
        made, folder = (folder, *made), os.path.dirname(folder)
    return made, folder


def _is_index(folder: str) -> bool:
    """Whether a folder is that of an index, or lies in one."""
    while not is_index_folder(folder):
        if folder == (above := os.path.dirname(folder)):
            return False
        folder = above
    return True
