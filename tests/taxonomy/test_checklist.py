"""Checklists and roll-up, with constructed probabilities over class names of both forms."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from birdsearch.errors import InputFileError
from birdsearch.species.prediction import Lineages, lineages, listed, reweighted, rolled_up
from birdsearch.taxonomy.checklist import Checklist, read_checklist
from birdsearch.taxonomy.resolve import RANKS, lineage, resolve_many

LINEAGE_FORM = (
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
    "03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Buteo_buteo",
    "03112_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Buteo_rufinus",
    "03113_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter_badius",
    "03120_Animalia_Chordata_Aves_Strigiformes_Tytonidae_Tyto_alba",
    "03130_Animalia_Chordata_Aves_Passeriformes_Prunellidae_Prunella_modularis",
    "04400_Animalia_Chordata_Mammalia_Carnivora_Felidae_Felis_catus",
    "08000_Plantae_Tracheophyta_Magnoliopsida_Lamiales_Lamiaceae_Prunella_vulgaris",
)
ENGLISH_FORM = ("Common Buzzard", "Long-legged Buzzard", "Shikra", "Barn Owl", "Dunnock")


def of(class_names: tuple[str, ...]) -> Lineages:
    return lineages(lineage(name) for name in class_names)


def some_probabilities(rows: int, classes: int) -> np.ndarray:
    return np.random.default_rng(4).dirichlet(np.full(classes, 0.3), rows)


def test_checklist_takes_scientific_and_english_names_and_tells_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "garden.txt"
    path.write_text("# my garden\nGreat Tit\nTurdus merula  # all year\n\nGull sp.\nnonsense\nParus major,Kohlmeise\n")
    checklist = read_checklist(path)
    assert checklist.species == {"Parus major", "Turdus merula"}
    assert checklist.unresolved == (f"{path}, line 5: Gull sp.", f"{path}, line 6: nonsense")


def test_checklist_knows_old_names_split_species_genera_and_reports_guesses(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\ufeffAccipiter badius\nBarn Owl\nCygnus\nBarn swalow\n", encoding="utf-8")
    checklist = read_checklist([path])
    assert {"Tachyspiza badia", "Tyto alba", "Tyto furcata", "Cygnus olor", "Hirundo rustica"} <= checklist.species
    assert [guess.name for guess in checklist.guesses] == ["Barn swalow"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Great Tit\n" + "a" * 400_000, "line 2: it is 400 kB long"),
        ("x\n" * 100_001, "100,001 lines, but the world has"),
    ],
)
def test_what_is_no_list_of_species_is_told_at_once(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputFileError, match=told):
        read_checklist(tmp_path / "list.txt")


def test_a_checklist_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputFileError, match="not a regular file"):
            read_checklist(path)


def test_several_checklists_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Great Tit\n")
    (tmp_path / "b.txt").write_text("Eurasian Wren\n")
    both = read_checklist([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert both.species == {"Parus major", "Troglodytes troglodytes"}


def test_unreadable_checklist_says_which(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"Gr\x81nfink\n")
    for wrong in (path, tmp_path / "missing.txt"):
        with pytest.raises(InputFileError, match=wrong.name):
            read_checklist(wrong)


@pytest.mark.parametrize("class_names", [LINEAGE_FORM, ENGLISH_FORM])
def test_reweighting_keeps_sums_and_hides_nothing(class_names: tuple[str, ...]) -> None:
    checklist = Checklist(frozenset({"Buteo buteo", "Tyto furcata"}))
    raw = some_probabilities(200, len(class_names)) * np.linspace(0.2, 1, 200)[:, None]  # top-k rows sum to less than 1
    answer = reweighted(raw, resolve_many(class_names), checklist)
    np.testing.assert_allclose(answer.weighted.sum(axis=1), raw.sum(axis=1), rtol=0, atol=2**-52)
    assert (answer.weighted[raw > 0] > 0).all()


def test_reweighting_follows_bayes_rule() -> None:
    classes = resolve_many(["Common Buzzard", "Long-legged Buzzard"])
    answer = reweighted(np.array([[0.2, 0.8]]), classes, Checklist(frozenset({"Buteo buteo"})), outside=0.1)
    np.testing.assert_allclose(answer.weighted, [[0.2 / 0.28, 0.08 / 0.28]])
    assert answer.vagrant.tolist() == [False, True]


def test_only_birds_that_are_not_listed_are_vagrants() -> None:
    checklist = Checklist(frozenset({"Buteo buteo", "Tyto furcata"}))
    answer = reweighted(some_probabilities(1, len(LINEAGE_FORM)), resolve_many(LINEAGE_FORM), checklist)
    flagged = [name.split("_", 6)[-1] for name, out in zip(LINEAGE_FORM, answer.vagrant, strict=True) if out]
    # Tyto alba was Tyto furcata too when the class was named.
    assert flagged == ["Buteo_rufinus", "Accipiter_badius", "Prunella_modularis"]


def test_row_without_probability_stays_as_it_is() -> None:
    answer = reweighted(np.zeros((1, 5)), resolve_many(ENGLISH_FORM), Checklist(frozenset()))
    assert not answer.weighted.any()
    assert reweighted(np.zeros((0, 5)), resolve_many(ENGLISH_FORM), Checklist(frozenset())).weighted.shape == (0, 5)


def test_wrong_shapes_and_priors_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        reweighted(np.ones(5), resolve_many(ENGLISH_FORM), Checklist(frozenset()))
    with pytest.raises(ValueError, match="outside"):
        reweighted(np.ones((1, 5)), resolve_many(ENGLISH_FORM), Checklist(frozenset()), outside=0)
    with pytest.raises(ValueError, match="shape"):
        rolled_up(np.ones(4), of(ENGLISH_FORM), 0.5)


@pytest.mark.parametrize(
    ("probabilities", "rank", "name", "shown"),
    [
        ([0, 0.95, 0.05, 0, 0, 0, 0, 0], "species", "Buteo buteo", "Buteo buteo 0.95"),
        ([0, 0.5, 0.43, 0.07, 0, 0, 0, 0], "genus", "Buteo", "Buteo sp. 0.93"),
        ([0, 0.4, 0.2, 0.4, 0, 0, 0, 0], "family", "Accipitridae", "Accipitridae sp. 1.00"),
        ([0, 0.3, 0.3, 0, 0.4, 0, 0, 0], "class", "Aves", "Aves sp. 1.00"),
        ([0, 0.5, 0, 0, 0, 0, 0.5, 0], "phylum", "Chordata", "Chordata sp. 1.00"),
        ([0.5, 0.5, 0, 0, 0, 0, 0, 0], "kingdom", "Animalia", "Animalia sp. 1.00"),
    ],
)
def test_roll_up_is_the_lowest_sure_rank(probabilities: list[float], rank: str, name: str, shown: str) -> None:
    answer = rolled_up(np.array(probabilities), of(LINEAGE_FORM), 0.9)
    assert answer is not None
    assert (answer.rank, answer.name, answer.shown) == (rank, name, shown)


def test_one_name_in_two_kingdoms_is_two_groups() -> None:
    assert rolled_up(np.array([0, 0, 0, 0, 0, 0.5, 0, 0.5]), of(LINEAGE_FORM), 0.9) is None


def test_roll_up_over_english_names_knows_their_lineage() -> None:
    answer = rolled_up(np.array([0.5, 0.2, 0.3, 0, 0]), of(ENGLISH_FORM), 0.9)
    assert answer is not None
    assert (answer.rank, answer.name, answer.classes.tolist()) == ("family", "Accipitridae", [0, 1, 2])


def test_classes_that_stand_for_no_species_count_in_their_genus_only() -> None:
    assert lineage("Barn Owl")[RANKS.index("genus") :] == ("Tyto", None)
    answer = rolled_up(np.array([0, 0, 0, 1.0, 0]), of(ENGLISH_FORM), 0.9)
    assert answer is not None
    assert (answer.rank, answer.name) == ("genus", "Tyto")


def test_rolled_up_probability_is_the_sum_of_its_classes_over_10000() -> None:
    names = [
        f"{i:05}_Animalia_Phylum{i % 3}_Class{i % 12}_Order{i % 60}_Family{i % 300}_Genus{i % 1500}_species{i}"
        for i in range(10_000)
    ]
    known = lineages(lineage(name) for name in names)
    for row in some_probabilities(20, len(names)):
        for threshold in (0.002, 0.02, 0.3, 0.999):
            answer = rolled_up(row, known, threshold)
            assert answer is not None
            group = known.codes[RANKS.index(answer.rank)]
            assert answer.probability == math.fsum(row[group == group[answer.classes[0]]]) >= threshold


def test_classes_without_lineage_roll_up_to_nothing() -> None:
    assert rolled_up(np.array([0.6, 0.4]), of(("teddy bear", "n01530575")), 0.5) is None


def species_of(tmp_path: Path, text: str) -> tuple[set[str], int]:
    """The species of a checklist, and how many of its lines are unresolved."""
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    checklist = read_checklist(tmp_path / "list.csv")
    return set(checklist.species), len(checklist.unresolved)


def test_an_exact_name_in_any_column_beats_a_guess_in_an_earlier_one(tmp_path: Path) -> None:
    text = "Canard;Anas platyrhynchos\nFaucon;Falco tinnunculus\nBarn swalow;Delichon urbicum\n"
    assert species_of(tmp_path, text) == ({"Anas platyrhynchos", "Falco tinnunculus", "Delichon urbicum"}, 0)


def test_names_of_a_line_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    assert species_of(tmp_path, "Mallard,Anas crecca\nBarn Owl,Tyto alba\n") == ({"Tyto alba"}, 1)


def test_a_checklist_of_windows_is_read_and_noted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "list.txt").write_bytes("Mönchsgrasmücke\n".encode("cp1252"))
    assert read_checklist(tmp_path / "list.txt").species == {"Sylvia atricapilla"}
    assert caplog.text.count("read as text of Windows") == 1


def test_tables_of_ebird_are_read_by_their_headings(tmp_path: Path) -> None:
    text = (
        "Row #,Taxon Order,Category,Common Name,Scientific Name,Count,Location,Date\n"
        "1,1000,species,Eurasian Wren,Troglodytes troglodytes,1,Osprey,2024-05-17\n"
        "2,1001,slash,Greater/Lesser Scaup,Aythya marila/affinis,X,Heron Lake,2024-05-17\n"
        '3,1002,issf,Dark-eyed Junco (Oregon),Junco hyemalis [oreganus Group],1,"Lake, the",2024-05-17\n'
        "4,1003,spuh,gull sp.,Larinae sp.,1,Merlin,2024-05-17\n"
    )
    species, unresolved = species_of(tmp_path, text)
    assert species == {"Troglodytes troglodytes", "Aythya marila", "Aythya affinis", "Junco hyemalis"}
    assert unresolved == 1
    assert species_of(tmp_path, "count;species\n3;Great Tit\n") == ({"Parus major"}, 0)


def test_what_one_has_reported_to_ebird_is_a_checklist(tmp_path: Path) -> None:
    heading = "Submission ID,Common Name,Scientific Name,Count,Location,Date,Observation Details,Checklist Comments"
    rows = (
        'S1,Great Tit,Parus major,2,"Park # 3, north",2024-05-17,"seen # twice, ""singing""","a note\non two, # so"',
        "S1,Mallard (Domestic type),Anas platyrhynchos (Domestic type),X,Osprey,2024-05-17,,",
        "S2,Greater/Lesser Scaup,Aythya marila/affinis,X,Heron Lake,2024-05-18,,",
        "S2,gull sp.,Larinae sp.,X,Merlin,2024-05-18,,",
    )
    lines = [*rows, *("S3,Eurasian Wren,Troglodytes troglodytes,1,Lake,2024-05-19,,",) * 100_001]
    species, unresolved = species_of(tmp_path, "\n".join([heading, *lines, ""]))
    assert species == {
        "Parus major", "Anas platyrhynchos", "Aythya marila", "Aythya affinis", "Troglodytes troglodytes"
    }  # fmt: skip
    assert unresolved == 1


def test_turned_names_and_genera_are_read(tmp_path: Path) -> None:
    species, unresolved = species_of(tmp_path, "Owl, Snowy\nTit, Great\nLimpkin\nApteryx sp.\n")
    assert {"Bubo scandiacus", "Parus major", "Aramus guarauna", "Apteryx australis"} <= species
    assert unresolved == 0


def test_a_quotation_mark_that_swallows_lines_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "birds.csv").write_text('Common name,Place\nBarn Owl,"garden\nEuropean Robin,wood\nOstrich,farm\n')
    with pytest.raises(InputFileError, match=r"birds\.csv, line 2: a quotation mark"):
        read_checklist(tmp_path / "birds.csv")
    (tmp_path / "birds.csv").write_text('Common name,Note\nBarn Owl,"garden\nand wood"\nOstrich,farm\n')
    assert "Tyto alba" in read_checklist(tmp_path / "birds.csv").species


@pytest.mark.parametrize(
    ("line", "species"),
    [
        ("Ostrich", {"Struthio camelus", "Struthio molybdophanes"}),
        ("kookaburras", {"Dacelo novaeguineae"}),
        ("Laridae", {"Larus canus", "Rissa tridactyla"}),
        ("Go Away Bird", {"Crinifer concolor"}),
    ],
)
def test_a_line_that_means_a_group_covers_its_species(tmp_path: Path, line: str, species: set[str]) -> None:
    (tmp_path / "list.txt").write_text(f"Great Tit\n{line}\n")
    checklist = read_checklist(tmp_path / "list.txt")
    assert species < checklist.species
    assert not checklist.unresolved
    assert "Corvus corax" not in checklist.species
    assert not any(map(checklist.lacks, resolve_many([line, *species])))


def test_a_label_that_stands_on_a_line_is_on_the_list_whatever_it_means(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("Great Tit\nGull sp.\nred-headed duck\n")
    checklist = read_checklist(tmp_path / "list.txt")
    lacking = ["GULL_SP", "Red Headed Duck", "Great Tit", "Common Gull", "Wren"]
    assert [checklist.lacks(meaning) for meaning in resolve_many(lacking)] == [False, False, False, True, True]


def test_lines_that_are_left_out_are_all_named_with_what_follows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "list.txt").write_text("Great Tit\n" + "".join(f"nonsense {n}\n" for n in range(5)))
    listed([tmp_path / "list.txt"])
    assert caplog.text.count("nonsense") == 5
    assert "counts as not on the list" in caplog.text
