"""The address of a cluster leads to the package that reaches it, or to words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from birdsearch import Index
from birdsearch.errors import ClusterError
from birdsearch.indexing import pipeline
from tests.support import drawing


@pytest.mark.parametrize("address", ["", "head", "head:10001", "ray://", "://head"])
def test_what_is_no_address_is_refused(index: Index, tmp_path: Path, address: str) -> None:
    drawing.write(tmp_path / "photos/1.png", drawing.bird(1, 72, 54))
    with pytest.raises(ClusterError, match="such as ray://head:10001"):
        index.add(tmp_path / "photos", cluster=address)
    assert len(index) == 0


def test_a_cluster_of_an_unknown_kind_says_what_to_install(index: Index, tmp_path: Path) -> None:
    drawing.write(tmp_path / "photos/1.png", drawing.bird(1, 72, 54))
    with pytest.raises(ClusterError, match=r"pip install .birdsearch\[cluster\]"):
        index.add(tmp_path / "photos", cluster="dask://head:8786")


class AskedError(Exception):
    """The cluster was asked."""


class Stub:
    """A cluster that says when it is asked."""

    def outcomes(self, *_: object) -> Iterator[object]:
        """Of the first file."""
        raise AskedError
        yield

    def forget(self) -> None:
        """Nothing was kept."""

    def close(self) -> None:
        """Nothing is open."""


def test_names_without_suffixes_go_to_the_cluster_where_a_list_names_them(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "cluster_at", lambda *_: Stub())
    drawing.write(tmp_path / "photos/1.png", drawing.bird(1, 72, 54)).rename(tmp_path / "photos/1")
    (tmp_path / "list.csv").write_text("path\nphotos/1\n")
    with pytest.raises(AskedError):
        index.add(listing=tmp_path / "list.csv", cluster="local")
    assert index.add(tmp_path / "photos", cluster="local").added == 1  # in a folder it is most likely no photo
