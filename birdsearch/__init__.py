"""Search, classify and compare a folder of bird photographs by what they show.

    import birdsearch

    with birdsearch.create("indexes/garden") as index:       # or birdsearch.open, once it is there
        index.add("photos", labels="folder")
        for match in index.search("some bird.jpg", k=5):
            print(match.score, match.photo.species, match.photo.path)

An index: create, open, restore, list_indexes, find_index. What it does: help(birdsearch.Index), from search and
classify to duplicates, audit and export. Which photos: Filter, a | b, ~a. Networks: list_backbones, load_backbone,
pull_backbone, pull_text. Without an index: find_photos, copy_new, near_pairs. What goes wrong is a BirdsearchError that
says what to do. All else are records, which the methods return. docs/reference.md has every name, with examples.
"""

from typing import TYPE_CHECKING, Any

from birdsearch.errors import BirdsearchError, Cancelled

if TYPE_CHECKING:
    from birdsearch.backbones import BIRD_BACKBONES, Backbone, BackboneInfo, list_backbones, load_backbone, pull_text
    from birdsearch.backbones import DEFAULT as DEFAULT_BACKBONE
    from birdsearch.backbones import pull as pull_backbone
    from birdsearch.duplicates.cleanup.plan import read_plan, write_plan
    from birdsearch.duplicates.copying import copy_new
    from birdsearch.homes import find_index
    from birdsearch.index import Index, create, open, restore
    from birdsearch.indexing.box_files import check_boxes
    from birdsearch.indexing.label_files import check_labels
    from birdsearch.photos.decode import ImageLike
    from birdsearch.photos.scan import check_folders, find_photos
    from birdsearch.records import (
        ActionReport,
        AddReport,
        AuditReport,
        BackboneIdentity,
        Box,
        Cluster,
        ClusterReport,
        Confusion,
        CopyReport,
        Decision,
        DuplicateGroup,
        DuplicatePage,
        DuplicateReport,
        Evaluation,
        Explanation,
        ExportReport,
        Failure,
        Filter,
        FolderReport,
        Ids,
        IndexInfo,
        IndexSummary,
        KeptReport,
        KnownName,
        KnownPhoto,
        Label,
        LabelReport,
        LeakageCheck,
        LifeList,
        LifeListEntry,
        Match,
        Member,
        OptimizeReport,
        Original,
        OtherFile,
        Pair,
        PatchPair,
        Photo,
        Place,
        Plan,
        Prediction,
        Progress,
        Provenance,
        Recipe,
        ReembedReport,
        Region,
        RegionReport,
        RunSummary,
        SeveralSpecies,
        SpeciesCount,
        SpeciesEntry,
        SpeciesFigures,
        SpeciesReport,
        SplitReport,
        Step,
        Suspect,
        TagChange,
        TagPlan,
        TaxonMatch,
        Thumbnail,
        TrashedRun,
        Trial,
        Vectors,
        VerifyReport,
    )
    from birdsearch.search.pairs import NearPairs, near_pairs
    from birdsearch.storage.maintenance import list_indexes

__version__: str  # from the package's metadata, at first use

__all__ = [
    "BIRD_BACKBONES",
    "DEFAULT_BACKBONE",
    "ActionReport",
    "AddReport",
    "AuditReport",
    "Backbone",
    "BackboneIdentity",
    "BackboneInfo",
    "BirdsearchError",
    "Box",
    "Cancelled",
    "Cluster",
    "ClusterReport",
    "Confusion",
    "CopyReport",
    "Decision",
    "DuplicateGroup",
    "DuplicatePage",
    "DuplicateReport",
    "Evaluation",
    "Explanation",
    "ExportReport",
    "Failure",
    "Filter",
    "FolderReport",
    "Ids",
    "ImageLike",
    "Index",
    "IndexInfo",
    "IndexSummary",
    "KeptReport",
    "KnownName",
    "KnownPhoto",
    "Label",
    "LabelReport",
    "LeakageCheck",
    "LifeList",
    "LifeListEntry",
    "Match",
    "Member",
    "NearPairs",
    "OptimizeReport",
    "Original",
    "OtherFile",
    "Pair",
    "PatchPair",
    "Photo",
    "Place",
    "Plan",
    "Prediction",
    "Progress",
    "Provenance",
    "Recipe",
    "ReembedReport",
    "Region",
    "RegionReport",
    "RunSummary",
    "SeveralSpecies",
    "SpeciesCount",
    "SpeciesEntry",
    "SpeciesFigures",
    "SpeciesReport",
    "SplitReport",
    "Step",
    "Suspect",
    "TagChange",
    "TagPlan",
    "TaxonMatch",
    "Thumbnail",
    "TrashedRun",
    "Trial",
    "Vectors",
    "VerifyReport",
    "check_boxes",
    "check_folders",
    "check_labels",
    "copy_new",
    "create",
    "find_index",
    "find_photos",
    "list_backbones",
    "list_indexes",
    "load_backbone",
    "near_pairs",
    "open",
    "pull_backbone",
    "pull_text",
    "read_plan",
    "restore",
    "write_plan",
]

# Everything else is loaded at first use, so that `import birdsearch` stays instant. Public name -> where it is defined;
# those that are not here are records.
_ELSEWHERE = {
    "BIRD_BACKBONES": "backbones.BIRD_BACKBONES",
    "Backbone": "backbones.Backbone",
    "BackboneInfo": "backbones.BackboneInfo",
    "DEFAULT_BACKBONE": "backbones.DEFAULT",
    "ImageLike": "photos.decode.ImageLike",
    "Index": "index.Index",
    "NearPairs": "search.pairs.NearPairs",
    "check_boxes": "indexing.box_files.check_boxes",
    "check_folders": "photos.scan.check_folders",
    "check_labels": "indexing.label_files.check_labels",
    "copy_new": "duplicates.copying.copy_new",
    "create": "index.create",
    "find_index": "homes.find_index",
    "find_photos": "photos.scan.find_photos",
    "list_backbones": "backbones.list_backbones",
    "list_indexes": "storage.maintenance.list_indexes",
    "load_backbone": "backbones.load_backbone",
    "near_pairs": "search.pairs.near_pairs",
    "open": "index.open",
    "pull_backbone": "backbones.pull",
    "pull_text": "backbones.pull_text",
    "read_plan": "duplicates.cleanup.plan.read_plan",
    "restore": "index.restore",
    "write_plan": "duplicates.cleanup.plan.write_plan",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slow to load, for few

        return version("birdsearch")
    from importlib import import_module

    if name == "records":  # all names of which are there without an import of their own
        return import_module("birdsearch.records")
    if name not in __all__:
        raise AttributeError(f"module 'birdsearch' has no attribute '{name}'")
    module, _, attribute = _ELSEWHERE.get(name, f"records.{name}").rpartition(".")
    return getattr(import_module(f"birdsearch.{module}"), attribute)


def __dir__() -> list[str]:
    return __all__
