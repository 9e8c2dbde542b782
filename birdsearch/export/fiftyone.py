"""The format of FiftyOne: a folder with paths, labels and vectors."""

import json
from pathlib import Path
from typing import Any

from birdsearch.export.selection import NoOptions, Selection
from birdsearch.export.tables import photo_row
from birdsearch.export.target import new_folder
from birdsearch.files import atomic_write
from birdsearch.records import ExportReport, Photo, Provenance, as_json

_ATTRIBUTES = (
    "species", "taxon", "english", "species_source", "predicted", "probability", "taken_at", "camera", "latitude",
    "longitude",
)  # fmt: skip


class FiftyOne:
    """Photos for FiftyOne, as a FiftyOneImageClassificationDataset."""

    name = "fiftyone"
    suffix = ""
    help = "a folder of paths, labels and vectors"
    options = NoOptions

    def write(self, photos: Selection, path: Path, options: NoOptions) -> ExportReport:
        """Write data.json, labels.json, and embeddings.npy in the order in which FiftyOne takes the photos."""
        import numpy as np

        with (
            new_folder(path) as folder,
            atomic_write(folder / "data.json") as paths,
            atomic_write(folder / "labels.json") as labels,
            atomic_write(folder / "embeddings.npy") as vectors,
        ):
            shape = len(photos), photos.backbone.dim
            np.lib.format.write_array_header_1_0(vectors, {"descr": "<f4", "fortran_order": False, "shape": shape})
            paths.write(b"{")
            labels.write(b'{"labels": {')
            comma = ""
            provenance = photos.provenance
            for batch in photos.batches():
                for photo in batch.photos:
                    start = f'{comma}\n"{photo.id:012d}": '  # in the order of texts these stay in that of ids
                    paths.write(f"{start}{json.dumps(as_json(photo.path))}".encode())
                    labels.write(f"{start}{json.dumps(as_json(_classification(photo, provenance)))}".encode())
                    comma = ","
                vectors.write(batch.vectors.astype("<f4").tobytes())
            paths.write(b"\n}\n")
            labels.write(b"\n}}\n")
        return ExportReport(len(photos))

    def next_step(self, path: Path, report: ExportReport) -> str:
        """The line of Python that loads the folder; FiftyOne finds a list of paths only where it is named."""
        return (
            f"Next, in Python: fiftyone.Dataset.from_dir({str(path)!r}, "
            'fiftyone.types.FiftyOneImageClassificationDataset, data_path="data.json", dynamic=True)'
        )


def _classification(photo: Photo, provenance: Provenance) -> dict[str, Any] | None:
    """What FiftyOne calls a classification: "label", and in "attributes" what is known; None without a label."""
    if photo.label is None:
        return None
    row = photo_row(photo, ("id", *_ATTRIBUTES), provenance)
    known = zip(("photo_id", *_ATTRIBUTES), row, strict=True)  # "id" is FiftyOne's
    return {"label": photo.label, "attributes": {name: value for name, value in known if value is not None}}
