"""Whether places that look alike are the same place: `python -m benchmarks.explain`.

Each photo is explained against a mirrored crop of itself, 70 % of each side, drawn at random: where every place of the
crop lies in the photo is known. The time is that of `Index.explain` for two photos that no index holds.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import birdsearch
from benchmarks.common import SHARED_PHOTOS, Figures, command_line, publish, table, versions
from birdsearch.backbones import DEFAULT, Backbone, load_backbone
from birdsearch.records import AS_BIRDER

CROP = 0.7  # of each side
NEAR = 0.1  # of a side
STRONGEST = 10  # pairs
PHOTOS = 120


def mirrored_crop(photo: Image.Image, seed: int) -> tuple[Image.Image, float, float]:
    """The crop, and where its left and upper edges lie in the photo, in shares of it."""
    width, height = photo.size
    x, y = np.random.default_rng(seed).uniform(0, 1 - CROP, 2)
    box = (round(x * width), round(y * height), round((x + CROP) * width), round((y + CROP) * height))
    return photo.crop(box).transpose(Image.Transpose.FLIP_LEFT_RIGHT), float(x), float(y)


def measure(backbone: Backbone, files: list[Path]) -> Figures:
    """Figures of one network over these photos, each photo counting alike."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, birdsearch.create(Path(folder) / "index", backbone=backbone) as index:
        index.explain(files[0], files[1])  # loads torch and the network
        for seed, file in enumerate(files):
            photo = Image.open(file).convert("RGB")
            crop, x, y = mirrored_crop(photo, seed)
            start = time.perf_counter()
            explanation = index.explain(photo, crop)
            seconds = time.perf_counter() - start
            found = np.array([pair.place for pair in explanation.pairs])
            there = np.array([pair.place_in_match for pair in explanation.pairs])
            true = np.stack([x + CROP * (1 - there[:, 0]), y + CROP * there[:, 1]], axis=1)
            near = np.linalg.norm(found - true, axis=1) < NEAR
            rows.append((len(near), near.mean(), near[:STRONGEST].mean(), seconds))
    pairs, share, strongest, taken = np.array(rows).T
    return {"pairs": pairs.mean(), "near": share.mean(), "strongest": strongest.mean(), "seconds": np.median(taken)}


def main() -> None:
    """Parse the command line, measure, publish."""
    parser = command_line("explain", __doc__)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    options = parser.parse_args()
    listed = sorted(SHARED_PHOTOS.glob("*/*.jpg"))
    files = [listed[n] for n in np.random.default_rng(0).permutation(len(listed))[: options.photos]]
    backbones = {
        f"{DEFAULT} (default)": load_backbone(DEFAULT),
        "efficientnet_lite2_imagenet": load_backbone("efficientnet_lite2_imagenet"),
        "efficientnet_lite0_imagenet, padded as before": load_backbone("efficientnet_lite0_imagenet", recipe=AS_BIRDER),
    }
    rows: list[list[object]] = []
    for name, backbone in backbones.items():
        found = measure(backbone, files)
        percents = (f"{100 * found[part]:.1f} %" for part in ("near", "strongest"))
        rows.append([name, f"{found['pairs']:.0f}", *percents, f"{found['seconds']:.2f}"])
    head = ("", "pairs a photo", f"within {NEAR} of the truth", f"of the {STRONGEST} strongest", "seconds")
    publish(
        "Places that look alike",
        f"{len(files)} photos of birds300 against mirrored crops of 70 %. {versions('torch')}.\n\n{table(head, rows)}",
        command="python -m benchmarks.explain",
        keep=len(files) >= PHOTOS,
    )


if __name__ == "__main__":
    main()
