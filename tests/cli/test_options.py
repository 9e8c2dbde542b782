"""Options that several commands share, and wrong usage."""

from pathlib import Path

import pytest

from birdsearch.cli import options
from tests.support.command_line import run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command"),
        (["query"], "Missing argument"),
        (["query", "a.jpg", "-k", "0"], "'-k': must be 1 or greater"),
        (["query", "a.jpg", "-k", "x"], "'-k': is not a whole number"),
        (["query", "a.jpg", "--min-score", "x"], "'--min-score': is not a number"),
        (["query", "-", "-"], "may be given once"),
        (["classify", "a.jpg", "--source", "neighbors"], "'--source': 'neighbors' is not one of"),
        (["query", "a.jpg", "--min-score", "nan"], "--min-score"),
        (["query", "a.jpg", "--min-score", "2"], "not between -1 and 1"),
        (["query", "a.jpg", "--near", "52,13"], "LAT,LON,KM"),
        (["query", "a.jpg", "--near", "nan,13,1"], "latitude"),
        (["query", "a.jpg", "--near", "52,999,1"], "longitude"),
        (["query", "a.jpg", "--near", "52,13,-1"], "radius"),
        (["query", "a.jpg", "--after", "yesterday"], "is not a date"),
        (["query", "a.jpg", "--after", "2024-13-01"], "is not a date"),
        (["query", "a.jpg", "--before", "2024-05-01T10:00+02:00"], "time zone"),
        (["photos", "--after", "2024-05-02", "--before", "2024-05-01"], "leaves nothing"),
        (["photos", "--min-width", "0"], "--min-width"),
        (["photos", "--limit", "0"], "--limit"),
        (["photos", "--json", "--csv"], "cannot be combined"),
        (["photos", "--min-probability", "1.5"], "--min-probability"),
        (["index", ".", "--precision", "int3"], "--precision"),
        (["index", ".", "--index", ""], "--index"),
        (["remove"], "at least one"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], message: str) -> None:
    assert message in " ".join(run(*arguments, code=2).err.replace("│", " ").split())


def test_index_names_and_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = tmp_path / "data" / "indexes"
    assert options.index_path("garden") == named / "garden"
    assert options.index_path("my/garden") == Path("my/garden")
    assert options.index_path("./garden") == Path("garden")
    assert options.index_path(".") == Path(".")
    assert options.index_path(None) == named / "default"
    monkeypatch.setenv("BIRDSEARCH_INDEX", "/tmp/x")
    assert options.index_path(None) == Path("/tmp/x")
    assert options.index_path("garden") == named / "garden"
    monkeypatch.setenv("BIRDSEARCH_INDEX", "meadow")
    assert options.index_path(None) == named / "meadow"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2024", "2024-01-01"),
        ("2024-05", "2024-05-01"),
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01 18:30", "2024-05-01T18:30:00"),
    ],
)
def test_dates_may_be_short(text: str, meant: str) -> None:
    assert options.parse_date(text, "--after") == meant
