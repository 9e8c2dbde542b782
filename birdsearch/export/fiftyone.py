"""Paths, labels and vectors for FiftyOne."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsearch.export.tables import photo_row
from birdsearch.files import atomic_write, durable_folder
from birdsearch.records import Photo, as_json

if TYPE_CHECKING:
    from birdsearch.export.parquet import Rows


_ATTRIBUTES = (
    "species", "species_source", "predicted", "probability", "taken_at", "camera", "latitude", "longitude",
)  # fmt: skip


def write_fiftyone(path: Path, blocks: Iterable["Rows"], shape: tuple[int, int]) -> int:
    """Make a folder that FiftyOne loads as FiftyOneImageClassificationDataset; returns how many photos.

    Vectors, of this shape (n, dim), lie beside it in the order in which FiftyOne takes the photos. The folder appears
    whole or not at all.
    """
    count = 0
    with (
        durable_folder(path) as folder,
        atomic_write(folder / "data.json") as paths,
        atomic_write(folder / "labels.json") as labels,
        atomic_write(folder / "embeddings.npy") as vectors,
    ):
        facts = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(vectors, facts)
        paths.write(b"{")
        labels.write(b'{"labels": {')
        for some in blocks:
            for photo in some.photos:
                start = f'{"," if count else ""}\n"{photo.id:012d}": '  # in the order of texts they stay in that of ids
                paths.write(f"{start}{json.dumps(as_json(photo.path))}".encode())
                labels.write(f"{start}{json.dumps(as_json(_classification(photo)))}".encode())
                count += 1
            vectors.write(some.vectors.astype("<f4").tobytes())
        paths.write(b"\n}\n")
        labels.write(b"\n}}\n")
    return count


def _classification(photo: Photo) -> dict[str, Any] | None:
    """What FiftyOne calls a classification; None for a photo without a label."""
    if photo.label is None:
        return None
    known = zip(("photo_id", *_ATTRIBUTES), photo_row(photo, ("id", *_ATTRIBUTES)), strict=True)  # "id" is FiftyOne's
    return {"label": photo.label, "attributes": {name: value for name, value in known if value is not None}}
