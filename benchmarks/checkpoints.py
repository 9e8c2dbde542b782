"""Networks as birder checkpoints, so that birder's own scripts and birdsearch run the same ones."""

import dataclasses
import sys
from pathlib import Path

from benchmarks.common import cached, python_of, run
from tests.support import checkpoints as seeded

BUILT_IN = "efficientnet_lite0_imagenet"


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """One file of weights, and how birder's command line names it."""

    path: Path
    network: str
    tag: str
    size: int  # pixels, square
    dim: int


def home() -> Path:
    """Where birder's scripts are run: they look for `models/` and write `results/` below the current folder."""
    return cached("birder")


def built_in() -> Checkpoint:
    """The built-in backbone's weights, which come as a package, in birder's own format."""
    path = home() / "models" / f"{BUILT_IN}.pt"
    if not path.exists():
        _write(path, BUILT_IN)
    return Checkpoint(path, "efficientnet_lite0", "imagenet", 224, 1280)


def _write(path: Path, name: str) -> None:
    """Have a checkpoint written by another process: the benchmarks themselves stay small, without torch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run([python_of(None), "-m", "benchmarks.checkpoints", name], cwd=home())


def _write_built_in(path: Path) -> None:
    from birdsearch.backbones.registry import birder_registry
    from birdsearch.backbones.torch_runtime import built_in_path

    registry = birder_registry()
    import torch
    from birder.common import fs_ops
    from birder.conf import settings
    from birder.net.base import get_signature

    net = registry.net_factory("efficientnet_lite0", 1000, size=(224, 224))
    weights = torch.load(built_in_path(BUILT_IN), map_location="cpu", weights_only=True)
    # The same tensors in the same order under other names; a batch-norm constant that files do not hold stays birder's.
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))
    before, settings.MODELS_DIR = settings.MODELS_DIR, path.parent
    try:
        fs_ops.checkpoint_model(
            path.stem,
            0,
            net,
            get_signature((1, 3, 224, 224), 1000),
            {f"class {number}": number for number in range(1000)},
            {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
            None,
            None,
            None,
            None,
        )
    finally:
        settings.MODELS_DIR = before
    path.with_name(f"{path.stem}_0.pt").rename(path)


def card(part_of_name: str) -> Checkpoint:
    """A network of the model cards ("deit3", "inat21") with seeded random weights, which are as fast as any."""
    architecture = next(one for one in seeded.CARDS if part_of_name in one.name)
    path = home() / "models" / f"{architecture.name}.pt"
    if not path.exists():
        _write(path, architecture.name)
    return Checkpoint(path, architecture.network, architecture.tag, architecture.size, architecture.dim)


def main() -> None:
    """Write the checkpoint that is named."""
    name = sys.argv[1]
    if name == BUILT_IN:
        _write_built_in(home() / "models" / f"{name}.pt")
    else:
        seeded.write_card(home() / "models", next(one for one in seeded.CARDS if one.name == name))


if __name__ == "__main__":
    main()
