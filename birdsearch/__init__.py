"""Search, classify and compare a folder of bird photographs by what they show."""

from typing import TYPE_CHECKING, Any

from birdsearch.errors import BirdsearchError
from birdsearch.records import (
    ActionReport,
    AddReport,
    AuditReport,
    Cluster,
    ClusterReport,
    Confusion,
    DuplicateGroup,
    DuplicateReport,
    Evaluation,
    Failure,
    Filter,
    Match,
    OptimizeReport,
    Pair,
    Photo,
    Plan,
    Prediction,
    RunSummary,
    SpeciesEntry,
    SpeciesReport,
    SplitReport,
    Step,
    Suspect,
    TaxonMatch,
    VerifyReport,
)

if TYPE_CHECKING:
    from birdsearch.backbones import load_backbone
    from birdsearch.index import Index, create, open, restore
    from birdsearch.search.pairs import near_pairs

__all__ = [
    "ActionReport",
    "AddReport",
    "AuditReport",
    "BirdsearchError",
    "Cluster",
    "ClusterReport",
    "Confusion",
    "DuplicateGroup",
    "DuplicateReport",
    "Evaluation",
    "Failure",
    "Filter",
    "Index",
    "Match",
    "OptimizeReport",
    "Pair",
    "Photo",
    "Plan",
    "Prediction",
    "RunSummary",
    "SpeciesEntry",
    "SpeciesReport",
    "SplitReport",
    "Step",
    "Suspect",
    "TaxonMatch",
    "VerifyReport",
    "create",
    "load_backbone",
    "near_pairs",
    "open",
    "restore",
]

# Loaded at first use, so that `import birdsearch` stays instant.
_LAZY = {
    "Index": "index",
    "create": "index",
    "load_backbone": "backbones",
    "near_pairs": "search.pairs",
    "open": "index",
    "restore": "index",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'birdsearch' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"birdsearch.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return __all__
