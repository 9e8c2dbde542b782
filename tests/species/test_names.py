"""What the labels of an index are taken for, and how somebody corrects that."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import InputFileError
from birdsearch.records import Filter, SpeciesCount, TaxonMatch
from birdsearch.taxonomy import resolve as resolve_module
from birdsearch.taxonomy.resolve import read_overrides
from tests.support.fake_backbone import FakeBackbone, classifying
from tests.support.named_photos import FOX, LABELS, labelled, names_table, photos


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with labelled(tmp_path, LABELS) as made:
        yield made


def known(index: Index) -> dict[str, TaxonMatch]:
    return {name.label: name for name in index.names()}


def test_every_label_says_what_it_is_taken_for(index: Index) -> None:
    names = index.names()
    assert [name.confidence for name in names] == sorted(name.confidence for name in names)
    assert {name.label: name.photos for name in names} == LABELS
    by_label = known(index)
    assert by_label["Great Tit"] == TaxonMatch(
        "Great Tit", 3, "species", "Parus major", "Great Tit", ("Parus major",), "exact", 1.0
    )
    duck = by_label["MANDRIN DUCK"]
    assert (duck.scientific, duck.english, duck.method) == ("Aix galericulata", "Mandarin Duck", "guess")
    assert (by_label["OSTRICH"].rank, by_label["OSTRICH"].scientific) == ("genus", "Struthio")
    assert len(by_label["OSTRICH"].candidates) == 2
    nothing = by_label["garden, misc"]
    assert (nothing.rank, nothing.scientific, nothing.method, nothing.confidence) == (None, None, "unresolved", 0.0)
    assert [name.label for name in index.names(Filter(label="great tit"))] == ["Great Tit"]


def test_only_labels_count(tmp_path: Path) -> None:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(photos(tmp_path / "photos", {"Great Tit": 2}), labels="none")
        assert index.names() == []
        index.label({1: "Blue Tit"})
        assert [(name.label, name.photos) for name in index.names()] == [("Blue Tit", 1)]


def test_what_is_said_of_names_counts_until_something_else_is_said(index: Index, tmp_path: Path) -> None:
    table = names_table(tmp_path, "name,species\nmandrin duck,Wood Duck\nTEAL DUCK,\n")
    generation = index.generation
    assert index.set_names(table) == 2
    assert index.generation > generation
    names = known(index)
    assert (names["MANDRIN DUCK"].scientific, names["MANDRIN DUCK"].method) == ("Aix sponsa", "override")
    assert (names["TEAL DUCK"].rank, names["TEAL DUCK"].method) == (None, "override")
    with birdsearch.open(index.path, backbone=FakeBackbone()) as again:
        assert known(again) == names
    assert index.set_names(names_table(tmp_path, "name,species\nOSTRICH,Common Ostrich\n")) == 1
    assert known(index)["MANDRIN DUCK"].method == "guess"
    assert known(index)["OSTRICH"].candidates == ("Struthio camelus",)
    for nothing in ("name,species\n", ""):
        assert index.set_names(names_table(tmp_path, nothing)) == 0
        assert all(name.method != "override" for name in index.names())
    assert index.verify().ok


def test_a_wrong_table_changes_nothing(index: Index, tmp_path: Path) -> None:
    index.set_names(names_table(tmp_path, "name,species\nTEAL DUCK,Baikal Teal\n"))
    with pytest.raises(InputFileError, match=r"line 3: AviList has no bird called 'Grat Tit'"):
        index.set_names(names_table(tmp_path, "name,species\nOSTRICH,Emu\nTEAL DUCK,Grat Tit\n"))
    assert known(index)["TEAL DUCK"].scientific == "Sibirionetta formosa"
    assert known(index)["OSTRICH"].method != "override"


def test_a_name_that_no_photo_bears_is_mentioned(
    index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert index.set_names(names_table(tmp_path, "name,species\nMANDARINE,Mandarin Duck\nOSTRICH,Emu\n")) == 2
    assert "neither labels nor keywords in this index: 1 (MANDARINE)" in caplog.text


def test_the_audit_hears_the_backbone_in_the_words_that_were_said(tmp_path: Path) -> None:
    classes = ("Parus major", "Cyanistes caeruleus")
    certain = classifying(classes, np.zeros((2, 16), np.float32), np.array([2, 0], np.float32))
    with labelled(tmp_path, {"Great Tit": 4, "my blue ones": 4}, certain) as index:

        def disagreeing() -> set[str]:
            suspects = index.audit().suspects
            return {s.label for s in suspects if any("backbone disagrees" in reason for reason in s.reasons)}

        assert disagreeing() == set()
        index.set_names(names_table(tmp_path, "name,species\nmy blue ones,Eurasian Blue Tit\n"))
        assert disagreeing() == {"my blue ones"}


# Tables


@pytest.mark.parametrize(
    ("row", "means"),
    [
        ("MANDRIN DUCK,Aix galericulata", "Aix galericulata"),  # as birdsearch guesses: a person is sure of it
        ("MANDRIN DUCK,Mandarin Duck", "Mandarin Duck"),
        ("Great Tit,Parus major", None),  # is sure already
        ("MANDRIN DUCK,Wood Duck", "Wood Duck"),
        ("MANDRIN DUCK,", ""),
        ("garden misc,", None),
        ("garden misc,Emu,more", "Emu"),
        ("OSTRICH,Struthio", "Struthio"),  # the group that it is taken for
        ("OSTRICH,Struthio camelus", "Struthio camelus"),
        ("OSTRICH,", ""),
        (f"{FOX},Vulpes vulpes", None),  # no bird, but what the name itself says
        ("ANHINGA,Anhinga anhinga", None),
        (",", None),
    ],
)
def test_lines_count_where_they_say_something_new(row: str, means: str | None, tmp_path: Path) -> None:
    table = names_table(tmp_path, f"name,species\n{row}\n")
    assert read_overrides(table) == ({} if means is None else {row.split(",")[0]: means})


@pytest.mark.parametrize(
    ("row", "means"),
    [
        ("MANDRIN DUCK,Aix galericulata,guess,", {}),  # as it was printed
        ("MANDRIN DUCK,Aix galericulata,guess,yes", {"MANDRIN DUCK": "Aix galericulata"}),
        ("MANDRIN DUCK,Mandarin Duck,guess,", {"MANDRIN DUCK": "Mandarin Duck"}),  # written anew
        ("MANDRIN DUCK,Aix galericulata,override,", {"MANDRIN DUCK": "Aix galericulata"}),  # confirmed before
        ("Great Tit,Parus major,exact,yes", {}),
    ],
)
def test_a_guess_is_confirmed_by_whoever_looks_at_it(row: str, means: dict[str, str], tmp_path: Path) -> None:
    assert read_overrides(names_table(tmp_path, f"name,species,method,confirmed\n{row}\n")) == means


def test_only_species_are_counted_and_each_once(tmp_path: Path) -> None:
    names = ("Mallard", "Mallord", "gull sp.", "Blurry", "Kohlmeise", "Great Tit")
    with labelled(tmp_path, dict.fromkeys(names, 2)) as index:
        count = SpeciesCount(species=2, groups=1, no_birds=1)
        assert count.words == "2 species, 2 other labels (1 group, 1 no bird)"
        report = index.life_list()
        assert [entry.name for entry in report.entries] == ["Great Tit", "Mallard", "Blurry", "gull sp."]
        assert [entry.photos for entry in report.entries] == [4, 4, 2, 2]
        assert (report.count, report.guesses) == (count, ("Mallord",))
        assert [index.info()[key] for key in ("species", "groups", "no_birds")] == [2, 1, 1]
        assert index.species_report().count == count
        assert index.split(fractions=(1, 0, 0)).species["train"] == count
        index.set_names(names_table(tmp_path, "name,species\nMallord,Mallard\nBlurry,\n"))
        assert (index.life_list().count, index.life_list().guesses) == (count, ())


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (("Barn Owl", "Herring Gull", "European Herring Gull"), SpeciesCount(2)),  # AviList has split the names
        (("Greater/Lesser Scaup", "Larus", "Mallard x Pintail", "Empidonax sp."), SpeciesCount(0, 4)),
        (("Red Fox", FOX, "Red  fox"), SpeciesCount(1, 0, 1)),  # other life, which the second says of itself
        ((), SpeciesCount()),
    ],
)
def test_what_counts_as_a_species(names: tuple[str, ...], count: SpeciesCount) -> None:
    assert resolve_module.count_species(names) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,species\nfox,Vulpes vulpes\n", "line 2: AviList has no bird called 'Vulpes vulpes'"),
        (f"name,species\nfox,{FOX}\n", "line 2: AviList has no bird"),
        ("name,species\n ,Emu\n", "line 2: no name that means 'Emu'"),
        ("name,species\nOSTRICH,Emu\nostrich,Struthio\n", "line 3: 'ostrich' is 'Struthio', but line 2"),
        ("name,species\nOSTRICH,Struthio\nostrich,Emu\n", "line 3: 'ostrich' is 'Emu', but line 2"),
        ("name,species\nOSTRICH,Emu\nOSTRICH,\n", "say the same of both"),
        ("name,bird\nOSTRICH,Emu\n", "line 1: no column species"),
    ],
)
def test_tables_that_cannot_be_meant(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=message):
        read_overrides(names_table(tmp_path, text))


def test_tables_as_spreadsheets_save_them(tmp_path: Path) -> None:
    table = tmp_path / "said.csv"
    table.write_bytes('\ufeffname;photos;species\r\nOSTRICH;1;Emu\r\n"a;b";2;Common Emu\r\n'.encode())
    assert read_overrides(table) == {"OSTRICH": "Emu", "a;b": "Common Emu"}


def test_names_without_a_letter_are_not_one_name() -> None:
    meant = resolve_module.resolve_many(["🐦", "???"], overrides={"🐦": "Emu"})
    assert [one.rank for one in meant] == ["species", None]


def test_every_count_of_species_takes_the_names_of_one_taxon_for_one(tmp_path: Path) -> None:
    names = {"Great Tit": 2, "Parus major": 1, "great_tit": 1, "Mallard": 2, "Anas platyrhynchos": 1, "garden, misc": 1}
    with labelled(tmp_path, names) as index:
        assert (index.info()["species"], index.info()["no_birds"]) == (2, 1)
        assert (index.life_list().species, len(index.life_list().entries)) == (2, 3)
        assert len(index.species_report().species) == 3
        assert len(index.split().per_species) == 3
        assert len(index.evaluate().per_species) == 3
        index.set_names(names_table(tmp_path, "name,species\ngarden misc,Mallard\n"))
        assert index.info()["species"] == index.life_list().species == 2


# One by one, and while somebody types


def test_names_are_corrected_one_by_one_and_back(index: Index) -> None:
    before = index.names()
    index.correct_names({"teal duck": "Garganey", "OSTRICH": ""})
    assert known(index)["TEAL DUCK"].scientific == "Spatula querquedula"
    assert known(index)["OSTRICH"].method == "override"
    assert known(index)["OSTRICH"].rank is None
    index.correct_names({"TEAL DUCK": "Common Teal"})
    assert (known(index)["TEAL DUCK"].scientific, known(index)["OSTRICH"].rank) == ("Anas crecca", None)
    generation = index.generation
    index.correct_names({"TEAL DUCK": "Common Teal"})
    assert index.generation == generation
    index.correct_names({"TEAL DUCK": None, "OSTRICH": None})
    assert index.names() == before


def test_a_name_cannot_mean_what_is_no_bird(index: Index) -> None:
    with pytest.raises(ValueError, match="AviList has no bird called 'Fritillaria'"):
        index.correct_names({"OSTRICH": "Common Ostrich", "TEAL DUCK": "Fritillaria"})
    assert known(index)["OSTRICH"].method != "override"


def test_names_are_completed_from_the_labels_and_then_avilist(index: Index) -> None:
    found = index.names_like("great t", limit=4)
    assert (found[0].name, found[0].scientific, found[0].photos) == ("Great Tit", "Parus major", 3)
    assert [one.name for one in found].count("Great Tit") == 1
    assert all(one.photos == 0 and one.scientific for one in found[1:])
    assert [one.name for one in index.names_like("Erithacus rub")] == ["European Robin"]
    assert [one.name for one in index.names_like("EURASIAN  wren")] == ["Eurasian Wren"]
    for nothing in ("", "  ", "qqqq", "'"):
        assert index.names_like(nothing) == []
