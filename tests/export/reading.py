"""What other tools find in an export."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from birdsearch import Index


def csv_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as any reader takes it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def atlas_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file, whatever bytes its own name has."""
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(path.read_bytes())).to_pylist()
    return rows


def fiftyone_files(path: Path) -> tuple[dict[str, str], dict[str, Any], np.ndarray]:
    """Paths, labels and vectors of a folder for FiftyOne; there must be nothing else in it."""
    assert sorted(os.listdir(path)) == ["data.json", "embeddings.npy", "labels.json"]
    paths, labels = (json.loads((path / name).read_text(encoding="utf-8")) for name in ("data.json", "labels.json"))
    assert list(labels) == ["labels"]
    return paths, labels["labels"], np.load(path / "embeddings.npy", allow_pickle=False)


def vectors(index: Index) -> np.ndarray:
    """All vectors of an index, in order of id."""
    return index.vectors([photo.id for photo in index.photos() if photo.id])
