"""Darwin Core archives, as python-dwca-reader reads them."""

from pathlib import Path
from zipfile import ZipFile

import pytest
from dwca.darwincore.utils import qualname
from dwca.read import DwCAReader

import birdsearch
from birdsearch.export.sightings import DatasetOptions
from birdsearch.records import ExportReport
from tests.support.fake_backbone import FakeBackbone
from tests.support.placed_photos import KAKAPO, NOTES, OWNER, SERIAL, photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos with and without what an occurrence needs."""
    folder = tmp_path / "photos"
    photo(folder / "Kakapo/1.jpg", KAKAPO)
    photo(folder / 'American Robin/it\'s "1",\t+2\n.jpg')
    photo(folder / "American Robin/3.jpg", None, seed=3)
    photo(folder / "American Robin/copy.jpg", None, seed=3)
    photo(folder / "American Robin/no time.jpg", taken=None)
    photo(folder / "Blurry/1.jpg")
    photo(folder / "1.jpg")
    return folder


def written(folder: Path, options: DatasetOptions) -> tuple[ExportReport, list[dict[str, str]], list[dict[str, str]]]:
    """An archive of the photos: the report, its occurrences, and their photos."""
    path = folder.parent / "birds.zip"
    with birdsearch.create(folder.parent / "index", backbone=FakeBackbone()) as index:
        index.add(folder, labels="folder")
        report = index.export(path, format="dwca", options=options)
    with DwCAReader(path) as archive:
        rows = list(archive)
        assert archive.descriptor.core.type == qualname("Occurrence")
        assert archive.metadata is not None
        return report, [row.data for row in rows], [one.data for row in rows for one in row.extensions]


def test_an_occurrence_for_each_photo_of_a_sure_label(folder: Path) -> None:
    report, rows, media = written(folder, DatasetOptions(title="Birds <of> A & B", url="https://birds.org/p"))
    assert (report.written, report.rounded) == (3, 1)
    assert {why.partition(" (")[0]: count for why, count in report.left_out.items()} == {
        "no label": 1,
        "a label that is not the sure name of an animal": 1,
        "no time": 1,
        "a copy of a photo that is written": 1,
    }
    names = [row[qualname("scientificName")] for row in rows]
    assert sorted(names) == ["Strigops habroptilus", "Turdus migratorius", "Turdus migratorius"]
    assert len({row[qualname("occurrenceID")] for row in rows}) == 3
    assert all(row[qualname("basisOfRecord")] == "HumanObservation" for row in rows)
    assert not any("individualCount" in name for row in rows for name in row)
    rare = next(row for row in rows if row[qualname("scientificName")].startswith("Strigops"))
    assert rare[qualname("decimalLatitude")] == "-46.150000"
    assert rare[qualname("coordinateUncertaintyInMeters")] == "7900"
    assert "0.1 degree" in rare[qualname("dataGeneralizations")]
    assert len(media) == 3
    addresses = sorted(one["http://purl.org/dc/terms/identifier"] for one in media)
    assert addresses[0] == "https://birds.org/p/American%20Robin/3.jpg"
    assert "%22" in addresses[1]
    assert "%0A" in addresses[1]


def test_an_occurrence_says_by_what_and_by_whom_it_is(folder: Path, tmp_path: Path) -> None:
    table = "deployment,latitude,longitude,folder,place\na,52.5,13.4,American Robin,Bay\n"
    (tmp_path / "cameras.csv").write_text(table)
    options = DatasetOptions(deployments=tmp_path / "cameras.csv", license="CC-BY-4.0")
    _, rows, media = written(folder, options)
    legal = "http://creativecommons.org/licenses/by/4.0/legalcode"
    assert {row[qualname("basisOfRecord")] for row in rows} == {"MachineObservation"}
    assert {one["http://purl.org/dc/terms/license"] for one in (*rows, *media)} == {legal}
    robins = [row for row in rows if row[qualname("scientificName")] == "Turdus migratorius"]
    assert {row[qualname("locality")] for row in robins} == {"Bay"}
    assert {row[qualname("eventID")] for row in robins} == {"a-1"}
    assert {row[qualname("eventDate")] for row in rows} == {"2024-05-17T06:07:08+02:00"}
    assert {row[qualname("identificationRemarks")] for row in rows} == {"label: folder"}


@pytest.mark.parametrize("people", [False, True])
def test_no_byte_of_an_archive_tells_a_secret(folder: Path, people: bool) -> None:
    written(folder, DatasetOptions(people=people))
    with ZipFile(folder.parent / "birds.zip") as archive:
        held = b"".join(archive.read(name) for name in archive.namelist())
    secrets = [
        str(folder),
        "/home",
        SERIAL,
        NOTES,
        f"{KAKAPO[0]:.3f}",
        f"{KAKAPO[1]:.3f}",
        *([] if people else [OWNER]),
    ]
    assert [secret for secret in secrets if secret.encode() in held] == []
    assert (OWNER.encode() in held) == people
