"""What every export format does, with strange photos and stranger names; how a format is added."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from birdsearch import Filter, Index, Photo
from birdsearch.cli import formats
from birdsearch.errors import OutputFileError
from birdsearch.export import embedding_atlas, fiftyone, tables
from birdsearch.export.exporter import EXPORTERS
from birdsearch.export.selection import NoOptions
from birdsearch.export.target import new_file
from birdsearch.records import ExportReport
from tests.export.reading import atlas_rows, csv_rows, fiftyone_files
from tests.support.named_photos import names_table

# Those of photos, of which none is left out; tests/export/test_sightings.py has those of sightings.
FORMATS = tuple(name for name, one in EXPORTERS.items() if one.options is NoOptions)
WRITTEN = {"csv": "a.csv", "embedding-atlas": "a.parquet", "fiftyone": "a", "parquet": "all.parquet"}


def count(path: Path, to: str) -> int:
    """Photos in an export."""
    if to == "csv":
        return len(csv_rows(path))
    if to == "fiftyone":
        paths, labels, rows = fiftyone_files(path)
        assert len(paths) == len(labels) == len(rows)
        return len(rows)
    return len(atlas_rows(path))


def test_there_is_a_test_for_every_format() -> None:
    assert set(WRITTEN) == set(FORMATS)


@pytest.mark.parametrize("to", FORMATS)
def test_a_filter_narrows_an_export(index: Index, tmp_path: Path, to: str) -> None:
    for label, expected in (("Wren", 2), ("Zaunkönig", 1), ("dodo", 0)):
        path = tmp_path / label
        path.mkdir()
        assert index.export(path / WRITTEN[to], Filter(label=label), format=to).written == expected
        assert count(path / WRITTEN[to], to) == expected


@pytest.mark.parametrize("to", FORMATS)
def test_an_empty_index_makes_a_valid_export(empty: Index, tmp_path: Path, to: str) -> None:
    assert empty.export(tmp_path / WRITTEN[to], format=to).written == 0
    assert count(tmp_path / WRITTEN[to], to) == 0


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_may_have_any_name(index: Index, tmp_path: Path, to: str) -> None:
    path = tmp_path / f"\udcff\n{WRITTEN[to]}"
    assert index.export(path, format=to).written == 16
    assert count(path, to) == 16


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_says_how_far_it_is(index: Index, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH", "MAPPED_BATCH"):
        monkeypatch.setattr(f"birdsearch.export.selection.{name}", 10)
    told: list[tuple[str, int, int | None, str]] = []
    index.export(tmp_path / WRITTEN[to], format=to, progress=lambda *what: told.append(what))
    if to == "embedding-atlas":  # draws a map first, and says where it is again at each thumbnail
        assert told[0][0] == "map"
        told = [*dict.fromkeys(what for what in told if what[:2] != ("export", 0) and what[0] == "export")]
    assert told == [("export", 10, 16, ""), ("export", 16, 16, "")]


@pytest.mark.parametrize("to", ["csv", "embedding-atlas", "fiftyone"])
def test_an_export_that_fails_leaves_what_was_there(
    index: Index, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if to != "fiftyone":
        (place / WRITTEN[to]).write_text("old")
    row = tables.photo_row
    for module in (tables, embedding_atlas, fiftyone):
        if hasattr(module, "photo_row"):
            monkeypatch.setattr(
                module, "photo_row", lambda photo, *names: 1 / 0 if photo.id == 9 else row(photo, *names)
            )
    with pytest.raises(ZeroDivisionError):
        index.export(place / WRITTEN[to], format=to, force=True)
    assert os.listdir(place) == ([] if to == "fiftyone" else [WRITTEN[to]])
    assert to == "fiftyone" or (place / WRITTEN[to]).read_text() == "old"


@pytest.mark.parametrize("to", FORMATS)
def test_every_spelling_of_a_bird_is_one_taxon_and_one_english_name(index: Index, tmp_path: Path, to: str) -> None:
    given = ["American Avocet", "recurvirostra_americana", "Larus", "the thin one", "shed"]
    ids = [photo.id or 0 for photo in index.photos()][: len(given)]
    index.label(dict(zip(ids, given, strict=True)))
    index.set_names(names_table(tmp_path, "name,species\nthe thin one,American Avocet\n"))
    index.export(tmp_path / WRITTEN[to], Filter(ids=tuple(ids)), format=to)
    if to == "csv":
        rows: list[dict[str, Any]] = list(csv_rows(tmp_path / WRITTEN[to]))
    elif to == "fiftyone":
        rows = [label["attributes"] for label in fiftyone_files(tmp_path / WRITTEN[to])[1].values()]
    else:
        rows = atlas_rows(tmp_path / WRITTEN[to])
    avocet = "Recurvirostra americana", "American Avocet"
    named = [(row.get("taxon") or None, row.get("english") or None) for row in rows]
    assert named == [avocet, avocet, ("Larus", None), avocet, (None, None)]


def test_the_name_of_a_file_says_its_format(index: Index, tmp_path: Path) -> None:
    assert index.export(tmp_path / "birds.CSV").written == count(tmp_path / "birds.CSV", "csv") == 16
    assert (tmp_path / "birds.CSV").read_bytes().startswith(b"\xef\xbb\xbfid,species,")
    assert index.export(tmp_path / "birds.parquet").written == count(tmp_path / "birds.parquet", "parquet") == 16
    assert index.export(tmp_path / "birds.txt", format="csv").written == 16


def test_an_export_that_cannot_be_says_what_to_do(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"format must be one of parquet, csv, .*, got 'xml'"):
        index.export(tmp_path / "a", format="xml")
    with pytest.raises(OutputFileError, match=r"Name a file that ends in \.parquet"):
        index.export(tmp_path / "a.data", format="embedding-atlas")
    for name in ("a", "a.json", "a.zip", "a.html", "a.csv.gz"):
        with pytest.raises(
            OutputFileError, match=r"Let it end in \.parquet or \.csv, or name a format \(parquet, csv,"
        ):
            index.export(tmp_path / name)
    for name, to, what in (
        ("a.csv", "parquet", r"say parquet; let it end in \.parquet"),
        ("a.parquet", "csv", r"say csv; let it end in \.csv"),
        ("a.csv", "fiftyone", "say fiftyone; name a folder"),
    ):
        with pytest.raises(OutputFileError, match=what):
            index.export(tmp_path / name, format=to)
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(OutputFileError, match="its folder does not exist"):
            index.export(tmp_path / "nowhere" / name)
    assert not list(tmp_path.glob("a*"))


# One more format


@dataclass(frozen=True)
class _NamesOptions:
    ending: str = field(default="\n", metadata={"help": "What follows each name."})


class _Names:
    name = "names"
    suffix = ".txt"
    help = "the name of each file"
    options = _NamesOptions

    def write(self, photos: Iterator[Photo], path: Path, options: _NamesOptions) -> ExportReport:
        with new_file(path) as file:
            names = [os.path.basename(photo.path) for photo in photos if photo.label]
            file.write("".join(name + options.ending for name in names).encode())
        return ExportReport(len(names), {"no label": 1})

    def next_step(self, path: Path, report: ExportReport) -> str:
        return f"Next: cat {path}"


def test_a_format_is_one_object_in_the_registry(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPORTERS, "names", _Names())
    where = Filter(label="Zaunkönig")
    assert index.export(tmp_path / "names.txt", where, format="names").written == 1
    assert (tmp_path / "names.txt").read_text() == "new\nline.jpg\n"
    index.export(tmp_path / "names.txt", where, format="names", options=_NamesOptions(ending=";"))
    assert (tmp_path / "names.txt").read_text() == "new\nline.jpg;"
    with pytest.raises(TypeError, match="options of names must be _NamesOptions"):
        index.export(tmp_path / "names.txt", where, format="names", options=NoOptions())


def test_the_command_offers_every_format_of_a_registry_with_its_options() -> None:
    def export(file: str, chosen: Any = None) -> None:
        typer.echo(f"{file} {chosen.exporter.name} {chosen.options}")

    app = typer.Typer()
    app.command()(formats.takes_format({**EXPORTERS, "names": _Names()})(export))

    runner = CliRunner(env={"COLUMNS": "200"})
    help = runner.invoke(app, ["--help"]).output
    assert "names: the name of each file" in help
    assert re.search(r"--ending .*What follows each name", help)
    assert runner.invoke(app, ["a.parquet"]).output == "a.parquet parquet NoOptions()\n"
    given = runner.invoke(app, ["a", "--format", "names", "--ending", ";"])
    assert given.output == "a names _NamesOptions(ending=';')\n"
    refused = runner.invoke(app, ["a.parquet", "--ending", ";"])
    assert refused.exit_code == 2
    assert "is not an option of --format parquet" in refused.output


def test_every_format_says_what_it_is_and_what_its_options_mean() -> None:
    for name, exporter in EXPORTERS.items():
        assert exporter.name == name
        assert exporter.help
        assert "\n" not in exporter.help
        assert all(option.metadata["help"] for option in fields(exporter.options))
        assert exporter.options() == exporter.options()
