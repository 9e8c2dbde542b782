"""Reader: all that an index answers without the right to write; what it works out is kept nowhere."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsearch.asking import Asker
from birdsearch.duplicates.keeper import POLICY
from birdsearch.records import (
    RELATIONS,
    AuditReport,
    ClusterReport,
    DuplicateReport,
    Evaluation,
    ExportReport,
    Failure,
    Filter,
    Name,
    Photo,
    Progress,
    SpeciesReport,
    SplitReport,
    Vectors,
    VerifyReport,
)
from birdsearch.storage import maintenance

if TYPE_CHECKING:
    from birdsearch.records import Plan, RunSummary


class Reader(Asker):
    """An open index that is only read; users hold an `Index`."""

    # Reading

    def photos(self, where: Filter | None = None, *, limit: int | None = None) -> list[Photo]:
        """The photos that satisfy the filter, in order of id; those whose file is gone are hidden."""
        with self._catalog.snapshot():
            return self._catalog.photos(self._catalog.photo_ids(where, limit))

    def photo(self, photo_id: int) -> Photo:
        """One photo by its id."""
        return self._catalog.photos([photo_id])[0]

    def vectors(self, ids: Sequence[int]) -> Vectors:
        """The raw unit vectors (n, dim) of these photos, in their order."""
        return self._retrieval.rows(ids)[0]

    def failures(self) -> list[Failure]:
        """The files that could not be indexed, and why."""
        return self._catalog.failures()

    def info(self) -> dict[str, Any]:
        """What the index is and holds, as plain values."""
        return maintenance.facts(self._folder, self._catalog, self._retrieval, self._identity)

    # Duplicates

    def duplicates(
        self,
        relations: Sequence[str] = RELATIONS,
        where: Filter | None = None,
        against: str | os.PathLike[str] | None = None,
        *,
        burst_gap: float = 3.0,
        prefer: Sequence[str] = (),
        protect: Sequence[str] = (),
        policy: Sequence[str] = POLICY,
        progress: Progress | None = None,
    ) -> DuplicateReport:
        """Which photos are the same picture, in which way (of `RELATIONS`), and which one to keep.

        `burst_gap` is the pause in seconds that ends a burst. `prefer` and `protect` are folders, `policy` the
        criteria by which the photo to keep is chosen (`birdsearch.duplicates.keeper.POLICY`). `against` names a
        folder of photos that stay outside: the report then tells which of them the index holds already. Nothing is
        changed.
        """
        from birdsearch.duplicates import finder

        wanted = finder.Wanted(tuple(relations), where, burst_gap, tuple(prefer), tuple(protect), tuple(policy))
        with self._catalog.snapshot():  # minutes may pass, and writers go on meanwhile
            search = finder.Search(self._catalog, self._retrieval, wanted, progress)
            return search.run() if against is None else search.run_against(os.fspath(against), self.backbone)

    def plan(
        self,
        report: DuplicateReport,
        *,
        relations: Sequence[str] = RELATIONS[:3],
        protect: Sequence[str] = (),
        policy: Sequence[str] | None = None,
    ) -> "Plan":
        """What follows from a report: of each group one file is kept and the others go. Nothing has been done yet.

        Photos of other relations than these, such as those of a burst, are listed and skipped. With a `policy` the
        photos to keep are chosen anew by it; else those of the report stay.
        """
        from birdsearch.duplicates.cleanup.plan import make_plan

        if policy is not None:
            from birdsearch.duplicates import finder

            wanted = finder.Wanted(protect=tuple(protect), policy=tuple(policy))
            with self._catalog.snapshot():
                report = finder.Search(self._catalog, self._retrieval, wanted, None).chosen_anew(report)
        ids = sorted({photo_id for group in report.groups for photo_id in (group.keep, *group.others) if photo_id > 0})
        return make_plan(report, self._catalog.known_photos(ids), relations=relations, protect=protect)

    def runs(self) -> "list[RunSummary]":
        """Every run of `apply`, oldest first."""
        from birdsearch.duplicates.cleanup import apply

        return apply.runs(self._folder)

    # Species

    def names(self, where: Filter | None = None) -> list[Name]:
        """What each label of these photos is taken for, the least sure first; `Index.set_names` corrects it."""
        from birdsearch.species import names as names_module

        return names_module.names(self._catalog, where)

    def unlisted_names(self) -> list[str]:
        """The labels that AviList does not have and nobody has said anything of: those `names` had to work out."""
        from birdsearch.species import names as names_module

        return names_module.unlisted(self._catalog)

    def clusters(
        self,
        where: Filter | None = None,
        *,
        method: str = "leiden",
        resolution: float | None = None,
        clusters: int | None = None,
        only_species: str | None = None,
        seed: int = 0,
    ) -> ClusterReport:
        """How photos lie together: communities of the neighbour graph, or "kmeans" with so many `clusters`.

        `resolution` (0 to 1; higher is finer) is chosen without labels where it is None. `only_species` names one
        species: then its own photos are sorted (plumages, ages, scenes).
        """
        from birdsearch.species import clusters as clusters_module

        where = replace(where or Filter(), species=only_species) if only_species is not None else where
        return clusters_module.of(self._gathered(where), method, resolution, clusters, seed)

    def species_report(self, where: Filter | None = None) -> SpeciesReport:
        """How the species of the index sit next to each other: cohesion, nearest species, confusable pairs."""
        from birdsearch.species import confusions

        return confusions.of(self._gathered(where))

    def audit(
        self,
        where: Filter | None = None,
        *,
        checklist: Iterable[str | Path] | None = None,
        progress: Progress | None = None,
    ) -> AuditReport:
        """Labels that may be wrong, worst first, each with its reasons, a proposal and the photos that speak for it."""
        from birdsearch.species import audit as audit_module

        return audit_module.of(self._gathered(where), self._catalog, checklist, progress)

    def split(
        self,
        where: Filter | None = None,
        *,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        same: DuplicateReport | None = None,
        progress: Progress | None = None,
    ) -> SplitReport:
        """Photos on the sides training, validation and test, with a proof that nothing leaks from one to another.

        Copies of one picture (`same`, by default `duplicates()`, which takes a while), exposures of one burst and the
        photos of one observer on one day stay together.
        """
        from birdsearch.species import split as split_module

        if same is None:
            same = self.duplicates(RELATIONS[:3], where, progress=progress)
        return split_module.of(self._gathered(where), same, fractions, seed)

    def evaluate(self, where: Filter | None = None, *, seed: int = 0) -> Evaluation:
        """How well the labelled photos know each other, each asked as if it were not there."""
        from birdsearch.species import evaluation

        with self._catalog.snapshot():
            classes = self._folder.read_classes()
            return evaluation.of(self._gathered(where), self._catalog, self._retrieval, classes, seed)

    def map(self, ids: Sequence[int], where: Filter | None = None) -> Vectors:
        """Coordinates (n, 2) of these photos on a map of those that satisfy the filter.

        UMAP draws it where that is installed, else it shows the first two principal components.
        """
        from birdsearch.species import clusters as clusters_module

        return clusters_module.coordinates_of(self._gathered(where), self._catalog, ids)

    # Handing on, checking

    def export(
        self,
        path: str | os.PathLike[str],
        where: Filter | None = None,
        *,
        format: str = "parquet",
        options: Any = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write photos for another tool, in one of `birdsearch.export.exporter.EXPORTERS`."""
        from birdsearch.export import exporter

        return exporter.export(self._store(), Path(path), where, format, options, progress)

    def _store(self) -> Any:
        from types import SimpleNamespace

        from birdsearch.records import BackboneIdentity

        identity = SimpleNamespace(backbone=BackboneIdentity(**self._identity["backbone"]))
        return SimpleNamespace(folder=self._folder, identity=identity, catalog=self._catalog, vectors=self._retrieval)

    def verify(self) -> VerifyReport:
        """Check every promise of the format; reads all of the index and none of the photos."""
        problems = tuple(maintenance.problems(self._folder, self._catalog, self._identity))
        return VerifyReport(not problems, problems)
