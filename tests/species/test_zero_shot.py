"""Species by their names alone: the words for them, compared with photos."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Index
from birdsearch.backbones.text import OwnTexts
from birdsearch.cache import cache_folder
from birdsearch.errors import BackboneUnavailableError
from birdsearch.species import zero_shot
from birdsearch.taxonomy.avilist import world
from tests.conftest import Garden
from tests.support.colours import Colours

SPECIES = {
    "Red Crossbill": ("Loxia curvirostra", (220, 20, 30)),
    "Eurasian Blue Tit": ("Cyanistes caeruleus", (30, 20, 220)),
    "European Green Woodpecker": ("Picus viridis", (20, 200, 40)),
}


@pytest.fixture
def checklist(tmp_path: Path) -> Path:
    """A list of three birds with a colour in their name."""
    path = tmp_path / "list.txt"
    path.write_text("\n".join(SPECIES), encoding="utf-8")
    return path


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """A photo of each colour."""
    for english, (_, shade) in SPECIES.items():
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), shade).save(tmp_path / "photos" / f"{english}.png")
    with birdsearch.create(tmp_path / "index", backbone=Colours()) as made:
        made.add(tmp_path / "photos")
        yield made


def test_a_photo_is_named_by_the_words_for_it(index: Index, checklist: Path) -> None:
    for photo in index.photos():
        answer = index.classify(photo, k=3, source="names", checklist=[checklist])
        assert answer[0].species == SPECIES[Path(photo.path).stem][0]
        assert {one.source for one in answer} == {"names"}
        assert [one.position for one in answer] == [1, 2, 3]
        assert {one.rank for one in answer} == {"species"}
        assert sum(one.probability for one in answer) == pytest.approx(1.0, abs=1e-5)
    assert {photo.species for photo in index.photos()} == {None}
    assert index.photo(1).predictions == ()


def test_without_a_list_all_of_avilist_is_asked(index: Index, checklist: Path) -> None:
    answer = index.classify(index.photo(1), k=20_000, source="names")
    assert len(answer) == len(world().species)
    listed = index.classify_many(index.photos(), k=1, source="names", checklist=[checklist])
    assert [one[0].class_name for one in listed] == [SPECIES[Path(photo.path).stem][0] for photo in index.photos()]


def test_names_roll_up_and_are_calibrated_as_others(index: Index, checklist: Path) -> None:
    (first, *_) = index.classify(index.photo(1), k=1, source="names", roll_up=1.0)
    assert (first.position, first.source) == (0, "rolled up")
    with pytest.raises(ValueError, match="source"):
        index.classify(index.photo(1), source="words")


def test_calibration_fits_the_labels(tmp_path: Path) -> None:
    """Labels that the words often miss make the probabilities less sure."""
    rng = np.random.default_rng(1)
    photos, birds = tmp_path / "photos", list(world().species.values())
    coloured = [next(one for one in birds if word in one.english.split()) for word in ("Red", "Green", "Blue", "White")]
    coloured.append(next(one for one in birds if "Yellow" in one.english.split()))
    for number in range(60):
        label = coloured[number % 5].english
        (photos / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), tuple(rng.integers(0, 256, 3).tolist())).save(photos / label / f"{number}.png")
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(one.scientific for one in coloured), encoding="utf-8")
    with birdsearch.create(tmp_path / "index", backbone=Colours()) as index:
        index.add(photos, labels="folder")
        asked = index.photos(limit=20)
        sure = index.classify_many(asked, 1, source="names", checklist=[listing])
        fitted = index.classify_many(asked, 1, source="names", checklist=[listing], calibrate=True)
    assert [one[0].species for one in sure] == [one[0].species for one in fitted]
    assert np.mean([one[0].probability for one in fitted]) < np.mean([one[0].probability for one in sure])
    assert all(one[0].raw == pytest.approx(other[0].probability) for one, other in zip(fitted, sure, strict=True))


def test_names_are_embedded_once(index: Index, checklist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnTexts, "key", f"colours-{index.path.name}-{id(index)}")
    index.classify(index.photo(1), source="names", checklist=[checklist])
    first = index.classify(index.photo(1), k=20_000, source="names")
    again = Colours()
    with birdsearch.open(index.path, backbone=again) as later:
        found = later.classify(later.photo(1), k=20_000, source="names")
        assert later.classify(later.photo(1), k=1, source="names", checklist=[checklist])[0].species is not None
        other = checklist.with_name("other.txt")
        other.write_text("Loxia curvirostra\nCorvus corax\n", encoding="utf-8")
        assert later.classify(later.photo(1), k=2, source="names", checklist=[other])[0].species is not None
    assert again.texts == []
    assert found == first


def test_a_damaged_cache_of_names_is_made_again(index: Index, checklist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnTexts, "key", f"damaged-{id(index)}")
    index.classify(index.photo(1), source="names", checklist=[checklist])
    (file,) = Path(cache_folder(), "text/names").glob(f"damaged-{id(index)}-*.npz")
    file.write_bytes(b"nonsense")
    again = Colours()
    with birdsearch.open(index.path, backbone=again) as later:
        later.classify(later.photo(1), source="names", checklist=[checklist])
    assert len(again.texts) == 3 * len(zero_shot.TEMPLATES)


def test_a_full_disk_costs_no_answer(index: Index, checklist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OwnTexts, "key", f"full-{id(index)}")
    monkeypatch.setattr(zero_shot, "atomic_write", full)
    assert index.classify(index.photo(1), source="names", checklist=[checklist])


def test_an_index_that_knows_no_words_says_so(garden: Garden) -> None:
    with birdsearch.open(garden.index) as index, pytest.raises(BackboneUnavailableError, match="bioclip-v2"):
        index.classify(index.photo(1), source="names")


def test_prompts_name_a_species_both_ways() -> None:
    assert zero_shot.prompts("Picus viridis") == [
        "a photo of European Green Woodpecker.",
        "a photo of Picus viridis.",
        "a photo of Picus viridis with common name European Green Woodpecker.",
    ]
