"""What changes files of a user refuses what lies in a store of objects, in words."""

from pathlib import Path

import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import OutputFileError, PhotoMissingError, PlanError
from tests.support.drawing import bird, write
from tests.support.object_store import Bucket


@pytest.fixture
def prefix(index: Index, bucket: Bucket, tmp_path: Path) -> str:
    """An indexed prefix with a photo and a copy of it."""
    data = write(tmp_path / "wren.jpg", bird(1, 80, 60)).read_bytes()
    bucket.put("raw/wren.jpg", data)
    bucket.put("raw/copy.jpg", data)
    index.add(f"{bucket.url}/raw")
    return f"{bucket.url}/raw"


def test_a_plan_for_photos_in_a_store_is_written_and_not_applied(
    index: Index, bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    birdsearch.write_plan(index.plan(index.duplicates()), tmp_path / "plan.csv")
    plan = birdsearch.read_plan(tmp_path / "plan.csv")
    assert [step.path for step in plan.steps if step.do == "remove"] == [f"{prefix}/wren.jpg"]
    with pytest.raises(PlanError, match="what would go by this plan, 1 photo, lies in a store of objects"):
        index.apply(plan, "trash")
    assert len(bucket.keys("raw/")) == 2


def test_a_file_goes_for_no_photo_in_a_store(index: Index, bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    index.add(tmp_path / "wren.jpg")
    plan = index.plan(index.duplicates())
    assert [step.path for step in plan.steps if step.do == "keep"] == [f"{prefix}/copy.jpg"]
    report = index.apply(plan, "trash")
    assert report.done == 0
    assert all("in a store of objects, where birdsearch changes nothing" in why for _, why in report.skipped)
    assert len(report.skipped) == 2
    assert (tmp_path / "wren.jpg").exists()
    assert len(bucket.keys("raw/")) == 2


def test_tags_are_written_to_no_object(index: Index, prefix: str) -> None:
    index.label({1: "Wren", 2: "Wren"})
    plan = index.tags()
    assert not plan.changes
    assert {why for _, why in plan.skipped} == {"in a store of objects, where birdsearch writes nothing"}


def test_a_store_is_compared_with_no_index_and_takes_no_copies(index: Index, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(PhotoMissingError, match="lies in a store of objects: a folder of this computer"):
        index.compare_folder(prefix)
    (tmp_path / "card").mkdir()
    with pytest.raises(OutputFileError, match="is no folder of this computer"):
        birdsearch.copy_new(index.compare_folder(tmp_path / "card"), f"{prefix}/new")
