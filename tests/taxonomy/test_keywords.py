"""Keywords: those that name a species for certain, and those that a person has to look at, or mean no bird."""

import pytest

from birdsearch.taxonomy.resolve import name_in, resolve, species_of_keyword

# Keywords of people who photograph not only birds: what they did, where, with whom, with what, and groups of birds.
NO_BIRD = """flickr; Canon EOS R5; Nikon; 500mm; f/5.6; macro; bokeh; black and white; HDR; Lightroom; LEGO;
Blue; red; grey; sunset; blue hour; snow; winter; Frühling; hiver; invierno; Star; Milan; Paris;
Turkey; Jordan; Cape May; Bodensee; Camargue; Doñana; Peter Martin; Robin; Jay; Phoebe; Paloma;
Drake; Taylor Swift; Florence Nightingale; Jack Sparrow; Gulls; Tits; Ducks; Birds; Vogel; oiseau;
Paridae; Passeriformes; Parus; raptor; nest; in flight; female; juvenile; portrait; wildlife; best
of; 5 stars; family; hobby; Crane; Swift; Kite; kite surfing; rail; Canary Islands; Baltimore
Ravens; Topaz Labs; Penguin Books; Emerald; MALL; KILL; Redhead"""
# ...of which these are called as a species is: nobody can tell.
BIRD_OR_NOT = "Merlin; Ruff; Rook; Dunlin; Sora; Limpkin; Osprey"
BIRDS = {
    "Eurasian Blue Tit": "Cyanistes caeruleus",
    "Cyanistes caeruleus": "Cyanistes caeruleus",
    "Parus caeruleus": "Cyanistes caeruleus",
    "great tit": "Parus major",
    "Great-tit": "Parus major",
    "Parus major major": "Parus major",
    "taxonomy:binomial=Parus major": "Parus major",
    'taxonomy:common="Great Tit"': "Parus major",
    "dwc:scientificName=Parus major": "Parus major",
    "Wren (Troglodytes troglodytes)": "Troglodytes troglodytes",
    "Common Blackbird Turdus merula": "Turdus merula",
    "Parus major (Linnaeus, 1758)": "Parus major",
    "Amsel": "Turdus merula",
    "Kohlmeise": "Parus major",
    "Mésange bleue": "Cyanistes caeruleus",
    "Petirrojo europeo": "Erithacus rubecula",
    "Koolmees": "Parus major",
    "Zaunkönig": "Troglodytes troglodytes",
}
FOR_A_PERSON = "Blue Tit; Wren; Kestrel; Magpie; Herring Gull; Buzzard; Barn Owl; AMRO; Great tits; Star; Redhead"


def listed(text: str) -> list[str]:
    return [word.strip() for word in text.replace("\n", " ").split(";")]


def species(keyword: str) -> str | None:
    meaning = species_of_keyword(name_in(keyword))
    return None if meaning is None or meaning.taxon is None else meaning.taxon.scientific


def test_no_keyword_that_means_no_bird_gives_a_species() -> None:
    assert [word for word in listed(NO_BIRD) if species(word)] == []


def test_a_keyword_that_is_called_as_a_species_names_it() -> None:
    assert all(map(species, listed(BIRD_OR_NOT)))


@pytest.mark.parametrize(("keyword", "meant"), BIRDS.items())
def test_names_of_every_kind(keyword: str, meant: str) -> None:
    assert species(keyword) == meant


def test_what_a_person_has_to_look_at_names_none_but_may_mean_one() -> None:
    for word in listed(FOR_A_PERSON):
        assert species(word) is None, word
        assert resolve(word).taxon is not None, word


@pytest.mark.parametrize(
    "keyword",
    ["Merlin (app)", "Great Tit, Bristol", "Chloris barbata", "Morus alba", "Robin x Wren", "Larus sp.", "", "="],
)
def test_other_words_beside_a_name_and_names_of_plants_give_no_species(keyword: str) -> None:
    assert species(keyword) is None
