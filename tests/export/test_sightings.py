"""What every format of sightings keeps to itself: where threatened birds are, people, serials, guesses."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import InputFileError
from birdsearch.export.exporter import EXPORTERS
from birdsearch.export.selection import Selection
from birdsearch.export.sightings import DatasetOptions, Sighting, SightingOptions, Sightings
from birdsearch.records import ExportReport
from tests.support.fake_backbone import FakeBackbone
from tests.support.placed_photos import GARDEN, KAKAPO, NOTES, OWNER, SERIAL, photo

Made = Callable[..., dict[str, Sighting]]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An empty index."""
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as made:
        yield made


class _Kept:
    """A format that keeps what it is given."""

    name = "kept"
    suffix = ""
    help = "nothing"
    options = SightingOptions
    found: tuple[Sighting, ...] = ()

    def write(self, photos: Selection, path: Path, options: SightingOptions) -> ExportReport:
        self.found = tuple(Sightings(photos, options))
        return ExportReport()

    def next_step(self, path: Path, report: ExportReport) -> str:
        return ""


@pytest.fixture
def sightings(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The sightings of the photos in tmp_path/photos, by their paths there; labelled by folder."""

    def made(options: SightingOptions | None = None) -> dict[str, Sighting]:
        index.add(tmp_path / "photos", labels="folder")
        kept = _Kept()
        monkeypatch.setitem(EXPORTERS, "kept", kept)
        index.export(tmp_path / "kept", format="kept", options=options or DatasetOptions())
        return {one.photo.path: one for one in kept.found}

    return made


def test_the_place_of_a_threatened_species_is_rounded_to_the_middle_of_a_cell(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/1.jpg", GARDEN)
    found = sightings()
    rare, common = found["Kakapo/1.jpg"].place, found["American Robin/1.jpg"].place
    assert rare is not None
    assert (rare.latitude, rare.longitude, rare.uncertainty, rare.rounded) == (-46.15, 167.65, 7900, True)
    assert common is not None
    assert (round(common.latitude, 5), common.rounded, common.uncertainty) == (52.52001, False, None)


def test_exact_positions_are_told_where_asked_for_alone(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", KAKAPO)
    place = sightings(SightingOptions(exact_positions=True))["Kakapo/1.jpg"].place
    assert place is not None
    assert round(place.latitude, 5) == round(KAKAPO[0], 5)


def test_another_bird_at_the_same_spot_does_not_tell_it(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/1.jpg", (KAKAPO[0] + 0.003, KAKAPO[1]))
    photo(tmp_path / "photos/American Robin/2.jpg", (KAKAPO[0] + 0.3, KAKAPO[1]))
    found = sightings()
    assert [one.place is not None and one.place.rounded for one in found.values()] == [True, False, True]


def test_a_list_of_ones_own_protects_more(sightings: Made, tmp_path: Path) -> None:
    (tmp_path / "owls.txt").write_text("Snowy Owl\nTurdidae\n")
    photo(tmp_path / "photos/American Robin/1.jpg")
    photo(tmp_path / "photos/Mallard/1.jpg", (10.0, 10.0))
    found = sightings(SightingOptions(sensitive=tmp_path / "owls.txt"))
    assert {path: one.place is not None and one.place.rounded for path, one in found.items()} == {
        "American Robin/1.jpg": True,
        "Mallard/1.jpg": False,
    }


def test_a_list_with_a_name_that_is_no_bird_is_refused(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/American Robin/1.jpg")
    for text, words in (("Snowy Owl\nXyzzyx\n", r"line 2: Xyzzyx"), ("", "names no bird")):
        (tmp_path / "owls.txt").write_text(text)
        with pytest.raises(InputFileError, match=words):
            sightings(SightingOptions(sensitive=tmp_path / "owls.txt"))


@pytest.mark.parametrize("label", ["Kakapoo", "strigops_habroptilus", "Strigops", "Gyps", "parrot"])
def test_a_name_that_may_mean_a_threatened_species_protects_its_place(
    sightings: Made, tmp_path: Path, label: str
) -> None:
    photo(tmp_path / "photos" / label / "1.jpg", KAKAPO)
    (one,) = sightings().values()
    assert one.place is not None
    assert one.place.rounded


def test_people_serials_notes_and_absolute_paths_stay(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Mallard/1.jpg")
    (one,) = sightings().values()
    for secret in (SERIAL, NOTES, OWNER, str(tmp_path)):
        assert secret not in repr(one.photo)
    (one,) = sightings(SightingOptions(people=True)).values()
    assert one.photo.photographer == OWNER


def test_a_time_is_an_instant_by_its_offset_or_a_time_zone(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Mallard/1.jpg", offset=None)
    photo(tmp_path / "photos/Mallard/2.jpg", offset="-05:00")
    photo(tmp_path / "photos/Mallard/3.jpg", taken=None)
    found = [one.moment for one in sightings().values()]
    assert [moment and moment.isoformat() for moment in found] == [None, "2024-05-17T06:07:08-05:00", None]
    found = [one.moment for one in sightings(SightingOptions(timezone="Europe/Berlin")).values()]
    assert [moment and moment.isoformat()[-6:] for moment in found] == ["+02:00", "-05:00", None]


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="timezone must be a name such as Europe/Berlin"):
        SightingOptions(timezone="Mars/Olympus")
    with pytest.raises(ValueError, match="leave out sensitive"):
        SightingOptions(exact_positions=True, sensitive=Path("x"))
    with pytest.raises(ValueError, match="url must begin with https://"):
        DatasetOptions(url="ftp://birds")


def test_a_burst_is_one_event(sightings: Made, tmp_path: Path) -> None:
    for number, second in enumerate(("06:07:08", "06:07:09", "06:20:00")):
        photo(tmp_path / f"photos/Mallard/{number}.jpg", taken=f"2024:05:17 {second}")
    events = [one.event for one in sightings().values()]
    assert events[0] == events[1] != events[2]


def test_what_names_no_animal_for_sure_is_no_claim(sightings: Made, tmp_path: Path) -> None:
    for label in ("Blurry", "Mallrad", "Greater Scaup", "Parus major newtoni", "Laridae"):
        photo(tmp_path / "photos" / label / "1.jpg")
    found = {path.partition("/")[0]: one.claim for path, one in sightings().items()}
    said = {label: claim and (claim.scientific, claim.rank) for label, claim in found.items()}
    assert said == {
        "Blurry": None,
        "Mallrad": None,
        "Greater Scaup": ("Aythya marila", "species"),
        "Parus major newtoni": ("Parus major newtoni", "subspecies"),
        "Laridae": ("Laridae", "family"),
    }
