"""imagededup's encoder with a network of ours, because its own is a download; two loading processes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from birder.common import fs_ops
from birder.data.transforms.classification import inference_preset
from imagededup.methods import CNN  # type: ignore[import-not-found]
from imagededup.utils import CustomModel  # type: ignore[import-not-found]


class Encoder(torch.nn.Module):
    """The embedding of a birder network as the forward pass that imagededup calls."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.net.embedding(images)
        return embedding


def main(photos: Path, checkpoint: Path, network: str, out: Path) -> None:
    """Encode all photos below a folder and write the vectors."""
    loaded: Any = fs_ops.load_model(torch.device("cpu"), network, path=checkpoint, inference=True)
    net, info = loaded
    size = tuple(info.signature["inputs"][0]["data_shape"][2:])
    transform = inference_preset(size, info.rgb_stats, 1.0)
    encoder = CNN(verbose=False, model_config=CustomModel(name=network, model=Encoder(net), transform=transform))
    encodings = encoder.encode_images(photos, recursive=True, num_enc_workers=2)
    np.savez(out / "vectors.npz", files=list(encodings), vectors=np.stack(list(encodings.values())))


main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
