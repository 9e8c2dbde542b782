"""Backbones: names -> networks. torch, birder and the rest load when the first network does."""

import ctypes
import hashlib
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsearch.backbones import custom
from birdsearch.backbones.backbone import Backbone, BackboneSpec, Network, NetworkOutput, PooledMap
from birdsearch.backbones.registry import (
    ADVICE,
    BIRD_BACKBONES,
    BUILT_IN,
    DEFAULT,
    MAP,
    MAP_OF,
    WORDS,
    BackboneInfo,
    check_name,
    list_backbones,
    weights_of,
    words_advice,
)
from birdsearch.backbones.weights import Brought, fetch
from birdsearch.errors import BackboneUnavailableError
from birdsearch.files import sha256_of
from birdsearch.photos import decode
from birdsearch.records import AS_BIRDER, Progress, Recipe, Region

if TYPE_CHECKING:
    from birdsearch.backbones.text import Texts

__all__ = [
    "BIRD_BACKBONES", "BUILT_IN", "DEFAULT", "Backbone", "BackboneInfo", "BackboneSpec", "Network", "NetworkOutput",
    "PooledMap", "brought", "check_execution", "find", "is_path", "list_backbones", "load_backbone", "pull",
    "pull_text", "texts_of",
]  # fmt: skip

CHOICES = {
    "runtime": ("openvino", "torch"),
    "device": ("cpu", "cuda", "mps"),
    "precision": ("fp32", "bf16", "fp16"),
}
_SUFFIXES = (".pt", ".safetensors")


def load_backbone(
    name: str | Path | object,
    *,
    recipe: Recipe | None = None,
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Backbone:
    """The backbone of a name, of a birder checkpoint's path, or of your own object with `name`, `dim`, `embed(images)`.

    `runtime` is auto, openvino or torch; `device` is auto, cpu, cuda or mps; `precision` is auto, fp32, bf16 or fp16.
    `recipe` is how the network is run; left out, as the built-in ones run best, and all others as birder does.
    Weights are downloaded once; the export to OpenVINO is made once and kept in the cache.

    >>> backbone = birdsearch.load_backbone("efficientnet_lite0_imagenet")
    """
    check_execution(runtime, device, precision)
    if isinstance(name, Backbone):
        return name
    if not isinstance(name, str | Path):
        return custom.from_object(name)

    if recipe is None:
        recipe = BUILT_IN[str(name)].recipe if name in BUILT_IN else AS_BIRDER
    in_torch = partial(_in_torch, name, recipe, progress)
    if runtime == "torch" or (runtime == "auto" and not _suits_openvino(device, precision)):
        return in_torch(device, precision)
    if device not in ("auto", "cpu"):
        raise BackboneUnavailableError(f"OpenVINO runs on the processor, not on {device}. Use the runtime torch")
    return _in_openvino(name, recipe, precision, in_torch, progress, must=runtime == "openvino")


def find(image: Any, finder: str) -> list[Region]:
    """Where birds are in a picture, by the finder of this name; see `Backbone.find`."""
    from birdsearch.backbones import finders

    made = finders.finder(finder)
    return list(made.find([decode.upright(image, made.size)])[0].regions)


def texts_of(name: str, weights_sha256: str | None, own: Any = None) -> "Texts":
    """What makes vectors of texts for a backbone; see `text.texts_of`."""
    from birdsearch.backbones import text

    return text.texts_of(name, weights_sha256, own)


def check_execution(runtime: str, device: str, precision: str) -> None:
    """Raise ValueError for a runtime, a device or a precision that there is not."""
    for word, value in (("runtime", runtime), ("device", device), ("precision", precision)):
        if value not in ("auto", *CHOICES[word]):
            other = next((name for name, values in CHOICES.items() if value in values), None)
            hint = f": write {other}={value!r}" if other else ""
            raise ValueError(f"{word} must be auto, {', '.join(CHOICES[word])}; got {value!r}{hint}")


def _suits_openvino(device: str, precision: str) -> bool:
    """OpenVINO is the quickest on a processor; a GPU is quicker still, and torch's."""
    return device in ("auto", "cpu") and precision != "fp16" and not (device == "auto" and gpu_present())


def _in_openvino(
    name: str | Path,
    recipe: Recipe,
    precision: str,
    in_torch: Callable[..., Backbone],
    progress: Progress | None,
    *,
    must: bool,
) -> Backbone:
    """The cached export of a network, made now where there is none; torch where that does not work."""
    from birdsearch.backbones import openvino_runtime

    precision_there = openvino_runtime.supported_precision(precision)
    exported = _export_key(name, recipe)
    backbone = openvino_runtime.open_export(exported, precision, in_torch) if exported else None
    if backbone is None:
        original = in_torch()
        if not (exported and openvino_runtime.was_refused(exported, precision)):
            exported = openvino_runtime.make_export(original, progress)
            backbone = openvino_runtime.open_export(exported, precision, lambda: original) if exported else None
        if backbone is None and must:
            raise BackboneUnavailableError(
                f"OpenVINO cannot run {original.name} at {precision_there} (see the note above). Use the runtime torch"
            )
        if backbone is None:
            return original if precision in ("auto", "fp32") else in_torch("cpu", precision)
    if is_path(name):  # the file may have been moved since it was exported
        return replace(backbone, source=str(_checkpoint(name)))
    return backbone


def _export_key(name: str | Path, recipe: Recipe) -> str | None:
    """The key of a network's export, found without torch and without birder; None where that needs them."""
    from birdsearch.backbones import openvino_runtime

    if is_path(name):
        return openvino_runtime.export_key(Path(name).stem, sha256_of(_checkpoint(name)), recipe)
    if (built_in := BUILT_IN.get(MAP_OF if name == MAP else str(name))) is not None:
        return openvino_runtime.export_key(str(name), built_in.sha256, recipe)
    return openvino_runtime.find(str(name), recipe)


def _in_torch(
    name: str | Path, recipe: Recipe, progress: Progress | None, device: str = "cpu", precision: str = "fp32"
) -> Backbone:
    if name != MAP and name not in BUILT_IN and not is_path(name):
        check_name(str(name))  # torch takes seconds to load
    from birdsearch.backbones import torch_runtime

    where = torch_runtime.placement(device, precision)
    if name == MAP:
        return torch_runtime.load_map(where)
    if name in BUILT_IN:
        return torch_runtime.load_built_in(str(name), recipe, where)
    if is_path(name):
        path = _checkpoint(name)
        return torch_runtime.load_checkpoint(path, str(path), recipe, where)
    weights = weights_of(str(name))
    return torch_runtime.load_checkpoint(fetch(weights, ADVICE, progress), str(name), recipe, where, weights.sha256)


def _checkpoint(name: str | Path) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise BackboneUnavailableError(
            f"there is no checkpoint at {path}. Check the path, or name a backbone: `birdsearch backbones` lists them"
        )
    return path


def gpu_present() -> bool:
    """Whether torch would find a GPU, asked without torch: NVIDIA's driver counts one, or this is an Apple chip."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def pull(name: str, progress: Progress | None = None) -> Path:
    """Downloads the weights of a named backbone, unless they are there; returns the verified file.

    >>> birdsearch.pull_backbone("rope_vit_reg4_b14_capi-inat21")  # doctest: +SKIP
    """
    if name in BUILT_IN:
        from birdsearch.backbones.torch_runtime import built_in_path

        return built_in_path(name)
    return fetch(weights_of(name), ADVICE, progress)


def brought(source: str) -> Brought | None:
    """The weights of a backbone, to be loaded on another computer; None where an installed package has them there too.

    They are downloaded here where they are not there yet: over there nothing is.
    """
    if source in BUILT_IN:
        return None
    if is_path(source):
        data = _checkpoint(source).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        return Brought(None, f"{sha256[:16]}/{Path(source).name}", sha256, data)
    weights = weights_of(source)
    return Brought(source, weights.file, weights.sha256, pull(source).read_bytes())


def pull_text(name: str | Path, clip: str | None = None, progress: Progress | None = None) -> Path:
    """Export the text tower that belongs to a backbone, once; then indexes made with that backbone answer words.

    `name` is a backbone's name or a birder checkpoint. `clip` is what open_clip loads: hf-hub:ORG/NAME,
    local-dir:FOLDER, MODEL:TAG or MODEL:FILE; left out, what birdsearch knows for this backbone. Needs the extra
    `text`. Returns the folder in the cache where the tower lies. Raises BackboneMismatchError where its photo tower is
    not the backbone, as its words would mean nothing then.

    >>> birdsearch.pull_text("vit_l14_pn_bioclip-v2")  # doctest: +SKIP
    """
    if clip is None and not is_path(name) and name not in WORDS:
        if name not in BUILT_IN:
            check_name(str(name))
        raise BackboneUnavailableError(words_advice(str(name)))
    backbone = load_backbone(name, runtime="torch", device="cpu", precision="fp32", progress=progress)
    from birdsearch.backbones import text_export

    return text_export.pull(backbone, clip, progress)


def is_path(name: str | Path) -> bool:
    """Whether this is the path of a checkpoint: no registered name has a suffix or a separator."""
    return isinstance(name, Path) or name.endswith(_SUFFIXES) or "/" in name or "\\" in name
