"""Checkpoints of real architectures with seeded random weights, in birder's own file format.

The published weights cannot be downloaded everywhere; everything else about them (network, signature, file, loading
code) is the real thing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from birdsearch.backbones.registry import birder_registry
from birdsearch.files import sha256_of


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network as one of the model cards describes it."""

    network: str
    tag: str
    classes: int
    size: int  # pixels, square
    dim: int
    stages: dict[str, tuple[int, int, int]]  # feature map: (channels, height, width)

    @property
    def name(self) -> str:
        """The name in birder's registry, and of the file."""
        return f"{self.network}_{self.tag}"


CARDS = (
    Architecture("rope_deit3_reg4_m14", "arabian-peninsula", 735, 252, 512, {"stage1": (512, 18, 18)}),
    Architecture("rope_vit_reg4_b14", "capi-inat21", 10000, 336, 768, {"stage1": (768, 24, 24)}),
    Architecture("rope_vit_reg4_b14", "capi-inat21-224px", 10000, 224, 768, {"stage1": (768, 16, 16)}),
)


def lineages(count: int) -> tuple[str, ...]:
    """Class names as the iNaturalist models spell them."""
    return tuple(
        f"{number:05d}_Animalia_Chordata_Aves_Passeriformes_Paridae_Parus_{_epithet(number)}" for number in range(count)
    )


def _epithet(number: int) -> str:
    letters = ""
    for _ in range(5):
        number, digit = divmod(number, 26)
        letters += chr(ord("a") + digit)
    return letters


def random_network(network: str, classes: int, size: int, config: dict[str, Any] | None = None) -> Any:
    """A network of birder's with seeded random weights, its classifier included, which birder would leave at zero."""
    registry = birder_registry()
    import torch

    generator = torch.Generator().manual_seed(7)
    torch.manual_seed(7)
    net = registry.net_factory(network, classes, config=config, size=(size, size))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "classifier" in name:
                parameter.normal_(0, 0.2, generator=generator)
            elif parameter.ndim == 1 and "bias" in name:
                parameter.normal_(0, 0.05, generator=generator)
            elif "scale" in name:  # layer scales start near zero, which would make every photo alike
                parameter.normal_(0.5, 0.1, generator=generator)
        norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        if norms:  # batch norms must have seen something, or the signal dies out on its way
            blurred = torch.nn.functional.interpolate(
                torch.rand(8, 3, 5, 5, generator=generator), (size, size), mode="bicubic"
            )
            net.train()(blurred * 4 - 2)
    return net.eval()


def write(
    folder: Path,
    network: str,
    tag: str,
    *,
    class_names: tuple[str, ...],
    size: int,
    epoch: int | None = None,
    config: dict[str, Any] | None = None,
    outputs: int | None = None,
    mean: tuple[float, float, float] = (0.5191, 0.5306, 0.4877),  # birder's own statistics
    std: tuple[float, float, float] = (0.2316, 0.2304, 0.2588),
) -> Path:
    """A checkpoint in `folder`, written by birder's own code; `config` goes into the file as birder keeps it.

    The network has as many outputs as there are names, unless told another number.
    """
    outputs = len(class_names) if outputs is None else outputs
    net = random_network(network, outputs, size, config)
    from birder.common import fs_ops
    from birder.net.base import get_signature

    number = 1 if epoch is None else epoch
    with _models_in(folder):
        fs_ops.checkpoint_model(
            f"{network}_{tag}",
            number,
            net,
            get_signature((1, 3, size, size), outputs),
            {name: index for index, name in enumerate(class_names)},
            {"mean": mean, "std": std},
            None,
            None,
            None,
            None,
            external_config=config,
        )
    written = folder / f"{network}_{tag}_{number}.pt"
    return written.rename(folder / f"{network}_{tag}.pt") if epoch is None else written


def write_card(folder: Path, card: Architecture) -> Path:
    """The checkpoint of one of the model cards, full-size."""
    return write(folder, card.network, card.tag, class_names=lineages(card.classes), size=card.size)


def write_detector(folder: Path, name: str, class_names: tuple[str, ...], sure_of: str, size: int) -> Path:
    """The checkpoint of a detector of birder's registry with seeded weights, which takes everything for `sure_of`."""
    registry = birder_registry()
    import torch
    from birder.common import fs_ops, lib
    from birder.net.detection.base import get_detection_signature

    entry = registry.get_pretrained_metadata(name)
    torch.manual_seed(7)
    shape = {"size": (size, size)}
    backbone = registry.net_factory(entry["backbone"]["network"], len(class_names), **shape)
    net = registry.detection_net_factory(entry["net"]["network"], len(class_names), backbone, **shape)
    classes = lib.detection_class_to_idx({name: number for number, name in enumerate(class_names)})
    with torch.no_grad():
        for part, parameter in net.named_parameters():
            if "class_embed" in part and part.endswith("bias"):
                parameter[classes[sure_of] - 1] = 3.0
    signature = get_detection_signature((1, 3, size, size), len(class_names), dynamic=False)
    stats: Any = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    with _models_in(folder):
        fs_ops.checkpoint_model(name, 1, net, signature, classes, stats, None, None, None, None)
    return (folder / f"{name}_1.pt").rename(folder / f"{name}.pt")


def register(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path, sha256: str | None = None) -> None:
    """Points the registry entry of `name` at `folder`/`name`.pt, with that file's sha256 unless told another."""
    registry = birder_registry()
    from birder.model_registry.manifest import REGISTRY_MANIFEST

    entry = dict(registry.get_pretrained_metadata(name))
    form = {"file_size": 1.0, "sha256": sha256 or sha256_of(folder / f"{name}.pt")}
    entry.update(url=folder.as_uri(), formats={"pt": form})
    monkeypatch.setitem(REGISTRY_MANIFEST, name, entry)


def save(
    folder: Path, network: str, tag: str, net: Any, size: int, outputs: int, config: dict[str, Any] | None, stats: Any
) -> Path:
    """An encoder as a checkpoint without classes, written by birder's own code."""
    from birder.common import fs_ops
    from birder.net.base import get_signature

    signature = get_signature((1, 3, size, size), outputs)
    with _models_in(folder):
        name = f"{network}_{tag}"
        fs_ops.checkpoint_model(name, 1, net, signature, {}, stats, None, None, None, None, external_config=config)
    return (folder / f"{name}_1.pt").rename(folder / f"{name}.pt")


@contextmanager
def _models_in(folder: Path) -> Iterator[None]:
    from birder.conf import settings

    before, settings.MODELS_DIR = settings.MODELS_DIR, folder
    try:
        yield
    finally:
        settings.MODELS_DIR = before
