"""birdsearch's backbones against birder's own inference, photo by photo: `python -m benchmarks.parity DIR [PHOTOS]`."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import command_line
from birdsearch.backbones import Backbone, load_backbone
from birdsearch.backbones.registry import birder_registry
from birdsearch.backbones.torch_runtime import built_in_path
from birdsearch.photos import decode
from birdsearch.records import AS_BIRDER, Vectors
from tests.support import checkpoints

QUICK = "efficientnet_lite0_imagenet"


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two ways of asking one network are apart, at worst, over some photos."""

    photos: int
    cosine: float  # the smallest
    probability: float  # largest difference of a class probability
    from_vector: float  # the same, computed from the unit vector, its norm and the classifier
    feature_map: float  # largest difference of a value
    stages: dict[str, tuple[int, ...]]  # names and shapes, equal on both sides
    spread: float  # largest difference of a class probability between the photos: 0 would prove nothing


@dataclass(frozen=True, slots=True)
class Reference:
    """A network as birder loads it, with birder's own preprocessing."""

    net: Any
    size: tuple[int, int]
    rgb_stats: Any


def compare(backbone: Backbone, reference: Reference, paths: Sequence[Path]) -> Parity:
    """Asks both sides about every photo, fp32."""
    import torch
    from birder.data.transforms.classification import inference_preset
    from birder.inference.classification import infer_image

    transform = inference_preset(reference.size, reference.rgb_stats)
    cosines, probabilities, recomputed, maps, seen = [], [], [], [], []
    stages: dict[str, tuple[int, ...]] = {}
    for path in paths:
        with Image.open(path) as opened, torch.inference_mode():
            image = opened.convert("RGB")
            expected, embedding = infer_image(reference.net, image, transform, return_embedding=True)
            expected_map = {
                name: value[0].numpy()
                for name, value in reference.net.detection_features(transform(image).unsqueeze(0)).items()
            }
        assert embedding is not None
        got = backbone.embed_pixels(decode.load(path, backbone.input_size)[None])
        assert got.probabilities is not None
        got_map = backbone.feature_map(path)
        stages = {name: value.shape for name, value in got_map.items()}
        if stages != {name: value.shape for name, value in expected_map.items()}:
            raise SystemExit(f"{backbone.name}: the feature maps differ in names or shapes: {stages}")
        cosines.append(float(got.vectors[0] @ embedding[0] / np.linalg.norm(embedding[0])))
        probabilities.append(_apart(got.probabilities, expected))
        recomputed.append(_apart(_from_vector(backbone, got.vectors * got.norms[:, None]), expected))
        maps.append(max(_apart(got_map[name], expected_map[name]) for name in stages))
        seen.append(expected[0])
    spread = float(np.ptp(np.stack(seen), axis=0).max())
    return Parity(len(paths), min(cosines), max(probabilities), max(recomputed), max(maps), stages, spread)


def built_in_reference() -> Reference:
    """The built-in network, put together by hand."""
    import torch

    net = birder_registry().net_factory("efficientnet_lite0", 1000)
    tensors = torch.load(built_in_path(QUICK), weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict().keys(), tensors.values(), strict=True)))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    return Reference(net.eval(), (224, 224), {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)})


def padded_as_trained(reference: Reference) -> Reference:
    """The same with the padding of TensorFlow, for sides that stay even: the odd row and column lie after the photo."""
    import torch

    for module in list(reference.net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Conv2d) and child.stride == (2, 2):
                before = child.kernel_size[0] // 2 - 1
                child.padding = (0, 0)
                setattr(module, name, torch.nn.Sequential(torch.nn.ZeroPad2d((before, before + 1) * 2), child))
    return reference


def checkpoint_reference(path: Path, network: str) -> Reference:
    """A checkpoint as birder's own load_model reads it."""
    import torch

    birder_registry()
    from birder.common.fs_ops import load_model
    from birder.common.lib import get_size_from_signature

    net, info = load_model(torch.device("cpu"), network, path=path, inference=True, st=path.suffix == ".safetensors")
    return Reference(net, get_size_from_signature(info.signature), info.rgb_stats)


def _from_vector(backbone: Backbone, embeddings: Vectors) -> Vectors:
    classifier = backbone.classifier
    assert classifier is not None
    scores = embeddings @ classifier.weights.T + classifier.bias
    powers = np.exp(scores - scores.max())
    result: Vectors = powers / powers.sum()
    return result


def _apart(a: Vectors, b: Vectors) -> float:
    return float(np.abs(a - b).max())


def main() -> None:
    """Prints the table for the built-in network and for the three architectures of the bird model cards."""
    parser = command_line("parity", __doc__)
    parser.add_argument("folder", type=Path, help="a folder of photos")
    parser.add_argument("photos", type=int, nargs="?", default=20, help="how many of them to ask about")
    arguments = parser.parse_args()
    found = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise SystemExit(f"no photos under {arguments.folder}")
    paths = found[:: max(1, len(found) // arguments.photos)][: arguments.photos]
    print(f"{len(paths)} photos of {arguments.folder}, fp32, against birder.inference.classification.infer_image")
    print("| backbone | worst cosine | probabilities | from the vector | feature map | between photos | stages |")
    print("|---|---|---|---|---|---|---|")
    built_in = partial(load_backbone, QUICK, device="cpu", runtime="torch")
    _show(QUICK, compare(built_in(), padded_as_trained(built_in_reference()), paths))
    _show(f"{QUICK}, birder's padding", compare(built_in(recipe=AS_BIRDER), built_in_reference(), paths))
    for card in checkpoints.CARDS:
        with tempfile.TemporaryDirectory() as folder:
            path = checkpoints.write_card(Path(folder), card)
            reference = checkpoint_reference(path, card.network)
            _show(card.name, compare(load_backbone(path, device="cpu", runtime="torch"), reference, paths))


def _show(name: str, parity: Parity) -> None:
    stages = ", ".join(f"{stage} {'x'.join(map(str, shape))}" for stage, shape in parity.stages.items())
    print(
        f"| {name} | {parity.cosine:.7f} | {parity.probability:.1e} | {parity.from_vector:.1e} | "
        f"{parity.feature_map:.1e} | {parity.spread:.3f} | {stages} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
