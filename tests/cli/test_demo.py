"""The command demo."""

from pathlib import Path

from tests.conftest import Garden
from tests.support.command_line import run


def test_demo_on_own_photos_prints_the_page_last(garden: Garden, tmp_path: Path) -> None:
    answer = run("demo", "--photos", garden.photos, "--out", "shown")
    page = Path(answer.out.strip().splitlines()[-1])
    assert page == tmp_path / "shown" / "index.html"
    assert page.read_text().count("data:image/jpeg") > 6
    assert "no such folder" in run("demo", "--photos", "nowhere", code=1).err


def test_demo_says_where_it_puts_its_files(tmp_path: Path) -> None:
    answer = run("demo")
    assert answer.out.splitlines()[0] == f"Copying sample photos to {tmp_path}/demo/photos"
