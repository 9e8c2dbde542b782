"""The address of a cluster leads to the package that reaches it, or to words."""

from pathlib import Path

import pytest

from birdsearch import Index
from birdsearch.errors import ClusterError
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
