"""The kinds of jobs: each a class with the options of the method of Index that it calls."""

import os
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Body
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from birdsearch.files import is_url
from birdsearch.index import Index
from birdsearch.records import APPLIED_BY_DEFAULT, POLICY, RELATIONS, AuditReport, Filter, Progress, shown
from birdsearch.storage.address import STORES
from birdsearch.web.api.asked import MOST_SPECIES, checklist_file, filter_of
from birdsearch.web.made import Question
from birdsearch.web.serving import ForbiddenError, Serving

Where = Annotated[dict[str, Any] | None, Field(description="A Filter in JSON.")]
_AUDITED_AT_ONCE = 100  # photos: about a second
_RELATIONS = tuple(RELATIONS)


class Work(BaseModel):
    """What a job is asked to do."""

    model_config = ConfigDict(extra="forbid")
    writes: ClassVar[bool] = False  # whether it changes the index
    do: str

    @property
    def title(self) -> str:
        """What it does, for people."""
        return (type(self).__doc__ or "").split("\n")[0].rstrip(".")

    def check(self, held: Serving) -> None:
        """Raises ValueError or ForbiddenError, before it starts, for what cannot be meant or is not allowed."""
        self.filter(held)

    def filter(self, held: Serving) -> Filter | None:
        """Which photos it is about."""
        return filter_of(getattr(self, "where", None), held)

    def work(self, held: Serving, progress: Progress) -> Any:
        """Do it; what is returned is the result of the job."""
        raise NotImplementedError


class Add(Work):
    """Add the photos of folders."""

    writes = True
    do: Literal["add"]
    folders: list[str] | None = Field(
        None,
        description="Absolute paths, or addresses such as s3://bucket/prefix; left out, those of the index.",
    )
    labels: Literal["none", "folder", "keywords"] | None = None
    keyword_root: str | None = Field(None, description="Only keywords below this one; with labels: keywords.")
    exclude: list[str] | None = None
    prune: bool = False
    force: bool = False
    reread: bool = False
    regions: Literal["bird", "none"] | None = None
    finder: Literal["auto", "classes", "saliency"] = "auto"
    raw: Literal["pair", "separate", "ignore"] | None = None

    @property
    def title(self) -> str:
        """What it does, for people."""
        return f"Add {shown(', '.join(self.folders))}" if self.folders else "Look for new photos"

    def check(self, held: Serving) -> None:
        """The folders may be named by who asks, and the options agree."""
        if self.keyword_root is not None and (self.labels != "keywords" or not self.keyword_root.strip()):
            raise ValueError('`keyword_root` is a keyword, and needs `labels` to be "keywords".')
        if not self.folders and held.state.index is None:
            raise ValueError("there is no index yet: name a folder of photos in `folders`.")
        for folder in self.folders or ():
            if is_url(folder):
                check_address(folder, held)
            else:
                check_folder(folder, held)

    def work(self, held: Serving, progress: Progress) -> Any:
        """Add them, to a new index where there is none."""
        options = self.model_dump(exclude={"do", "folders"})
        if held.state.index is None:
            progress("network", 0, None, "")  # which takes a while to be made ready
        index = held.state.index_for_adding()
        return index.add(self.folders, **options, progress=progress, between_commits=held.jobs.write_waiting)


class Reembed(Work):
    """Embed every photo anew."""

    writes = True
    do: Literal["reembed"]
    force: bool = False

    def work(self, held: Serving, progress: Progress) -> Any:
        """Embed them."""
        return held.index.reembed(force=self.force, progress=progress, between_commits=held.jobs.write_waiting)


class Duplicates(Work):
    """Find duplicates."""

    do: Literal["duplicates"]
    where: Where = None
    relations: list[str] = Field(list(_RELATIONS), min_length=1)
    burst_gap: float = Field(3.0, ge=0, le=86400)
    prefer: list[str] = []
    protect: list[str] = []
    policy: list[str] = list(POLICY)

    def check(self, held: Serving) -> None:
        """The relations and the filter are ones that there are."""
        check_relations(self.relations)
        super().check(held)

    def work(self, held: Serving, progress: Progress) -> Any:
        """Find them; the report is kept, and the result says its id."""
        options = self.model_dump(exclude={"do", "where"})
        report = held.index.duplicates(self.filter(held), **options, progress=progress)
        return {"report": report.id, "counts": report.counts, "groups": len(report.groups), "seconds": report.seconds}


class Apply(Work):
    """Clean up duplicates."""

    writes = True
    do: Literal["apply"]
    report: str
    action: str = Field("trash", pattern="^(trash|hardlink|move:.+)$", description="trash, hardlink or move:FOLDER.")
    relations: list[str] = Field(list(APPLIED_BY_DEFAULT), description="Of groups that nobody has decided.")
    protect: list[str] = []

    def check(self, held: Serving) -> None:
        """The folder to move to may be named by who asks."""
        check_relations(self.relations)
        if self.action.startswith("move:"):
            check_folder(self.action.removeprefix("move:"), held)

    def work(self, held: Serving, progress: Progress) -> Any:
        """Carry out what was decided."""
        index = held.index
        report = index.duplicate_report(self.report)
        plan = index.plan(report, relations=self.relations, protect=self.protect)
        return index.apply(plan, self.action, relations=_RELATIONS, protect=self.protect, progress=progress)


class Undo(Work):
    """Bring back what was cleaned up."""

    writes = True
    do: Literal["undo"]
    run: str | None = None

    def work(self, held: Serving, progress: Progress) -> Any:
        """Bring it back."""
        return held.index.undo(self.run, progress=progress)


class EmptyTrash(Work):
    """Delete the trash for good."""

    writes = True
    do: Literal["empty_trash"]

    def work(self, held: Serving, progress: Progress) -> Any:
        """Delete it."""
        return held.index.empty_trash()


class Audit(Work):
    """Look for labels that may be wrong."""

    do: Literal["audit"]
    where: Where = None
    checklist: list[str] | None = Field(
        None, description="The species that are to be expected.", max_length=MOST_SPECIES
    )
    again: bool = False

    def work(self, held: Serving, progress: Progress) -> Any:
        """Look for them."""
        question = of_audit(self.filter(held), self.checklist, self.again)
        return held.state.reports.make(held.index, question, progress).report


class Evaluate(Work):
    """Measure how right the answers are."""

    do: Literal["evaluate"]
    where: Where = None
    seed: int = 0

    def work(self, held: Serving, progress: Progress) -> Any:
        """Measure it."""
        return held.index.evaluate(self.filter(held), seed=self.seed, progress=progress)


class Split(Work):
    """Split photos for training, validation and test."""

    do: Literal["split"]
    where: Where = None
    fractions: list[float] = Field([0.8, 0.1, 0.1], min_length=3, max_length=3)
    seed: int = 0

    def work(self, held: Serving, progress: Progress) -> Any:
        """Split them."""
        return held.index.split(self.filter(held), fractions=self.fractions, seed=self.seed, progress=progress)


class Optimize(Work):
    """Choose the fastest engine."""

    writes = True
    do: Literal["optimize"]
    recall: float = Field(0.95, gt=0, le=1)
    engine: Literal["auto", "flat", "flat-fp16", "ivf", "hnsw", "pq"] = "auto"
    whiten: bool | None = None

    def work(self, held: Serving, progress: Progress) -> Any:
        """Choose it."""
        return held.index.optimize(**self.model_dump(exclude={"do"}), progress=progress)


class Verify(Work):
    """Check the index for damage."""

    do: Literal["verify"]

    def work(self, held: Serving, progress: Progress) -> Any:
        """Check it."""
        return held.index.verify(progress=progress)


class Repair(Work):
    """Repair the index."""

    writes = True
    do: Literal["repair"]

    def work(self, held: Serving, progress: Progress) -> Any:
        """Repair it."""
        return held.index.repair(progress)


class Export(Work):
    """Export photos as a file."""

    do: Literal["export"]
    where: Where = None
    format: Literal["parquet", "csv"] = "parquet"

    def work(self, held: Serving, progress: Progress) -> Any:
        """Write them to a file of the server, which the result is."""
        path = held.state.scratch / f"export-{os.urandom(4).hex()}.{self.format}"
        held.index.export(path, self.filter(held), format=self.format, progress=progress)
        return FileResponse(path, filename=f"{held.index.name}.{self.format}")


AnyWork = (
    Add
    | Reembed
    | Duplicates
    | Apply
    | Undo
    | EmptyTrash
    | Audit
    | Evaluate
    | Split
    | Optimize
    | Verify
    | Repair
    | Export
)  # fmt: skip
Asked = Annotated[AnyWork, Body(discriminator="do")]


def of_audit(where: Filter | None, checklist: list[str] | None, again: bool) -> Question:
    """Which labels may be wrong."""

    def make(index: Index, progress: Progress) -> AuditReport:
        with checklist_file(checklist) as files:
            return index.audit(where, checklist=files, again=again, progress=progress)

    return Question("audit", "Look for labels that may be wrong", where, make, _AUDITED_AT_ONCE, (checklist, again))


def check_relations(names: list[str]) -> None:
    """Raises ValueError for a relation that there is none of."""
    if unknown := [name for name in names if name not in RELATIONS]:
        raise ValueError(f"{unknown[0]!r} is no relation: give some of {', '.join(RELATIONS)}.")


def check_address(address: str, held: Serving) -> None:
    """The same as `check_folder` for photos in an object store; the web is not read for others."""
    if address.partition("://")[0] not in STORES:
        raise ValueError(f"{shown(address)!r} is no folder: name one, or an address that begins with s3://.")
    known = held.index.provenance.folders if held.state.index else ()
    if not held.settings.is_local and not any(f"{address}/".startswith(f"{root}/") for root in known):
        raise ForbiddenError(f"{shown(address)} is not in the index: add it on the computer that runs the server.")


def check_folder(folder: str, held: Serving) -> None:
    """Raises ForbiddenError for a folder that who asks may not name.

    Any folder may be named on the computer itself; from elsewhere only those in which photos of the index lie.
    """
    if not os.path.isabs(folder):
        raise ValueError(f"the folder {folder!r} must be named with its whole path.")
    if held.settings.is_local:
        return
    known = [os.path.realpath(root) for root in held.index.provenance.folders] if held.state.index else []
    asked = os.path.realpath(folder)
    if not any(asked == root or asked.startswith(root.rstrip(os.sep) + os.sep) for root in known):
        raise ForbiddenError(f"{shown(folder)} is not in the index: add it on the computer that runs the server.")
