"""Class names and the species they mean."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from birdsearch.errors import InputFileError
from birdsearch.taxonomy import avilist
from birdsearch.taxonomy.avilist import Taxon
from birdsearch.taxonomy.other_names import vernacular
from birdsearch.taxonomy.resolve import (
    lineage,
    meaning_any,
    read_overrides,
    resolve,
    resolve_many,
    species_of_class,
    taxon_keys,
)
from tests.support import REAL_PHOTOS


@pytest.mark.parametrize(
    ("class_name", "species"),
    [
        ("03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter_badius", "Accipiter badius"),
        ("00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris", "Lumbricus terrestris"),
        (
            "09999_Plantae_Tracheophyta_Polypodiopsida_Polypodiales_Pteridaceae_Adiantum_x_mairisii",
            "Adiantum x mairisii",
        ),
        ("04000_Animalia_Chordata_Aves_Passeriformes_Corvidae_Corvus_corone_cornix", "Corvus corone cornix"),
        ("00451_Animalia_Arthropoda_Insecta_Lepidoptera_Nymphalidae_Polygonia_c-album", "Polygonia c-album"),
        ("Fungi_Basidiomycota_Agaricomycetes_Agaricales_Amanitaceae_Amanita_muscaria", "Amanita muscaria"),
    ],
)
def test_lineage_names_the_species(class_name: str, species: str) -> None:
    assert species_of_class(class_name) == (species, "species")


@pytest.mark.parametrize(
    ("class_name", "rank"),
    [
        ("03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter", "genus"),
        ("Animalia_Chordata_Aves_Accipitriformes_Accipitridae", "family"),
        ("Animalia", "kingdom"),
    ],
)
def test_shorter_lineage_is_no_species(class_name: str, rank: str) -> None:
    assert species_of_class(class_name) == (None, rank)


@pytest.mark.parametrize(
    ("class_name", "species"),
    [
        ("Great Tit", "Great Tit"),
        ("GREAT TIT", "Great Tit"),
        ("great_tit", "Great Tit"),
        ("STELLERS EIDER", "Steller's Eider"),
        ("Bohm's bee eater", "Böhm's Bee-eater"),
        ("great gray owl", "Great Grey Owl"),
        ("parus major", "Parus major"),
        ("Tachyspiza badia", "Tachyspiza badia"),
    ],
)
def test_checklist_name_keeps_the_checklists_spelling(class_name: str, species: str) -> None:
    assert species_of_class(class_name) == (species, "species")


@pytest.mark.parametrize("class_name", ["bulbul", "LOONEY BIRDS", "Parus", "Paridae", "", "0", "____", "teddy bear"])
def test_anything_else_is_a_class(class_name: str) -> None:
    assert species_of_class(class_name) == (None, "class")


def test_checklist_is_read_without_pandas() -> None:
    code = (
        "import sys; from birdsearch.taxonomy.resolve import species_of_class as s; assert s('Great Tit')[0]; "
        "assert not {'pandas', 'birdnames', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def meaning(name: str) -> tuple[str | None, str, str]:
    """Rank, scientific name and way of a resolution."""
    found = resolve(name)
    return found.rank, found.taxon.scientific if found.taxon else "", found.method


def test_taxon_tells_the_groups_of_a_species() -> None:
    taxon = resolve("great tit").taxon
    assert taxon == Taxon("Parus major", "Great Tit", "Parus", "Paridae", "Passeriformes")


@pytest.mark.parametrize(
    ("name", "rank", "scientific", "how"),
    [
        ("STELLERS EIDER", "species", "Polysticta stelleri", "exact"),
        ("parus_major", "species", "Parus major", "exact"),
        ("Great Gray Owl", "species", "Strix nebulosa", "exact"),
        ("Dark-eyed Junco (Slate-colored)", "species", "Junco hyemalis", "exact"),
        ("001.Black_footed_Albatross", "species", "Phoebastria nigripes", "exact"),
        ("Motacilla alba yarrellii", "species", "Motacilla alba", "exact"),
        ("Black & Yellow Broadbill", "species", "Eurylaimus ochromalus", "exact"),
        ("Tyto", "genus", "Tyto", "exact"),
        ("PARIDAE", "family", "Paridae", "exact"),
        ("Strigiformes", "order", "Strigiformes", "exact"),
        ("Great Northern Diver", "species", "Gavia immer", "synonym"),
        ("Black-bellied Plover", "species", "Pluvialis squatarola", "synonym"),
        ("Accipiter badius", "species", "Tachyspiza badia", "synonym"),
        ("Carduelis chloris", "species", "Chloris chloris", "synonym"),
        ("Corvus cornix", "species", "Corvus corone", "synonym"),
        ("ROUGH LEG BUZZARD", "species", "Buteo lagopus", "spelling"),
        ("great tits", "species", "Parus major", "spelling"),
        ("mallard female", "species", "Anas platyrhynchos", "spelling"),
        ("Brewer_Blackbird", "species", "Euphagus cyanocephalus", "spelling"),
        ("MANDRIN DUCK", "species", "Aix galericulata", "guess"),
        ("DOUBLE BRESTED CORMARANT", "species", "Nannopterum auritum", "guess"),
        ("MALLARD DUCK", "species", "Anas platyrhynchos", "spelling"),
        ("BLACK THROATED HUET", "species", "Pteroptochos tarnii", "guess"),
        ("FRIGATE", "genus", "Fregata", "guess"),
        ("tit mouse", "genus", "Baeolophus", "guess"),
        ("JACOBIN PIGEON", "family", "Columbidae", "guess"),
        ("Crows", "genus", "Corvus", "guess"),
    ],
)
def test_resolve_reads_the_names_people_give(name: str, rank: str, scientific: str, how: str) -> None:
    assert meaning(name) == (rank, scientific, how)


with (Path(__file__).parent.parent / "data" / "names.csv").open(encoding="utf-8") as table:
    NAMES = list(csv.DictReader(table))  # kind, name, and the right rank and scientific name, empty for no taxon
MISSED = {"Dendroica coronata"}  # the genus is on none of the lists


@pytest.mark.parametrize("row", NAMES, ids=lambda row: f"{row['kind']}: {row['name']}")
def test_names_of_every_kind_are_right(row: dict[str, str]) -> None:
    found = resolve(row["name"])
    got = (found.rank, found.taxon.scientific) if found.rank and found.taxon else ("", "")
    assert got == (("", "") if row["name"] in MISSED else (row["rank"], row["scientific"]))
    assert found.name == row["name"]


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("Greater/Lesser Scaup", {"Aythya marila", "Aythya affinis"}),
        ("Sterna hirundo/paradisaea", {"Sterna hirundo", "Sterna paradisaea"}),
        ("Mallard x Gadwall", {"Anas platyrhynchos", "Mareca strepera"}),
        ("scaup", {"Aythya marila", "Aythya affinis", "Aythya novaeseelandiae"}),
        ("Mallard (Anas crecca)", {"Anas platyrhynchos", "Anas crecca"}),
        ("Brandgans", {"Tadorna tadorna", "Branta leucopsis"}),  # German and Dutch
        ("Mallard/garden", {"Anas platyrhynchos"}),
        ("Buteo buteo/B. lagopus", {"Buteo buteo", "Buteo lagopus"}),
        ("Tree/House Sparrow", {"Passer montanus", "Spizelloides arborea", "Passer domesticus"}),
        ("Parus major - Great Tit - Amsel", {"Parus major", "Turdus merula"}),
        ("Mallard, Gadwall, Rook", {"Anas platyrhynchos", "Mareca strepera", "Corvus frugilegus"}),
    ],
)
def test_names_of_several_taxa_have_all_of_them_as_candidates(name: str, candidates: set[str]) -> None:
    found = resolve(name)
    assert found.rank != "species"
    assert set(found.candidates) == candidates


def test_open_names_never_become_one_species() -> None:
    for name in ("Limpkin sp.", "Mallard?? hybrid", "Osprey spp", "cf. Gallinula chloropus"):
        assert resolve(name).rank != "species", name
    assert set(resolve("Empidonax sp.").candidates) >= {"Empidonax alnorum", "Empidonax minimus"}


def test_names_of_one_taxon_share_a_key_and_guesses_do_not() -> None:
    wren = {"Eurasian Wren", "Troglodytes troglodytes", "EURASIAN_WREN", "Zaunk\u00f6nig", "Zaunko\u0308nig", "winwre4"}
    assert set(taxon_keys(wren).values()) == {"Troglodytes troglodytes"}
    keys = taxon_keys(
        ["Greater/Lesser Scaup", "Aythya affinis/marila", "Eurasian Wrem", "Wren", "My Cat", "my cat", "dog"]
    )
    assert keys["Greater/Lesser Scaup"] == keys["Aythya affinis/marila"]
    assert keys["Eurasian Wrem"] != "Troglodytes troglodytes" != keys["Wren"]
    assert keys["My Cat"] == keys["my cat"] != keys["dog"]
    meant = taxon_keys(["birdie", "Great Tit"], {"Birdie": "Eurasian Wren", "great tit": ""})
    assert meant["birdie"] == "Troglodytes troglodytes"
    assert meant["Great Tit"] != "Parus major"


def test_a_wanted_group_finds_its_species_and_a_guess_nothing_else() -> None:
    stored = ["Herring Gull", "LARUS MARINUS", "Silberm\u00f6we", "Mallard", "CACTUS WREN", "wren", "my cat"]
    assert meaning_any(stored, ["Larus"]) == ["Herring Gull", "LARUS MARINUS", "Silberm\u00f6we"]
    assert meaning_any(stored, ["Anatidae", "My Cat"]) == ["Mallard", "my cat"]
    assert meaning_any(stored, ["Wren"]) == ["wren"]
    assert meaning_any(stored, ["Great Black-backed Gull"]) == ["LARUS MARINUS"]
    assert meaning_any(["pip", "Mallard"], ["Mallard"], {"pip": "Anas platyrhynchos"}) == ["pip", "Mallard"]


def test_names_in_other_languages_are_no_english_names_of_other_birds() -> None:
    known, older = avilist.world(), avilist.older_names()
    for row in avilist.own_rows("vernacular_names.csv"):
        species = set(row[0].split(";"))
        assert species <= set(known.species), row
        for name in filter(None, ";".join(row[1:]).split(";")):
            at = avilist.key(name)
            english = {known.english[at]} if at in known.english else set(older.english.get(at, ("", ()))[1])
            assert english <= species, name
            assert species <= set(vernacular().species[at]), name
            assert resolve(name).method in ("exact", "synonym"), name


def test_long_texts_are_no_names() -> None:
    assert resolve("Mallard, " * 10_000).rank is None


def test_known_words_are_never_corrected() -> None:
    """All but three letters of "black throated warbler" are those of a babbler."""
    found = resolve("BLACK THROATED WARBLER")
    assert (found.rank, found.guessed) == ("genus", True)
    assert set(found.candidates) == {"Setophaga caerulescens", "Setophaga nigrescens", "Setophaga virens"}
    for name in ("RED BILLED WARBLER", "bush-turkeys of the north", "GREEN GREY PARROT WREN"):
        assert resolve(name).rank != "species"


@pytest.mark.parametrize(
    ("name", "genus", "parts"),
    [
        ("Barn Owl", "Tyto", {"Tyto alba", "Tyto furcata", "Tyto javanica"}),
        ("NORTHERN GOSHAWK", "Astur", {"Astur gentilis", "Astur atricapillus"}),
        ("Whimbrel", "Numenius", {"Numenius phaeopus", "Numenius hudsonicus"}),
        ("House Wren", "Troglodytes", {"Troglodytes aedon", "Troglodytes musculus"}),
        ("OSTRICH", "Struthio", {"Struthio camelus", "Struthio molybdophanes"}),
    ],
)
def test_name_of_a_split_species_is_its_genus_with_candidates(name: str, genus: str, parts: set[str]) -> None:
    found = resolve(name)
    assert meaning(name)[:2] == ("genus", genus)
    assert set(found.candidates) == parts


@pytest.mark.parametrize(
    "name",
    ["", "____", "0", "misc", "cat", "new folder", "teddy bear", "n01530575", "n02123045 tabby", "bird", "\udcff"],
)
def test_what_is_no_bird_stays_unresolved(name: str) -> None:
    found = resolve(name)
    assert (found.name, found.rank, found.taxon, found.method, found.confidence) == (
        name,
        None,
        None,
        "unresolved",
        0.0,
    )


def test_classes_of_networks_keep_or_find_their_lineage() -> None:
    worm = "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris"
    assert lineage(worm) == (*worm.split("_")[1:-1], "Lumbricus terrestris")
    assert meaning(worm) == ("species", "Lumbricus terrestris", "exact")
    hawk = "03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter_badius"
    assert lineage(hawk) == lineage("Shikra")
    assert lineage(hawk)[-2:] == ("Tachyspiza", "Tachyspiza badia")
    assert lineage("Animalia_Chordata") == ("Animalia", "Chordata", *[None] * 5)
    assert lineage("n01530575") == (None,) * 7


def test_override_wins_and_an_empty_one_keeps_a_name_unresolved(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("name,species\nGreat Tit,Cyanistes caeruleus\nlooney birds,Common Loon\nOWL,\n")
    overrides = read_overrides(path)
    found = resolve_many(["GREAT TIT", "LOONEY BIRDS", "owl", "Mallard"], overrides=overrides)
    assert [one.taxon.scientific if one.taxon else None for one in found] == [
        *("Cyanistes caeruleus", "Gavia immer", None, "Anas platyrhynchos")
    ]
    assert [one.method for one in found] == ["override", "override", "override", "exact"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("name,species\na,Great Tit\nb,Grat Tit\n", "line 3.*Grat Tit"), ("folder;bird\n", "name,species")],
)
def test_wrong_override_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(InputFileError, match=message):
        read_overrides(tmp_path / "names.csv")


def test_own_tables_name_only_what_avilist_has() -> None:
    known = avilist.world()
    families = dict(avilist.own_table("family_names.csv"))
    assert set(families) == {one.family for one in known.species.values()}
    for name, species in avilist.own_table("former_names.csv"):
        assert avilist.key(name) not in known.english, f"{name} is AviList's own name of another or the same species"
        assert set(species.split(";")) <= set(known.species), name


def test_every_name_of_the_list_is_itself() -> None:
    for name, one in avilist.world().species.items():
        assert resolve(one.english).candidates == (name,)
        assert resolve(name.upper().replace(" ", "_")).candidates == (name,)


def test_importing_birdsearch_reads_no_checklist() -> None:
    code = (
        "import birdsearch, birdsearch.taxonomy.resolve, sys; from birdsearch.taxonomy import avilist; "
        "assert avilist.world.cache_info().currsize == 0 and 'rapidfuzz' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="the shared photos are not here")
def test_folder_names_of_a_real_collection_resolve() -> None:
    found = resolve_many(sorted(folder.name for folder in REAL_PHOTOS.iterdir()))
    assert sum(one.rank == "species" for one in found) >= 250


def test_codes_resolve_in_one_case_and_words_that_are_codes_do_not() -> None:
    for code in ("AMRO", "amro", "amro_2", "TURMIG", "turmig", "amerob"):
        assert resolve(code).candidates == ("Turdus migratorius",), code
    for word in ("home", "HOME", "plan", "oban", "hugo", "list", "Amro", "amrO"):
        assert resolve(word).taxon is None, word
    assert resolve("PLAN").candidates == ("Dysithamnus mentalis",)
