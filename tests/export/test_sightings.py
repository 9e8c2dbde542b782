"""What every format of sightings keeps to itself: where threatened birds are, people, serials, guesses."""

import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter, Index
from birdsearch.backbones import Backbone
from birdsearch.errors import InputFileError
from birdsearch.export.exporter import EXPORTERS
from birdsearch.export.moments import instant
from birdsearch.export.privacy import Paths, Place
from birdsearch.export.selection import Selection
from birdsearch.export.sightings import TELLING, DatasetOptions, Sighting, SightingOptions, Sightings
from birdsearch.records import ExportReport
from tests.support import fake_backbone
from tests.support.fake_backbone import FakeBackbone
from tests.support.placed_photos import GARDEN, KAKAPO, NOTES, OWNER, SERIAL, photo

DATASETS = tuple(name for name, one in EXPORTERS.items() if one.options is DatasetOptions)
FORMATS = tuple(name for name, one in EXPORTERS.items() if issubclass(one.options, SightingOptions))
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
        index.export(tmp_path / "kept", format="kept", options=options or SightingOptions())
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


@pytest.mark.parametrize(
    ("rare", "beside", "farther"),
    [
        ((65.0, 20.0), (65.0, 20.021), (65.0, 20.1)),  # a kilometre to the east: 0.021 degrees
        ((-16.8, 179.999), (-16.8, -179.999), (-16.8, -179.9)),
        ((90.0, 0.0), (89.995, 180.0), (89.9, 180.0)),
    ],
)
def test_a_kilometre_is_as_long_in_all_places(
    sightings: Made,
    tmp_path: Path,
    rare: tuple[float, float],
    beside: tuple[float, float],
    farther: tuple[float, float],
) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", rare)
    photo(tmp_path / "photos/American Robin/1.jpg", beside)
    photo(tmp_path / "photos/American Robin/2.jpg", farther)
    found = sightings()
    assert [one.place is not None and one.place.rounded for one in found.values()] == [True, False, True]


@pytest.mark.parametrize("to", ["dwca", "camtrap-dp"])
def test_a_filter_does_not_tell_what_it_leaves_out(index: Index, tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/2.jpg", GARDEN)
    index.add(tmp_path / "photos", labels="folder")
    path = tmp_path / f"out{EXPORTERS[to].suffix}"
    report = index.export(path, Filter(label="American Robin"), format=to)
    assert (report.written, report.rounded) == (2, 1 if to == "dwca" else 2)  # a deployment is rounded as a whole
    assert "46.12" not in contents(path)
    assert ("52.52" in contents(path)) == (to == "dwca")


def test_a_photo_of_the_same_minute_does_not_tell_the_place_of_one_without(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", None)
    photo(tmp_path / "photos/American Robin/1.jpg", taken="2024:05:17 06:08:30")
    photo(tmp_path / "photos/American Robin/2.jpg", (50.0, 8.0), taken="2024:05:17 06:28:30")
    photo(tmp_path / "photos/Mallard/1.jpg", (50.0, 8.0), taken=None)
    found = sightings()
    assert {path: one.place.rounded for path, one in found.items() if one.place} == {
        "American Robin/1.jpg": True,
        "American Robin/2.jpg": False,
        "Mallard/1.jpg": False,
    }
    rounded = {one.deployment.name: one.deployment.place for one in found.values() if one.deployment}
    assert {name: place and place.rounded for name, place in rounded.items()} == {
        "Kakapo": None,
        "American Robin": True,
        "Mallard": False,
    }


def test_a_list_of_ones_own_protects_more(sightings: Made, tmp_path: Path) -> None:
    (tmp_path / "owls.txt").write_text("Snowy Owl\nTurdidae\n")
    photo(tmp_path / "photos/American Robin/1.jpg")
    photo(tmp_path / "photos/Turdidae/1.jpg", (20.0, 20.0))
    photo(tmp_path / "photos/Mallard/1.jpg", (10.0, 10.0))
    found = sightings(SightingOptions(sensitive=tmp_path / "owls.txt"))
    assert {path: one.place is not None and one.place.rounded for path, one in found.items()} == {
        "American Robin/1.jpg": True,
        "Turdidae/1.jpg": True,
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


def test_a_clock_that_went_by_the_sun_is_told_in_utc() -> None:
    noon = datetime(1890, 5, 1, 12, 0, 0, 500)
    moment = instant(noon, ZoneInfo("Europe/Berlin"))  # 53 minutes and 28 seconds before Greenwich
    assert moment is not None
    assert moment.isoformat() == "1890-05-01T11:06:32+00:00"


def test_a_rounded_place_is_no_surer_than_it_was() -> None:
    assert Place(52.52, 13.4, 50_000).coarse.uncertainty == 50_000
    assert Place(52.52, 13.4, 10).coarse == Place(52.52, 13.4).coarse


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
    for label in ("Blurry", "Mallrad", "Greater Scaup", "Parus major newtoni", "Laridae", "Crax_fasciolata_grayi"):
        photo(tmp_path / "photos" / label / "1.jpg")
    found = {path.partition("/")[0]: one.claim for path, one in sightings().items()}
    said = {label: claim and (claim.scientific, claim.rank) for label, claim in found.items()}
    assert said == {
        "Blurry": None,
        "Mallrad": None,
        "Greater Scaup": ("Aythya marila", "species"),
        "Parus major newtoni": ("Parus major newtoni", "subspecies"),
        "Laridae": ("Laridae", "family"),
        "Crax_fasciolata_grayi": ("Crax fasciolata grayi", "subspecies"),
    }


# What a network says


def classes(*names: str) -> Backbone:
    """A network that takes every photo for the first of these."""
    bias = np.zeros(len(names), np.float32)
    bias[0] = 5
    return fake_backbone.classifying(names, np.zeros((len(names), FakeBackbone.dim), np.float32), bias)


def contents(path: Path) -> str:
    """All that a file, a folder or an archive holds."""
    if path.is_dir():
        return "".join(one.read_text(encoding="utf-8") for one in sorted(path.iterdir()))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return "".join(archive.read(name).decode() for name in archive.namelist())
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("to", DATASETS)
def test_a_guess_leaves_only_where_asked_for_and_is_marked(tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/pictures/1.jpg")
    name = f"out{EXPORTERS[to].suffix}"
    with birdsearch.create(tmp_path / "index", backbone=classes("Parus major", "Pica pica")) as index:
        index.add(tmp_path / "photos", labels="folder")
        for place, options in (("facts", DatasetOptions()), ("guesses", DatasetOptions(predictions=True))):
            (tmp_path / place).mkdir()
            index.export(tmp_path / place / name, format=to, options=options)
    assert "Parus" not in contents(tmp_path / "facts" / name)
    told = contents(tmp_path / "guesses" / name)
    assert "Parus major" in told
    assert "fake classes" in told
    assert "0.99" in told
    assert {"dwca": "unverified", "camtrap-dp": ",machine,", "coco-ct": '"verified": false'}[to] in told


@pytest.mark.parametrize("to", DATASETS)
def test_what_a_network_holds_for_less_likely_does_not_leave(tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/pictures/1.jpg")
    path = tmp_path / f"out{EXPORTERS[to].suffix}"
    with birdsearch.create(tmp_path / "index", backbone=classes("something else", "Pica pica")) as index:
        index.add(tmp_path / "photos", labels="none")
        assert "Pica pica" in {guess.species for guess in index.photos()[0].predictions}
        index.export(path, format=to, options=DatasetOptions(predictions=True))
    assert "Pica" not in contents(path)


@pytest.mark.parametrize("to", sorted({*FORMATS} - {*DATASETS}))
def test_no_guess_leaves_for_people_who_count_observations(tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/pictures/1.jpg")
    path = tmp_path / f"out{EXPORTERS[to].suffix}"
    with birdsearch.create(tmp_path / "index", backbone=classes("Parus major", "Pica pica")) as index:
        index.add(tmp_path / "photos", labels="folder")
        with pytest.raises(TypeError, match="must be SightingOptions, got DatasetOptions"):
            index.export(path, format=to, options=DatasetOptions(predictions=True))
        assert index.export(path, format=to).left_out == {"no label": 1}
    assert "Parus" not in contents(path)


@pytest.mark.parametrize("to", DATASETS)
def test_classes_of_imagenet_never_leave(tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/pictures/1.jpg")
    with birdsearch.create(tmp_path / "index", backbone=fake_backbone.built_in()) as index:
        index.add(tmp_path / "photos")
        (photo_,) = index.photos()
        path = tmp_path / f"out{EXPORTERS[to].suffix}"
        index.export(path, format=to, options=DatasetOptions(predictions=True))
    assert photo_.predictions
    assert not any(guess.class_name in contents(path) for guess in photo_.predictions)


def test_a_guess_at_a_threatened_species_protects_its_place(tmp_path: Path) -> None:
    photo(tmp_path / "photos/pictures/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/1.jpg", (50.1, 8.1))
    with birdsearch.create(tmp_path / "index", backbone=classes("Strigops habroptilus", "Pica pica")) as index:
        index.add(tmp_path / "photos", labels="folder")
        report = index.export(tmp_path / "out", format="camtrap-dp")
    assert (report.written, report.rounded) == (2, 1)
    assert "167.654" not in contents(tmp_path / "out")


@pytest.mark.parametrize("where", ["keywords", "folder"])
def test_whatever_names_a_threatened_species_protects_its_place(tmp_path: Path, where: str) -> None:
    path = photo(tmp_path / ("photos/Kakapo/1.jpg" if where == "folder" else "photos/x/1.jpg"), KAKAPO)
    if where == "keywords":  # of two species: no label
        words = "<rdf:li>Kakapo</rdf:li><rdf:li>Mallard</rdf:li>"
        path.with_suffix(".xmp").write_text(
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag>'
            f"{words}</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
        )
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos", labels="keywords" if where == "keywords" else "none")
        assert index.photos()[0].label is None
        report = index.export(tmp_path / "out", format="camtrap-dp")
    assert (report.written, report.rounded) == (1, 1)


def test_photos_of_two_roots_keep_paths_apart(index: Index, sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/Mallard/1.jpg")
    photo(tmp_path / "card/Mallard/1.jpg", seed=5)
    photo(tmp_path / "card/Mallard/2.jpg", seed=6)
    index.add(tmp_path / "card", labels="folder")
    found = sightings()
    assert sorted(found)[:2] == ["Mallard/1.jpg", "Mallard/2.jpg"]
    assert sorted(found)[2] in ("root-1/Mallard/1.jpg", "root-2/Mallard/1.jpg")
    assert len({one.deployment.id for one in found.values() if one.deployment}) == 2


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_fits_strange_names_and_an_empty_index(index: Index, sightings: Made, tmp_path: Path, to: str) -> None:
    assert index.export(tmp_path / f"\udcffno\n{EXPORTERS[to].suffix}", format=to).written == 0
    photo(tmp_path / "photos/Mallard/un\udcff.jpg")
    assert list(sightings()) == ["Mallard/un\\xff.jpg"]
    assert index.export(tmp_path / f"one{EXPORTERS[to].suffix}", format=to).written == 1


@pytest.mark.parametrize("to", FORMATS)
def test_no_byte_of_any_format_tells_a_secret(index: Index, tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", KAKAPO)
    photo(tmp_path / "photos/Kakapo/167.654.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/2.jpg", GARDEN)
    index.add(tmp_path / "photos", labels="folder")
    index.label({one.id or 0: one.label or "" for one in index.photos()}, author="Bo Secretname")
    path = tmp_path / f"out{EXPORTERS[to].suffix}"
    report = index.export(path, format=to)
    assert report.left_out[TELLING] == 1
    assert report.written
    held = contents(path)
    secrets = (
        "46.12",
        "167.65432",
        "-46.1,",
        SERIAL,
        OWNER,
        NOTES,
        "Bo Secretname",
        str(tmp_path),
        tmp_path.name,
        "/home",
    )
    assert [secret for secret in secrets if secret in held] == []


@pytest.mark.parametrize("to", FORMATS)
def test_what_a_rounded_place_is_called_in_a_table_is_not_told(index: Index, tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/Kakapo/1.jpg", KAKAPO)
    photo(tmp_path / "photos/American Robin/1.jpg")
    index.add(tmp_path / "photos", labels="folder")
    table = tmp_path / "cameras.csv"
    table.write_text(
        "deployment,latitude,longitude,folder,place\na,-46.12,167.65,Kakapo,Old hut\nb,52.5,13.4,American Robin,Bay\n"
    )
    suffix, options = EXPORTERS[to].suffix, EXPORTERS[to].options
    index.export(tmp_path / f"out{suffix}", format=to, options=options(deployments=table))
    assert "Old hut" not in contents(tmp_path / f"out{suffix}")
    assert ("Bay" in contents(tmp_path / f"out{suffix}")) == (to != "coco-ct")  # which has no places
    index.export(tmp_path / f"exact{suffix}", format=to, options=options(deployments=table, exact_positions=True))
    assert ("Old hut" in contents(tmp_path / f"exact{suffix}")) == (to != "coco-ct")


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_that_is_stopped_leaves_nothing(index: Index, tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/Mallard/1.jpg")
    index.add(tmp_path / "photos", labels="folder")

    def cancel(stage: str, done: int, total: int | None, path: str) -> None:
        if done:
            raise birdsearch.Cancelled

    (tmp_path / "place").mkdir()
    with pytest.raises(birdsearch.Cancelled):
        index.export(tmp_path / f"place/out{EXPORTERS[to].suffix}", format=to, progress=cancel)
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.parametrize("to", DATASETS)
def test_strange_options_and_times_make_valid_texts(index: Index, tmp_path: Path, to: str) -> None:
    photo(tmp_path / "photos/Mallard/1.jpg", taken="0001:01:01 00:00:00", offset="+14:00")
    photo(tmp_path / "photos/Mallard/2.jpg", (90.0, -180.0), taken="9999:12:31 23:59:59", offset="-12:00", seed=2)
    index.add(tmp_path / "photos", labels="folder")
    path = tmp_path / f"out{EXPORTERS[to].suffix}"
    strange = DatasetOptions(title="<\udcff\n\0>&", contributor='"=1+1"', license="=cmd", url="https://a.b/?q=")
    assert index.export(path, format=to, options=strange).written == 2
    assert "0001-01-01" in contents(path)
    assert "https://a.b/?q=Mallard/1.jpg" in contents(path)


def test_the_poles_and_the_edge_of_the_map_have_cells(sightings: Made, tmp_path: Path) -> None:
    for number, place in enumerate([(90.0, 180.0), (-90.0, -180.0), (0.0, -0.05)]):
        photo(tmp_path / f"photos/Kakapo/{number}.jpg", place)
    found = [(one.place.latitude, one.place.longitude) for one in sightings().values() if one.place]
    assert found == [(89.95, 179.95), (-89.95, -179.95), (0.05, -0.05)]


def test_a_path_never_says_whose_home_it_is_in() -> None:
    folders = ("/", "/data/birds")
    for path, below in (
        ("/home/ana/pictures/1.jpg", "pictures/1.jpg"),
        ("/Users/ana/x/1.jpg", "x/1.jpg"),
        ("/data/birds/2/1.jpg", "2/1.jpg"),
        ("/data/homes/1.jpg", "data/homes/1.jpg"),
    ):
        assert Paths(folders).below(path) == below
    assert Paths(("/elsewhere",)).below("/home/ana/1.jpg") == "1.jpg"


@pytest.mark.parametrize("name", ["46.1234S 167.65E.jpg", "S46,123.jpg", "at_167.654321.jpg", "46_12 nest.jpg"])
def test_a_photo_whose_path_tells_a_place_that_is_rounded_stays(sightings: Made, tmp_path: Path, name: str) -> None:
    photo(tmp_path / "photos/Kakapo" / name, KAKAPO)
    photo(tmp_path / "photos/Kakapo/2024.12.05 IMG_4612.jpg", KAKAPO)
    assert [bool(one.barred) for one in sightings().values()] == [False, True]


def test_a_photo_is_of_the_camera_that_stood_there_then(sightings: Made, tmp_path: Path) -> None:
    for number, day in enumerate(("2024:05:17", "2024:06:30", "2024:07:01")):
        photo(tmp_path / f"photos/Mallard/{number}.jpg", None, taken=f"{day} 23:07:08")
    (tmp_path / "cameras.csv").write_text(
        "deployment,latitude,longitude,folder,start,end\n"
        "june,1,1,Mallard,2024-06-01,2024-06-30\nmay,2,2,Mallard,2024-05-01,2024-05-31\n"
    )
    found = sightings(SightingOptions(deployments=tmp_path / "cameras.csv", timezone="+02:00")).values()
    assert [one.deployment and one.deployment.id for one in found] == ["may", "june", None]


def test_a_camera_at_the_place_of_a_threatened_bird_is_rounded_with_it(sightings: Made, tmp_path: Path) -> None:
    photo(tmp_path / "photos/a/Kakapo/1.jpg", None)
    photo(tmp_path / "photos/b 46.1234/American Robin/1.jpg", None)
    photo(tmp_path / "photos/c/American Robin/2.jpg", None)
    (tmp_path / "cameras.csv").write_text(
        f"deployment,latitude,longitude,folder\na,{KAKAPO[0]},{KAKAPO[1]},\n"
        f"cam 46.1234,{KAKAPO[0]},{KAKAPO[1]},b 46.1234\nc,-40,160,\n"
    )
    found = sightings(SightingOptions(deployments=tmp_path / "cameras.csv"))
    places = {path[0]: one.deployment and one.deployment.place for path, one in found.items()}
    assert {name: place and place.rounded for name, place in places.items()} == {"a": True, "b": True, "c": False}
    assert found["b 46.1234/American Robin/1.jpg"].barred
    assert "46.1234" not in repr(found["b 46.1234/American Robin/1.jpg"].deployment)
