"""What a tutorial would write: open with PIL, embed with torch in batches of 32, add to a flat FAISS index, save."""

import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from birder.common import fs_ops
from birder.data.transforms.classification import inference_preset
from PIL import Image

BATCH = 32


def main(photos: Path, checkpoint: Path, network: str, out: Path) -> None:
    """Embed all JPEGs below `photos` and write the index and the list of files."""
    loaded: Any = fs_ops.load_model(torch.device("cpu"), network, path=checkpoint, inference=True)
    net, info = loaded
    size = tuple(info.signature["inputs"][0]["data_shape"][2:])
    transform = inference_preset(size, info.rgb_stats, 1.0)
    files = sorted(photos.rglob("*.jpg"))
    found = []
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            batch = torch.stack([transform(Image.open(file).convert("RGB")) for file in files[start : start + BATCH]])
            found.append(net.embedding(batch).numpy())
    vectors = np.concatenate(found)
    faiss.normalize_L2(vectors)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(out / "index.faiss"))
    (out / "files.txt").write_text("\n".join(map(str, files)), encoding="utf-8")


main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
