"""Index: the one object that users hold. It answers, and what it writes is committed by the catalog."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from birdsearch.asking import Image
from birdsearch.errors import BackboneMismatchError
from birdsearch.indexing.labels import Labeller, read_corrections
from birdsearch.indexing.pipeline import AddRun
from birdsearch.photos import scan
from birdsearch.reading import Reader
from birdsearch.records import (
    AddReport,
    Filter,
    OptimizeReport,
    Progress,
    shown,
)
from birdsearch.storage import maintenance
from birdsearch.storage.catalog import commits
from birdsearch.storage.vectors import RECALL, Retrieval

if TYPE_CHECKING:
    from birdsearch.records import ActionReport, Plan

logger = logging.getLogger("birdsearch")

PREDICTIONS = 5  # stored with every photo


class Index(Reader):
    """An index of photos: made by `create`, opened by `open`, closed by `close` or at the end of a `with` block."""

    def bring_up_to_date(self) -> None:
        """Migrate the tables of an older birdsearch; done by `open`."""
        maintenance.migrate(self._folder, self._catalog)

    # Photos

    def add(
        self,
        folders: Image | Sequence[str | os.PathLike[str]],
        *,
        labels: str | None = None,
        prune: bool = False,
        progress: Progress | None = None,
    ) -> AddReport:
        """Index every photo under one or more folders; what is in the index already and unchanged costs no decode.

        `labels` is "none", "folder" (the name of the folder a photo lies in) or the path of a CSV (path,species); left
        out, each folder keeps what was chosen before. `prune` forgets photos whose file is gone. Every file that is
        not hidden ends in exactly one count of the report.
        """
        started = time.monotonic()
        given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)  # type: ignore[arg-type]
        paths = [os.path.abspath(os.fsencode(folder)) for folder in given]
        seen = scan.scan(paths)  # raises here for a folder that does not exist
        with self._folder.writing():
            self._clear()
            labeller = Labeller(self._catalog)
            labeller.choose(paths, labels)
            run = AddRun(
                self._catalog,
                self._folder.vectors,
                lambda: self.backbone,
                lambda probabilities: self._class_table().top(probabilities, PREDICTIONS),
                labeller,
                progress,
            )
            report = run.run(paths, seen, prune=prune)
            self._retrieval.save_engine()
            if (unmatched := labeller.unmatched(paths) if labels is not None else 0) > 0:
                logger.warning("lines of the CSV that name no photo under these folders: %d", unmatched)
        return replace(report, seconds=time.monotonic() - started)

    def _clear(self) -> None:
        """Remove what the catalog knows nothing of; every writer does so before it commits."""
        self._retrieval.drop_later_engine()
        self._folder.drop_whitenings(keep=self._catalog.get_state("whitening"))
        for path in self._folder.unlisted({part.id for part in self._catalog.parts()}):
            path.unlink()

    def remove(self, where: Filter) -> int:
        """Forget the photos that satisfy the filter; the files stay where they are. Returns how many."""
        with self._folder.writing():
            self._clear()
            ids = self._catalog.photo_ids(where)
            self._catalog.remove(ids)
            self._retrieval.save_engine()
        return len(ids)

    def import_photos(self, path: str | os.PathLike[str]) -> AddReport:
        """Take in the photos of an export, vectors and labels included; no photo file is read.

        A photo whose path the index holds already is left as it is (counted `unchanged`). Raises BackboneMismatchError
        where the vectors are of another backbone, InputFileError where the file is no export.
        """
        from birdsearch.export.importer import import_rows
        from birdsearch.export.parquet import read_about

        started = time.monotonic()
        about = read_about(Path(path))
        if about["backbone"] != self._identity["backbone"]:
            raise BackboneMismatchError(
                f"{shown(str(path))} holds vectors of {about['backbone'].get('name')}, this index is made with "
                f"{self._identity['backbone']['name']}: import it into an index of that backbone."
            )
        with self._folder.writing():
            self._clear()
            added, unchanged = import_rows(self._catalog, self._folder.vectors, Path(path), about["folders"])
            self._retrieval.save_engine()
        return AddReport(added=added, unchanged=unchanged, seconds=time.monotonic() - started)

    # Duplicates

    def apply(
        self,
        plan: "Plan",
        action: str,
        *,
        relations: Sequence[str] = ("identical", "pixels"),
        protect: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> "ActionReport":
        """Carry a plan out by "trash", "move:FOLDER" or "hardlink"; `undo` takes it back, bit by bit.

        Only photos of the named relations go, and nothing under `protect`. Both files of a step are checked right
        before it; what does not fit the plan any more is skipped, each with its reason. The catalog follows.
        """
        from birdsearch.duplicates.cleanup import apply as apply_module

        with self._folder.writing():
            self._clear()
            report = apply_module.apply(
                self._folder,
                self._catalog,
                plan,
                action=action,
                relations=relations,
                protect=protect,
                progress=progress,
            )
            self._retrieval.save_engine()
        return report

    def undo(self, run: str | None = None, *, progress: Progress | None = None) -> "ActionReport":
        """Bring back every file and every row of the last run of `apply`, or of the one named."""
        from birdsearch.duplicates.cleanup import undo as undo_module

        with self._folder.writing():
            self._clear()
            report = undo_module.undo(self._folder, self._catalog, run, progress=progress)
            self._retrieval.save_engine()
        return report

    def not_duplicates(self, a: int, b: int) -> None:
        """Remember that two photos are not the same picture, whatever they look like."""
        if a == b:
            raise ValueError(f"a photo is the same as itself: {a}")
        self._catalog.photos([a, b])  # raises for an unknown id
        with self._folder.writing():
            self._clear()
            self._catalog.say_different(a, b)

    # Labels

    def label(self, said: Mapping[int, str | None], *, author: str | None = None) -> int:
        """Say what photos show, above what folders and CSVs say; None takes that back. Returns how many changed."""
        before = {photo.id: photo.label for photo in self._catalog.photos(said)}  # raises for an unknown id
        wanted = {int(photo_id): None if name is None else name.strip() for photo_id, name in said.items()}
        if empty := [photo_id for photo_id, name in wanted.items() if name == ""]:
            raise ValueError(f"photo {empty[0]} would have an empty label: None takes a correction back")
        with self._folder.writing():
            self._clear()
            with self._catalog.transaction() as connection:
                commits.correct(connection, wanted, author)
                self._catalog.bump(connection)
            self._retrieval.save_engine()
        return sum(photo.label != before[photo.id] for photo in self._catalog.photos(said))

    def label_from(self, path: str | os.PathLike[str], *, author: str | None = None) -> int:
        """Take in corrected labels from a CSV with the columns id or path, and species. Returns how many changed.

        Raises InputFileError, with the line, for a photo that the index does not hold; nothing is changed then.
        """
        known = self._catalog.known_files([b"/"])  # with those whose file is away: their labels count when it is back
        held = {name: file.photo_id for name, file in known.items() if file.photo_id is not None}
        return self.label(read_corrections(Path(path), held), author=author)

    def set_names(self, path: str | os.PathLike[str]) -> int:
        """Say what labels mean, by a CSV with the columns name and species, instead of what was said before.

        An empty species keeps a name unresolved; lines that say what birdsearch takes a name for anyway count for
        nothing, and a file without lines takes everything back. Returns how many names have a meaning of their own.
        Raises InputFileError, with the line, for what is no bird.
        """
        from birdsearch.species import names
        from birdsearch.taxonomy import resolve

        said = resolve.read_overrides(Path(path))
        with self._folder.writing():
            self._clear()
            with self._catalog.transaction() as connection:
                self._catalog.set_state(connection, names.STATE, said)
                self._catalog.bump(connection)
            self._retrieval.save_engine()
        if strangers := names.strangers(self._catalog, said):
            some = ", ".join(shown(name) for name in strangers[:3])
            logger.warning("names that are no label of this index: %d (%s)", len(strangers), some)
        return len(said)

    # Upkeep

    def optimize(
        self,
        *,
        recall: float = RECALL,
        engine: str = "auto",
        whiten: bool | None = None,
        progress: Progress | None = None,
    ) -> OptimizeReport:
        """Choose the engine that finds `recall` of the true ten nearest fastest, by measuring on this index.

        `whiten` fits a better space on the index's own vectors (True), goes back to the backbone's (False), or leaves
        it (None). It is declined for few photos, and where it would make neighbours worse. `vectors()` stays raw.
        Raises RecallUnreachableError, with the best that was found, for a recall that the engine cannot reach.
        """
        from birdsearch.storage import optimize as optimize_module

        with self._folder.writing():
            self._clear()
            options = optimize_module.OptimizeOptions(recall, engine, whiten)
            return optimize_module.run(self._folder, self._catalog, self._retrieval, options, progress)

    def repair(self, progress: Progress | None = None) -> list[str]:
        """Rebuild what can be rebuilt, embed again only what cannot; returns what was done, in words."""
        done = maintenance.restore_identity(self._folder)
        self._identity = self._folder.read_identity()
        with self._folder.writing():
            self._clear()
            done += maintenance.drop_damaged_parts(self._folder, self._catalog, int(self._identity["backbone"]["dim"]))
            if maintenance.classes_are_damaged(self._folder, self._identity):
                self._identity = maintenance.write_classes_again(
                    self._folder, self._catalog, self._identity, self.backbone
                )
                self._classes = None
                done.append("wrote the classifier again from the backbone")
            if maintenance.refinement_problem(self._folder, self._catalog) is not None:
                from birdsearch.storage import optimize as optimize_module

                done.append(optimize_module.refit(self._folder, self._catalog, self._retrieval))
            if count := self._catalog.settle():
                done.append(f"worked out the species of {count} photos again")
        self._retrieval = Retrieval(self._folder, self._catalog, self._identity)
        lost = [photo.path for photo in self._catalog.photos_without_region()]
        here = [path for path in lost if os.path.exists(path)]
        if here:
            done.append(f"embedded {self.add(here, progress=progress).changed} photos again")
        if away := len(lost) - len(here):
            done.append(f"{away} photos have lost their vector and their file is away: index again when it is back")
        with self._folder.writing():
            damaged = any(maintenance.engine_problems(self._folder, self._catalog))
            if self._retrieval.save_engine(rebuild=damaged):
                done.append("built the engine anew")
        return done
