"""Backbones: names -> networks. torch, birder and the rest load when the first network does."""

from pathlib import Path

from birdsearch.backbones import own
from birdsearch.backbones.backbone import Backbone, Facts, Network, Raw, predictions
from birdsearch.backbones.registry import (
    ADVICE,
    BIRD_BACKBONES,
    DEFAULT,
    BackboneInfo,
    list_backbones,
    weights_of,
)
from birdsearch.backbones.weights import fetch
from birdsearch.errors import BackboneUnavailableError
from birdsearch.records import Progress

__all__ = [
    "BIRD_BACKBONES",
    "DEFAULT",
    "Backbone",
    "BackboneInfo",
    "Facts",
    "Network",
    "Raw",
    "list_backbones",
    "load_backbone",
    "predictions",
    "pull",
]

_SUFFIXES = (".pt", ".safetensors")


def load_backbone(
    name: str | Path | object,
    *,
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Backbone:
    """The backbone of a name, of a birder checkpoint's path, or of your own object with `name`, `dim`, `embed(images)`.

    `device` is auto, cpu, cuda or mps; `precision` is auto, fp32, bf16 or fp16. Weights are downloaded once.
    """
    if runtime not in ("auto", "torch"):
        raise ValueError(f"runtime must be auto or torch, got {runtime!r}")
    if isinstance(name, Backbone):
        return name
    if not isinstance(name, str | Path):
        return own.from_object(name)
    from birdsearch.backbones import torch_runtime

    where = torch_runtime.placement(device, precision)
    if name == DEFAULT:
        return torch_runtime.load_built_in(where)
    if _is_path(name):
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise BackboneUnavailableError(
                f"there is no checkpoint at {path}. Check the path, or name a backbone: "
                "`birdsearch backbones` lists them"
            )
        return torch_runtime.load_checkpoint(path, str(path), where)
    weights = weights_of(str(name))
    return torch_runtime.load_checkpoint(fetch(weights, ADVICE, progress), str(name), where, weights.sha256)


def pull(name: str, progress: Progress | None = None) -> Path:
    """Downloads the weights of a named backbone, unless they are there; returns the verified file."""
    if name == DEFAULT:
        from birdsearch.backbones.torch_runtime import built_in_path

        return built_in_path()
    return fetch(weights_of(name), ADVICE, progress)


def _is_path(name: str | Path) -> bool:
    """No registered name has a suffix or a separator."""
    return isinstance(name, Path) or name.endswith(_SUFFIXES) or "/" in name or "\\" in name
