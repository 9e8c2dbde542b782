"""One question through birder in a fresh process: load the network, embed the photo, compare with stored vectors."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from birder.common import fs_ops
from birder.data.transforms.classification import inference_preset
from birder.inference.classification import infer_image

CHUNK = 100_000


def main(photo: Path, vectors: Path, checkpoint: Path, network: str) -> None:
    """Print the rows of the ten nearest vectors."""
    loaded: Any = fs_ops.load_model(torch.device("cpu"), network, path=checkpoint, inference=True)
    net, info = loaded
    size = tuple(info.signature["inputs"][0]["data_shape"][2:])
    transform = inference_preset(size, info.rgb_stats, 1.0)
    _, embedding = infer_image(net, str(photo), transform, return_embedding=True)
    assert embedding is not None
    query = embedding[0] / np.linalg.norm(embedding[0])
    stored = np.load(vectors, mmap_mode="r")
    scores = np.concatenate([stored[start : start + CHUNK] @ query for start in range(0, len(stored), CHUNK)])
    print(np.argsort(-scores)[:10].tolist())


main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
