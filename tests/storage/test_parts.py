"""Parts: written whole or not at all, read back exactly, refused where they are not what was written."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from birdsearch.cache import file_problem
from birdsearch.errors import IndexDamagedError
from birdsearch.files import sha256_of
from birdsearch.storage import parts
from birdsearch.storage.catalog.catalog import Location
from birdsearch.storage.catalog.commits import PartRow
from birdsearch.storage.parts import KeptRows, Part, PartReader, file_of
from birdsearch.storage.place import LocalPlace


def part(rows: int = 5, dim: int = 4, seed: int = 0) -> Part:
    """Some unit rows with their norms."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, dim))
    norms = np.linalg.norm(vectors, axis=1)
    return Part(np.arange(rows) + 100, (vectors / norms[:, None]).astype(np.float32), norms.astype(np.float32))


def test_a_part_comes_back_exactly_with_its_checksum(tmp_path: Path) -> None:
    wanted = part()
    path = file_of(LocalPlace(tmp_path), 7)
    assert path.name == "00000007.parquet"
    sha256 = parts.write(path, wanted)
    assert sha256 == sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    found = parts.read(path, sha256)
    for name in ("region_ids", "vectors", "norms"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
    assert (found.region_ids.dtype, found.vectors.dtype, found.norms.dtype) == tuple(
        map(np.dtype, ("int64", "float32", "float32"))
    )
    assert [path.name for path in tmp_path.iterdir()] == ["00000007.parquet"]


def test_a_part_is_plain_parquet_with_the_three_columns_of_the_format(tmp_path: Path) -> None:
    parts.write(file_of(LocalPlace(tmp_path), 1), part(rows=3, dim=4))
    table = pq.read_table(file_of(LocalPlace(tmp_path), 1))
    assert table.schema.names == ["region_id", "vector", "norm"]
    assert (table["vector"].type.list_size, table.num_rows) == (4, 3)
    assert table.schema.metadata[b"dim"] == b"4"


def test_rows_come_one_by_one_out_of_many_parts(tmp_path: Path) -> None:
    stored = {number: part(seed=number) for number in (1, 2, 3)}
    reader = PartReader(
        LocalPlace(tmp_path),
        [parts.listed(LocalPlace(tmp_path), number, some, "test") for number, some in stored.items()],
    )
    for number, row in ((1, 0), (1, 4), (3, 2), (2, 1), (1, 3)):
        vector, norm = reader.row(Location(number, row, 100 + row))
        assert np.array_equal(vector, stored[number].vectors[row])
        assert norm == pytest.approx(float(stored[number].norms[row]))


@pytest.mark.parametrize("where", [(1, 5, 105), (1, -1, 104), (1, 2, 103), (2, 0, 100)])
def test_a_row_that_is_not_there_or_another_regions_is_refused(tmp_path: Path, where: tuple[int, int, int]) -> None:
    reader = PartReader(LocalPlace(tmp_path), [parts.listed(LocalPlace(tmp_path), 1, part(), "test")])
    with pytest.raises(IndexDamagedError, match="birdsearch repair"):
        reader.row(Location(*where))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    seen: list[str] = []
    problem = file_problem

    def noted(path: Path, sha256: str) -> str | None:
        seen.append(path.name)
        return problem(path, sha256)

    monkeypatch.setattr(parts, "file_problem", noted)
    return seen


def test_rows_that_were_read_are_kept_within_a_bound(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS", 10)
    wanted = part(rows=35)
    listed = [parts.listed(LocalPlace(tmp_path), 1, wanted, "test")]
    kept = KeptRows(most=3 * 10 * (8 + 4 * 4 + 4))

    def read(*rows: int) -> int:
        before = len(opened)
        for row in rows:
            vector, norm = PartReader(LocalPlace(tmp_path), listed, kept).row(Location(1, row, 100 + row))
            assert np.array_equal(vector, wanted.vectors[row])
            assert norm == pytest.approx(float(wanted.norms[row]))
        return len(opened) - before

    assert read(0, 9, 5) == 1
    assert read(10, 34, 0, 19, 30) == 2
    assert read(20) == 1  # and the first rows go, which were used longest ago
    assert read(15, 34) == 0
    assert read(0) == 1
    assert read(15, 34, 9) == 0
    assert read(25) == 1
    kept.forget()
    assert read(15) == 1
    with pytest.raises(IndexDamagedError, match="does not hold region"):
        PartReader(LocalPlace(tmp_path), listed, kept).row(Location(1, 35, 135))
    file = file_of(LocalPlace(tmp_path), 1)
    file.write_bytes(file.read_bytes()[:-9] + b"tampered.")
    with pytest.raises(IndexDamagedError, match="checksum"):
        read(15)
    file.unlink()
    with pytest.raises(IndexDamagedError, match="is missing"):
        read(15)


def test_many_threads_read_rows_of_many_parts(tmp_path: Path) -> None:
    stored = {number: part(rows=50, seed=number) for number in range(1, 9)}
    listed = [parts.listed(LocalPlace(tmp_path), number, some, "test") for number, some in stored.items()]
    kept = KeptRows(most=2000)

    def right(number: int) -> bool:
        part_id, row = 1 + number % 8, number * 7 % 50
        vector, _ = PartReader(LocalPlace(tmp_path), listed, kept).row(Location(part_id, row, 100 + row))
        return np.array_equal(vector, stored[part_id].vectors[row])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, range(400)))


def test_a_part_that_was_written_in_one_piece_is_read(tmp_path: Path) -> None:
    """As birdsearch did before, whatever its length."""
    wanted = part(rows=parts.ROWS + 500)
    path = file_of(LocalPlace(tmp_path), 1)
    parts.write(path, wanted)
    assert pq.ParquetFile(path).num_row_groups > 1
    pq.write_table(pq.read_table(path), path)
    listed = [PartRow(1, len(wanted.norms), sha256_of(path), "test")]
    for row in (0, parts.ROWS, parts.ROWS + 499):
        vector, _ = PartReader(LocalPlace(tmp_path), listed).row(Location(1, row, 100 + row))
        assert np.array_equal(vector, wanted.vectors[row])
    assert np.array_equal(parts.read(path, listed[0].sha256).vectors, wanted.vectors)


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "text", "one bit", "folder", "pipe"])
def test_a_damaged_part_says_what_to_do(tmp_path: Path, damage: str) -> None:
    path = file_of(LocalPlace(tmp_path), 1)
    sha256 = parts.write(path, part())
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage != "missing":
        flipped = data[:200] + bytes([data[200] ^ 1]) + data[201:]
        half = data[: len(data) // 2]
        path.write_bytes({"empty": b"", "half": half, "text": b"PAR1 no PAR1", "one bit": flipped}[damage])
    with pytest.raises(IndexDamagedError, match=r"00000001\.parquet .*birdsearch repair"):
        parts.read(path, sha256)


@pytest.mark.parametrize("damage", ["foreign", "not finite"])
def test_what_a_stranger_wrote_with_its_checksum_is_looked_at(tmp_path: Path, damage: str) -> None:
    if damage == "foreign":
        path = _foreign(tmp_path)
    else:
        path, some = file_of(LocalPlace(tmp_path), 1), part()
        some.vectors[2, 1] = np.nan
        parts.write(path, some)
    with pytest.raises(IndexDamagedError, match=r"cannot be read.*birdsearch repair"):
        parts.read(path, sha256_of(path))


def _foreign(folder: Path) -> Path:
    import pyarrow as pa

    pq.write_table(pa.table({"region_id": [1], "vector": [1.0]}), folder / "foreign.parquet")
    return folder / "foreign.parquet"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    parts.write_durably(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        parts.write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_reaches_the_disk_before_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        calls.append("fsync")
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    parts.write_durably(tmp_path / "file", b"new")
    assert calls == ["fsync", "rename", "fsync"]
