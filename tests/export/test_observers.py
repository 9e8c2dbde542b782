"""What observers hand to iNaturalist and eBird: lines as their importers take them, and no secret in any."""

import csv
import json
from pathlib import Path

import pytest

import birdsearch
from birdsearch import ExportReport
from birdsearch.export.ebird import COLUMNS, MOST_BYTES, EBird
from birdsearch.export.sightings import SightingOptions
from tests.support.command_line import run
from tests.support.fake_backbone import FakeBackbone
from tests.support.named_photos import FOX
from tests.support.placed_photos import KAKAPO, NOTES, OWNER, SERIAL, photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A burst, a rare bird, a mammal, a group, and photos that lack something."""
    folder = tmp_path / "photos"
    photo(folder / "American Robin/1.jpg", taken="2024:05:17 06:07:08")
    photo(folder / "American Robin/2.jpg", taken="2024:05:17 06:07:38")
    photo(folder / "American Robin/3.jpg", taken="2024:05:17 18:00:00", offset=None)
    photo(folder / "American Robin/copy.jpg", seed=7)
    photo(folder / "Parus major newtoni/copy.jpg", seed=8)
    photo(folder / "American Robin 2/copy.jpg", seed=7)
    photo(folder / "Kakapo/1.jpg", KAKAPO)
    photo(folder / FOX / "1.jpg")
    photo(folder / "Laridae/1.jpg")
    photo(folder / "American Robin/no place.jpg", None)
    photo(folder / "American Robin/no time.jpg", taken=None)
    photo(folder / "1.jpg")
    return folder


def exported(photos: Path, format: str, options: SightingOptions | None = None) -> tuple[ExportReport, bytes]:
    """The report, and the file."""
    path = photos.parent / f"{format}.csv"
    with birdsearch.create(
        photos.parent / "index" / str(len(list(photos.parent.glob("index/*")))), backbone=FakeBackbone()
    ) as index:
        index.add(photos, labels="folder")
        return index.export(path, format=format, options=options), path.read_bytes()


def rows(content: bytes, encoding: str = "utf-8") -> list[list[str]]:
    """The rows of a CSV."""
    return list(csv.reader(content.decode(encoding).splitlines()))


def test_an_observation_of_inaturalist_for_each_bird_and_event(photos: Path) -> None:
    report, content = exported(photos, "inaturalist")
    heading, *observations = rows(content, "iso-8859-1")
    assert len(heading) == 8
    assert {len(row) for row in observations} == {8}
    assert report.written == len(observations) == 6
    assert report.rounded == 1
    assert report.left_out == {
        "no label": 1, "no position": 1, "no time": 1, "a copy of a photo that is written": 1,
        "another photo of an observation that is written": 2,
    }  # fmt: skip
    robins = [row for row in observations if row[0] == "Turdus migratorius"]
    assert {row[1] for row in robins} == {"2024-05-17 06:07:08+02:00", "2024-05-17 18:00:00"}
    assert robins[0][4:6] == ["52.520008", "13.404954"]
    (rare,) = [row for row in observations if row[7] == "obscured"]
    assert (rare[0], rare[4], rare[5]) == ("Strigops habroptilus", "-46.150000", "167.650000")
    assert {row[7] for row in observations if row is not rare} == {"open"}


def test_a_line_of_ebird_for_each_species_place_and_day(photos: Path) -> None:
    report, content = exported(photos, "ebird")
    records = rows(content)
    assert {len(row) for row in records} == {COLUMNS}
    assert report.left_out == {
        "no label": 1, "no position": 1, "no time": 1, "a copy of a photo that is written": 1, "no bird": 1,
        "a label above the species, which is no record": 1,
    }  # fmt: skip
    assert [(row[0], row[1], row[2], row[4]) for row in records] == [
        ("Kakapo", "Strigops", "habroptilus", "1 photo"), ("Great Tit", "Parus", "major", "1 photo"),
        ("American Robin", "Turdus", "migratorius", "4 photos"),
    ]  # fmt: skip
    usual = {(row[3], row[8], row[12], row[13], row[15]) for row in records}
    assert usual == {("X", "05/17/2024", "Historical", "1", "N")}
    assert records[0][5:8] == ["at -46.150, 167.650 (rounded)", "-46.150", "167.650"]
    assert records[1][5:8] == records[2][5:8] == ["at 52.520, 13.405", "52.520", "13.405"]


@pytest.mark.parametrize("format", ["inaturalist", "ebird"])
@pytest.mark.parametrize("people", [False, True])
def test_no_byte_tells_a_secret(photos: Path, format: str, people: bool) -> None:
    _, content = exported(photos, format, SightingOptions(people=people))
    secrets = [str(photos.parent), "/home", SERIAL, NOTES, OWNER, f"{KAKAPO[0]:.3f}", f"{KAKAPO[1]:.3f}"]
    assert [secret for secret in secrets if secret.encode() in content] == []


@pytest.mark.parametrize("format", ["inaturalist", "ebird"])
def test_exact_positions_only_where_asked_for(photos: Path, format: str) -> None:
    report, content = exported(photos, format, SightingOptions(exact_positions=True))
    assert report.rounded == 0
    assert b"-46.123" in content
    assert b"obscured" not in content


def test_letters_that_inaturalist_does_not_read_are_told(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = photos.parent / "cameras.csv"
    table.write_text(
        "deployment;latitude;longitude;folder;place\na;52.5;13.4;American Robin;Łódź\nb;52.6;13.5;Laridae;Zürich\n",
        encoding="utf-8-sig",
    )  # fmt: skip
    _, content = exported(photos, "inaturalist", SightingOptions(deployments=table))
    names = {row[3] for row in rows(content, "iso-8859-1")[1:]}
    assert {"ódz", "Zürich"} <= names
    assert "ISO-8859-1, so 1 name of places is written without some letters (Łódź)" in caplog.text


def test_a_guess_never_goes_to_them(photos: Path) -> None:
    for format in ("inaturalist", "ebird"):
        with birdsearch.create(photos.parent / format, backbone=FakeBackbone()) as index:
            index.add(photos)
            found = [{"filepath": one.path, "prediction": "u;aves;passeriformes;paridae;parus;major;great tit",
                      "prediction_score": 1.0, "detections": []} for one in index.photos()]  # fmt: skip
            (photos.parent / "said.json").write_text(json.dumps({"predictions": found}))
            index.add(regions=photos.parent / "said.json")
            assert {one.species for one in index.photos()} == {"Parus major"}
            report = index.export(photos.parent / f"{format}.csv", format=format)
            assert (report.written, report.left_out) == (0, {"no label": 12})
        refused = run("export", "x.csv", "--format", format, "--predictions", "--index", photos.parent / format, code=2)
        assert "--predictions" in refused.err


def test_a_file_that_is_too_large_for_ebird_is_handed_on_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "birds.csv"
    for size, words in ((MOST_BYTES, "ebird.org/import: choose"), (MOST_BYTES + 1, "in parts, as eBird takes files")):
        path.write_bytes(bytes(size))
        assert words in EBird().next_step(path, ExportReport(1))


def test_the_command_tells_what_was_done_and_what_is_next(photos: Path) -> None:
    with birdsearch.create(photos.parent / "index", backbone=FakeBackbone()) as index:
        index.add(photos, labels="folder")
    for format, address in (("inaturalist", "inaturalist.org/observations/import"), ("ebird", "ebird.org/import")):
        path = photos.parent / f"{format}.csv"
        told = run("export", path, "--format", format, "--index", photos.parent / "index")
        assert "photos written to" in told.out
        assert "coordinates of 1 photo rounded" in told.err
        assert address in told.err
