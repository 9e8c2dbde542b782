"""Class names and the species they mean."""

import subprocess
import sys

import pytest

from birdsearch.taxonomy import species_of_class


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
    ("class_name", "level"),
    [
        ("03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter", "genus"),
        ("Animalia_Chordata_Aves_Accipitriformes_Accipitridae", "family"),
        ("Animalia", "kingdom"),
    ],
)
def test_shorter_lineage_is_no_species(class_name: str, level: str) -> None:
    assert species_of_class(class_name) == (None, level)


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
        "import sys; from birdsearch.taxonomy import species_of_class as s; assert s('Great Tit')[0]; "
        "assert not {'pandas', 'birdnames', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
