"""birdsearch's own format: one Parquet file of photos, species, predictions and vectors, written and read."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsearch import memory
from birdsearch.errors import InputFileError
from birdsearch.export.selection import Batch, EmbeddedRegion, NoOptions, Selection
from birdsearch.export.tables import photo_row
from birdsearch.export.target import new_file
from birdsearch.files import absolute, is_url, open_regular
from birdsearch.records import (
    BIRD,
    BOX,
    MOST_REGIONS,
    RENDERED,
    BackboneIdentity,
    Box,
    ExportReport,
    Photo,
    Prediction,
    Provenance,
    Recipe,
    Region,
    as_json,
    shown,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from birdsearch.records import Vectors
    from birdsearch.storage.catalog.catalog import PairOfBytes

_TEXTS = (
    "sha256", "phash", "format", "rendered", "taken_at", "taken_offset", "camera", "camera_serial", "lens",
    "photographer", "notes", "damaged",
)  # fmt: skip
_PLAIN = (
    "id", *_TEXTS, "size", "mtime_ns", "width", "height", "latitude", "longitude", "rating", "label", "species",
    "species_source",
)  # fmt: skip
LABEL = ("source", "author", "created_at")  # of a label, beside its species: columns label_source...
_TAXON = ("taxon", "english")  # for readers of the table: an import works them out from the species
_LATER = frozenset(  # older exports lack them
    (
        *_TAXON,
        "companions",
        "keywords",
        "damaged",
        "rendered",
        "label_author",
        "label_created_at",
        "found_by",
        "regions",
    )
)
_BOX = ("x", "y", "width", "height")
_REGION = ("kind", "category", "confidence", "source")
_GUESS = ("species", "probability", "position", "rank", "class_name")


@dataclass(frozen=True, slots=True)
class Origin:
    """What an export says of the index it came from."""

    backbone: BackboneIdentity
    folders: tuple[str, ...]  # its root folders
    labels: Mapping[str, str]  # folder -> where its labels come from: "none", "folder" or the path of a file
    names: Mapping[str, str]  # corrections of names
    not_duplicates: "tuple[PairOfBytes, ...]"


class Parquet:
    """Photos as `birdsearch import` takes them, and as other tools read them too."""

    name = "parquet"
    suffix = ".parquet"
    help = "all that is known, with vectors"
    options = NoOptions

    def write(self, photos: Selection, path: Path, options: NoOptions) -> ExportReport:
        """Write one row for each photo."""
        import pyarrow.parquet as pq

        schema, count = _schema_with_origin(photos), 0
        with new_file(path) as file, pq.ParquetWriter(file, schema) as writer:
            for batch in photos.batches():
                writer.write_table(table_of(batch, schema, photos.provenance))
                count += len(batch.photos)
        return ExportReport(count)

    def next_step(self, path: Path, report: ExportReport) -> str:
        """Many tools read it: no hint."""
        return ""


def to_arrow(photos: Selection) -> "pa.Table":
    """The photos as the table that the file would hold."""
    import pyarrow as pa

    each = 4 * photos.backbone.dim + memory.RECORD
    memory.check_room(len(photos), each, "Export them to a file (.parquet), which is written as they are read.")
    schema = _schema_with_origin(photos)
    tables = (table_of(batch, schema, photos.provenance) for batch in photos.batches())
    return pa.concat_tables([schema.empty_table(), *tables])


def _schema_with_origin(photos: Selection) -> "pa.Schema":
    about = {"backbone": as_json(photos.backbone), "folders": list(photos.provenance.folders), **photos.said}
    return schema_of(photos.backbone.dim).with_metadata({"birdsearch": json.dumps(about)})


@cache
def schema_of(dim: int) -> "pa.Schema":
    """The columns of an export with vectors of so many numbers."""
    import pyarrow as pa  # slow to load, and --help lists this format

    guess = zip(_GUESS, ("string", "float64", "int32", "string", "string"), strict=True)
    floats, texts = pa.list_(pa.float32()), dict.fromkeys(_REGION, pa.string()) | {"confidence": pa.float64()}
    region = (dict.fromkeys(_BOX, pa.float64()) | texts | {"norm": pa.float32(), "vector": floats}).items()
    types = {
        "id": "int64",
        "path": "string",  # readable: bytes that are not UTF-8 as backslash escapes
        "path_bytes": "binary",  # exact
        **dict.fromkeys(_TEXTS, "string"),
        "keywords": pa.list_(pa.string()),
        "companions": pa.list_(pa.string()),  # for readers of the table: an import leaves them to `index`
        **dict.fromkeys(("size", "mtime_ns"), "int64"),
        **dict.fromkeys(("width", "height"), "int32"),
        **dict.fromkeys(("latitude", "longitude"), "float64"),
        "rating": "int32",
        **dict.fromkeys(("label", *(f"label_{name}" for name in LABEL), "species"), "string"),
        **dict.fromkeys(("species_source", *_TAXON), "string"),
        "predictions": pa.list_(pa.struct(guess)),
        "found_by": "string",
        "regions": pa.list_(pa.struct(region)),
        "norm": "float32",
        "vector": pa.list_(pa.float32(), dim),
    }
    return pa.schema(types.items())


def table_of(batch: Batch, schema: "pa.Schema", provenance: Provenance) -> "pa.Table":
    """Photos as rows with the columns of `schema_of`."""
    import pyarrow as pa

    from birdsearch.storage import parts

    plain = {name: [getattr(photo, name) for photo in batch.photos] for name in _PLAIN}
    for name in (*_TEXTS, "label", "species"):
        plain[name] = [_text(value) for value in plain[name]]
    taxa = [photo_row(photo, _TAXON, provenance) for photo in batch.photos]
    columns = plain | {
        **{name: [row[place] for row in taxa] for place, name in enumerate(_TAXON)},
        "path": [shown(photo.path) for photo in batch.photos],
        "path_bytes": [os.fsencode(photo.path) for photo in batch.photos],
        "keywords": [photo.keywords for photo in batch.photos],
        "companions": [[shown(path) for path in photo.companions] for photo in batch.photos],
        **{f"label_{name}": [_text(getattr(label, name, None)) for label in batch.labels] for name in LABEL},
        "predictions": [[_guess_row(guess) for guess in photo.predictions] for photo in batch.photos],
        "found_by": [_text(finder) for finder in batch.found_by],
        "regions": [[_region_row(one) for one in have] for have in batch.regions],
        "norm": batch.norms,
        "vector": parts.vector_column(batch.vectors),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _guess_row(guess: Prediction) -> dict[str, Any]:
    return {name: getattr(guess, name) for name in _GUESS} | {"position": guess.stored_position}


def _region_row(one: EmbeddedRegion) -> dict[str, Any]:
    row = {name: getattr(one.region.box, name) for name in _BOX}
    row |= {name: getattr(one.region, name) for name in _REGION}
    return row | {"norm": one.norm, "vector": one.vector}


def _text(value: str | None) -> str | None:
    return None if value is None else shown(value)


# Reading -------------------------------------------------------------------------------------------------------------


def read_origin(path: Path) -> Origin:
    """What an export says of the index it came from. Raises InputFileError for a file that is not an export."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as file:
            schema = pq.read_schema(file)
    except FileNotFoundError as error:
        raise InputFileError(f"no such file: {shown(str(path))}. Name one that `birdsearch export` wrote.") from error
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(
            f"{shown(str(path))} is not a Parquet file that can be read ({error}). Export the photos again."
        ) from error
    try:
        about = json.loads((schema.metadata or {})[b"birdsearch"])
        origin = _origin(about)
        needed = [f for f in schema_of(int(origin.backbone.dim)) if f.name in schema.names or f.name not in _LATER]
        same = all(schema.field(field.name).type == field.type for field in needed)
        for name in (*origin.folders, *origin.labels, *origin.labels.values()):
            os.fsencode(name)  # raises for what is no name of a file
        whole = (
            same
            and bool(origin.backbone.name)
            and all(is_url(folder) or os.path.isabs(folder) for folder in origin.folders)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        whole = False
    if not whole:
        raise InputFileError(
            f"{shown(str(path))} was not written by `birdsearch export --format parquet`: export the photos again."
        )
    return origin


def _origin(about: Mapping[str, Any]) -> Origin:
    """What an export says of itself; exports of before tables 0005 say nothing of labels, names and pairs."""
    known = {field.name: about["backbone"].get(field.name) for field in fields(BackboneIdentity)}
    known["recipe"] = Recipe.of(known["recipe"]).stored
    labels, names = (dict(about.get(name, {})) for name in ("labels", "names"))
    pairs = tuple((a, b, created_at) for a, b, created_at in about.get("not_duplicates", ()))
    texts = [*about["folders"], *labels, *labels.values(), *names, *names.values()]
    texts += [text for a, b, created_at in pairs for text in (a, b, created_at or "")]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("not a text")
    return Origin(BackboneIdentity(**known), tuple(about["folders"]), labels, names, pairs)


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive photos of an export, column by column: to make an object of each takes longer than to store it."""

    table: "pa.RecordBatch"
    paths: list[bytes]  # (n,)
    vectors: "Vectors"  # (n, dim), rows of length 1
    norms: "Vectors"  # (n,)
    regions: Mapping[int, Sequence[EmbeddedRegion]]  # row -> those of its photo but the frame, where it has some

    @classmethod
    def of(cls, table: "pa.RecordBatch", start: int) -> "Rows":
        """The rows from number `start` on. Raises ValueError or TypeError for vectors and regions that cannot be."""
        import numpy as np

        column = table["vector"]
        vectors = np.asarray(column.flatten(), dtype=np.float32).reshape(-1, column.type.list_size)
        norms = np.asarray(table["norm"], dtype=np.float32)
        if len(vectors) != len(table):
            raise ValueError(f"a vector is missing in the rows from {start}")
        wrong = ~np.isclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3) | ~np.isfinite(norms)
        if wrong.any():
            raise ValueError(f"row {start + int(np.argmax(wrong))}: the vector does not have length 1")
        lists = table["regions"].to_pylist() if "regions" in table.schema.names else ()
        regions = {row: [_region(row, one, vectors.shape[1]) for one in have] for row, have in enumerate(lists) if have}
        if any(sum(one.vector is not None for one in have) > MOST_REGIONS for have in regions.values()):
            raise ValueError(f"a photo has more than {MOST_REGIONS} regions with a vector")
        return cls(table, table["path_bytes"].to_pylist(), vectors, norms, regions)

    def only(self, numbers: Sequence[int]) -> "Rows":
        """Some of the rows, in this order."""
        if len(numbers) == len(self.paths):
            return self
        paths = [self.paths[number] for number in numbers]
        regions = {row: self.regions[number] for row, number in enumerate(numbers) if number in self.regions}
        return Rows(self.table.take(list(numbers)), paths, self.vectors[numbers], self.norms[numbers], regions)

    def column(self, name: str) -> list[Any]:
        """The values (n,) of a column; None in all rows of an older export, which lacks it."""
        return self.table[name].to_pylist() if name in self.table.schema.names else [None] * len(self.paths)

    def photos(self) -> list[Photo]:
        """The photos (n,), as objects."""
        names = [name for name in _PLAIN if name in self.table.schema.names]
        listed = self.table.select([*names, "predictions"]).to_pylist()
        return [
            Photo(
                **{name: row[name] for name in names},
                path=os.fsdecode(path),
                keywords=None if keywords is None else tuple(keywords),
                predictions=tuple(Prediction.stored(**guess) for guess in row["predictions"] or ()),
            )
            for row, path, keywords in zip(listed, self.paths, self.column("keywords"), strict=True)
        ]

    def predictions(self) -> tuple["npt.NDArray[np.int64]", dict[str, list[Any]]]:
        """What the network says of the photos: the row (m,) of each prediction, and the columns (m,) of all."""
        import numpy as np

        lists = self.table["predictions"]
        flat = lists.flatten()
        counts = [0 if count is None else count for count in lists.value_lengths().to_pylist()]
        return np.repeat(np.arange(len(counts)), counts), {name: flat.field(name).to_pylist() for name in _GUESS}

    def wrong(self) -> int | None:
        """The first row that holds what no export does, vectors and regions aside; None where there is none."""
        import numpy as np
        import pyarrow.compute as pc

        from birdsearch.storage.catalog.commits import AUTHORITY

        fits = np.array([path is not None and absolute(path) == path for path in self.paths], dtype=bool)
        hashes = ("sha256", "^[0-9a-f]{64}$"), ("phash", "^[0-9a-f]{16}$")
        for name, pattern in hashes:
            matches = pc.match_substring_regex(self.table[name], pattern)
            fits &= _filled(matches, name == "phash")
        for name in ("size", "mtime_ns", "predictions"):
            fits &= _filled(self.table[name].is_valid(), False)
        label, source = self.table["label"], self.table["label_source"]
        known = pc.and_(pc.is_in(source, _texts(AUTHORITY)), pc.not_equal(label, ""))
        fits &= ~_filled(source.is_valid(), False) | _filled(known, False)
        if "rendered" in self.table.schema.names:
            fits &= _filled(pc.is_in(self.table["rendered"], _texts(RENDERED)), False)
        fits[self._wrong_predictions()] = False
        return None if fits.all() else int(np.argmin(fits))

    def _wrong_predictions(self) -> "npt.NDArray[np.int64]":
        """The rows of predictions that are not complete, or share their position with another one of the photo."""
        import numpy as np
        import pyarrow.compute as pc

        guesses, (rows, _) = self.table["predictions"].flatten(), self.predictions()
        probability, position = guesses.field("probability"), guesses.field("position")
        whole = guesses.is_valid(), *(pc.not_equal(guesses.field(name), "") for name in ("rank", "class_name"))
        whole += pc.greater_equal(probability, 0), pc.less_equal(probability, 1), position.is_valid()
        fits = np.logical_and.reduce([_filled(one, False) for one in whole])
        places = rows << 32 | np.array(position.fill_null(0).to_pylist(), dtype=np.int64)
        order = np.argsort(places)
        twice = order[1:][places[order[1:]] == places[order[:-1]]]
        return np.concatenate([rows[~fits], rows[twice]])


def _filled(mask: Any, where_null: bool) -> "npt.NDArray[np.bool_]":
    """An Arrow array of truths (n,) as numpy has them."""
    import numpy as np
    import pyarrow.compute as pc

    return np.array(pc.fill_null(mask, where_null).to_pylist(), dtype=bool)


def _texts(values: Sequence[str]) -> Any:
    """Texts as an Arrow array."""
    import pyarrow as pa

    return pa.array(values, pa.string())


def read_export(path: Path, batch: int) -> Iterator[Rows]:
    """The rows of an export, `batch` at a time; check it with `read_origin` first.

    Raises InputFileError where it is damaged, or holds what no export does.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    try:
        with open_regular(path) as source, pq.ParquetFile(source) as file:
            for table in file.iter_batches(batch_size=batch):
                rows = Rows.of(table, start)
                if (wrong := rows.wrong()) is not None:
                    raise InputFileError(
                        f"{shown(str(path))}: {shown(os.fsdecode(rows.paths[wrong] or b'a photo'))} lacks an absolute "
                        "path, a sha256 or a size, or holds what no export does. Export the photos again."
                    )
                yield rows
                start += len(table)
    except (OSError, pa.ArrowException, TypeError, ValueError) as error:
        raise InputFileError(f"{shown(str(path))} is damaged ({error}). Export the photos again.") from error


def _region(photo_id: int, row: Mapping[str, Any], dim: int) -> EmbeddedRegion:
    """Raises ValueError or TypeError for what is no region of an export."""
    import numpy as np

    box, known = Box(*(row[name] for name in _BOX)), {name: row[name] for name in _REGION}
    if known["kind"] not in (BIRD, BOX) or not 0 <= (known["confidence"] or 0) <= 1:
        raise ValueError(f"a region is {known!r:.80}")
    region = Region(photo_id, box, **known, embedded=row["vector"] is not None)
    if row["vector"] is None:
        return EmbeddedRegion(region)
    vector = np.asarray(row["vector"], dtype=np.float32)
    unit = vector.shape == (dim,) and np.isclose(np.linalg.norm(vector), 1, atol=1e-3)
    if not unit or row["norm"] is None or not np.isfinite(row["norm"]):
        raise ValueError("the vector of a region does not have length 1")
    return EmbeddedRegion(region, vector, float(row["norm"]))
