"""Labels from keywords, in files and beside them: sure ones only, two species are none, and what a person confirms."""

import logging
from pathlib import Path

import pytest

from birdsearch import Filter, Index
from birdsearch.indexing.keyword_labels import last_words, species_named
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone

SPECIES = {"Great Tit": "Parus major", "Kohlmeise": "Parus major"}
SPECIES |= {"Rook": "Corvus frugilegus", "Ruff": "Calidris pugnax"}


def sidecar(path: Path, *keywords: str) -> None:
    """Write keywords beside a photo, as a path where they have a bar in them."""
    flat = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords if "|" not in keyword)
    paths = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords if "|" in keyword)
    path.write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:lr="http://ns.adobe.com/lightroom/1.0/">'
        f"<dc:subject><rdf:Bag>{flat}</rdf:Bag></dc:subject>"
        f"<lr:hierarchicalSubject><rdf:Bag>{paths}</rdf:Bag></lr:hierarchicalSubject>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>",
        encoding="utf-8",
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four photos without any keyword."""
    folder = tmp_path / "photos"
    for seed, name in enumerate("abcd"):
        write(folder / f"{name}.jpg", bird(seed, 80, 60))
    return folder


def labels(index: Index) -> dict[str, str | None]:
    """Name -> label."""
    return {Path(photo.path).stem: photo.label for photo in index.photos()}


@pytest.mark.parametrize(
    ("keywords", "below", "named"),
    [
        (["garden", "Kohlmeise"], "", ["Kohlmeise"]),
        (["Kohlmeise", "Great Tit"], "", ["Great Tit"]),  # one species, and AviList's own name of it
        (["Rook", "Great Tit"], "", ["Rook", "Great Tit"]),
        (["Birds|Tits|Great Tit", "Birds", "Tits", "Great Tit"], "", ["Great Tit"]),
        (["Birds|Great Tit|juvenile"], "", ["Great Tit"]),
        (["Rook|Great Tit", "Rook", "Great Tit"], "", ["Great Tit"]),  # the path says which of them is meant
        (["birdsearch|unverified|Great Tit", "Great Tit", "birdsearch", "unverified"], "", []),  # a guess of a network
        (["People|Rook", "Birds|Great Tit", "Ruff"], "birds", ["Great Tit"]),
        (["Animals|Birds|Rook", "Birds|Great Tit"], "Animals|Birds", ["Rook"]),
        (["Animals|Birds|Rook"], "Birds", ["Rook"]),
        (["Rook|Birds"], "Birds", []),
        (["Rook"], "Rook", []),
        ([], "Birds", []),
    ],
)
def test_which_species_keywords_name(keywords: list[str], below: str, named: list[str]) -> None:
    assert list(species_named(keywords, below, SPECIES.get)) == named


def test_a_machine_tag_holds_a_name() -> None:
    assert species_named(["taxonomy:common=Great Tit"], "", SPECIES.get) == ("Great Tit",)
    assert last_words(["taxonomy:common=Wren", "Birds|Tits"], "") == ["Wren", "Tits"]


def test_keywords_of_sidecars_and_files_are_labels_and_guesses_are_none(
    photos: Path, index: Index, fake: FakeBackbone, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar(photos / "a.jpg.xmp", "garden", "Parus major")
    sidecar(photos / "b.xmp", "Blue Tit", "Blue", "flickr")
    sidecar(photos / "c.jpg.xmp", "Rook", "Great Tit")
    with caplog.at_level(logging.WARNING):
        report = index.add(photos, labels="keywords")
    assert labels(index) == {"a": "Parus major", "b": None, "c": None, "d": None}
    assert index.photos(Filter(species="Great Tit"))[0].keywords == ("garden", "Parus major")
    assert {label.source for label in index.labels()} == {"keywords"}
    assert (report.added, report.unlabelled) == (4, 3)
    assert [(Path(one.path).stem, one.species) for one in report.several_species] == [("c", ("Rook", "Great Tit"))]
    assert index.several_species() == list(report.several_species)
    assert "c.jpg: Rook, Great Tit" in caplog.text
    index.label({report.several_species[0].photo_id: "Rook"})
    assert index.several_species() == []
    assert fake.embedded == 4


def test_the_words_of_a_person_make_labels_of_keywords_at_once(photos: Path, index: Index, tmp_path: Path) -> None:
    for name in "abc":
        sidecar(photos / f"{name}.jpg.xmp", "Blue Tit" if name != "c" else "Star")
    index.add(photos, labels="keywords")
    found = {match.label: match for match in index.names()}
    assert {name: (match.photos, match.method, match.is_keyword) for name, match in found.items()} == {
        "Blue Tit": (2, "guess", True),
        "Star": (1, "guess", True),
    }
    table = tmp_path / "names.csv"
    rows = "Blue Tit,Eurasian Blue Tit,guess,\nStar,Sturnus vulgaris,guess,yes\n"
    table.write_text(f"name,species,method,confirmed\n{rows}")
    assert index.set_names(table) == 2
    assert labels(index) == {"a": "Blue Tit", "b": "Blue Tit", "c": "Star", "d": None}
    assert not any(match.is_keyword for match in index.names())
    index.correct_names({"Star": ""})
    assert labels(index)["c"] is None
    assert [match.label for match in index.names() if match.is_keyword] == ["Star"]
    index.add(photos)
    assert labels(index) == {"a": "Blue Tit", "b": "Blue Tit", "c": None, "d": None}


def test_a_keyword_above_others_chooses_those_that_count(photos: Path, index: Index) -> None:
    sidecar(photos / "a.jpg.xmp", "People|Merlin", "Birds|Tits|Great Tit")
    sidecar(photos / "b.jpg.xmp", "Rook")
    index.add(photos, labels="keywords", keyword_root="Birds")
    assert labels(index) == {"a": "Great Tit", "b": None, "c": None, "d": None}
    assert index.info()["labels"] == {str(photos): "keywords|Birds"}
    index.add(photos)
    assert labels(index)["a"] == "Great Tit"
    index.add(photos, labels="keywords")
    assert labels(index) == {"a": None, "b": "Rook", "c": None, "d": None}
    for labels_, root in (("folder", "Birds"), ("keywords", " "), (None, "Birds")):
        with pytest.raises(ValueError, match="keyword_root"):
            index.add(photos, labels=labels_, keyword_root=root)


def test_corrections_count_above_keywords_and_another_choice_replaces_them(photos: Path, index: Index) -> None:
    sidecar(photos / "a.jpg.xmp", "Rook")
    index.add(photos, labels="keywords")
    index.label({1: "Ruff"})
    index.add(photos, labels="keywords")
    assert labels(index)["a"] == "Ruff"
    index.label({1: None})
    assert labels(index)["a"] == "Rook"
    index.add(photos, labels="none")
    assert labels(index)["a"] is None


def test_keywords_chosen_later_cost_no_embedding(photos: Path, index: Index, fake: FakeBackbone) -> None:
    sidecar(photos / "a.jpg.xmp", "Rook")
    index.add(photos)
    assert set(labels(index).values()) == {None}
    report = index.add(photos, labels="keywords")
    assert (report.unchanged, report.paired, fake.embedded) == (4, 1, 4)
    assert labels(index)["a"] == "Rook"
