"""Species in a real index of drawn photos: classification by the labelled ones, corrections, and scarce input."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import birdsearch
from birdsearch import Filter, Index, memory
from birdsearch.backbones.classes import Classes
from birdsearch.errors import InputFileError, MemoryNeededError
from birdsearch.species import prediction
from birdsearch.species.gallery import Gallery
from birdsearch.species.prediction import ClassifyOptions
from birdsearch.storage.catalog.catalog import PhotoSummary
from birdsearch.storage.store import Store
from tests.support.fake_backbone import FakeBackbone
from tests.support.painting import samples


def drawn(folder: Path, species: dict[str, int], *, same: bool = False) -> Path:
    """Photos of so many of each species, each in a folder of its name."""
    for number, (name, count) in enumerate(species.items()):
        (folder / name).mkdir(parents=True)
        for variant in range(count):
            pixels = samples.cached_picture(samples.SPECIES[0 if same else number % 6], 0 if same else variant)
            Image.fromarray(pixels).save(folder / name / f"{variant}.png")
    return folder


def indexed(
    place: Path,
    species: dict[str, int],
    *,
    labels: str = "folder",
    same: bool = False,
    backbone: FakeBackbone | None = None,
) -> Index:
    made = birdsearch.create(place / "index", backbone=backbone)
    made.add(drawn(place / "photos", species, same=same), labels=labels)
    return made


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with indexed(tmp_path, {"Wren": 5, "Bee-eater": 5, "Robin": 5, "Owl's": 5}) as made:
        yield made


def test_labelled_photos_are_a_classifier(index: Index) -> None:
    photos = index.photos()
    right = 0
    for photo, answer in zip(photos, index.classify_many(photos, 4, source="neighbours"), strict=True):
        first = next(one for one in answer if one.position == 1)
        assert first.source == "neighbours"
        assert photo.id not in first.evidence
        assert first.evidence
        right += first.species == photo.label
    assert right >= 16
    answer = [one for one in index.classify(photos[0], 4, source="neighbours") if one.position]
    assert sum(one.probability for one in answer) == pytest.approx(1, abs=1e-5)


def test_a_gallery_is_loaded_once_until_something_changes(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], Gallery.load

    def counted(store: Store, where: Filter | None = None) -> Gallery:
        loaded.append(where)
        return load(store, where)

    monkeypatch.setattr(Gallery, "load", counted)
    photos = index.photos()
    for photo in photos[:3]:
        index.classify(photo, source="neighbours")
    index.map([photo.id for photo in photos if photo.id is not None])
    assert len(loaded) == 1
    # Commits of another process count too.
    with birdsearch.open(index.path, backbone=index.backbone) as other:
        other.label({photo.id: "Dipper" for photo in photos[:3] if photo.id is not None})
    answer = index.classify(photos[0], source="neighbours")
    assert "Dipper" in {one.species for one in answer}
    assert len(loaded) == 2


class SlowlyCompared(Filter):
    """A filter that leaves time for another thread to come in between, whenever it is compared."""

    def __eq__(self, other: object) -> bool:
        time.sleep(0.05)
        return super().__eq__(other)

    __hash__ = Filter.__hash__


def test_two_threads_with_different_filters_get_their_own_photos(index: Index) -> None:
    species = sorted({photo.label for photo in index.photos() if photo.label})[:2]
    start = threading.Barrier(2)

    def shown(name: str) -> list[set[str]]:
        start.wait()
        reports = [index.species_report(SlowlyCompared(species=name)) for _ in range(6)]
        return [{entry.species for entry in report.species} for report in reports]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(shown, species))
    assert answers == [[{name}] * 6 for name in species]


def test_a_photo_given_by_its_path_is_not_compared_with_itself(index: Index) -> None:
    photos = index.photos()[::4]
    answers = index.classify_many([photo.path for photo in photos], 4, source="neighbours")
    for photo, answer in zip(photos, answers, strict=True):
        first = next(one for one in answer if one.position == 1)
        assert photo.id not in first.evidence


def test_photos_of_one_burst_get_one_answer(index: Index) -> None:
    photos = index.photos()[:3]
    alone = index.classify_many(photos, 4, source="neighbours")
    together = index.classify_many(photos, 4, source="neighbours", burst=True)
    ranked = [[(one.species, one.probability) for one in answer if one.position] for answer in together]
    assert ranked[0] == ranked[1] == ranked[2]
    assert any([(one.species, one.probability) for one in answer if one.position] != ranked[0] for answer in alone)


def test_clusters_species_and_evaluation_of_drawn_birds(index: Index) -> None:
    report = index.clusters()
    assert sorted(photo_id for cluster in report.clusters for photo_id in cluster.photos) == list(range(1, 21))
    assert index.clusters().clusters == report.clusters
    assert set(report.agreement) >= {"ami", "ari", "homogeneity", "purity"}
    assert len(index.clusters(method="kmeans", clusters=3).clusters) == 3
    assert sum(len(cluster.photos) for cluster in index.clusters(only_species="Wren").clusters) == 5
    species = index.species_report()
    assert [entry.species for entry in species.species] == ["Bee-eater", "Owl's", "Robin", "Wren"]
    evaluation = index.evaluate()
    assert evaluation.photos == 20
    assert evaluation.recall_at_1 is not None
    assert evaluation.recall_at_1 > 0.7
    assert set(evaluation.per_species) == {"Bee-eater", "Owl's", "Robin", "Wren"}
    assert index.map([3, 1]).shape == (2, 2)


SCARCE: dict[str, dict[str, int]] = {
    "no photo": {},
    "one photo": {"Wren": 1},
    "two photos": {"Wren": 1, "Robin": 1},
    "one species": {"Wren": 6},
    "one photo each": {"Wren": 1, "Robin": 1, "Owl": 1, "Tit": 1},
    "odd characters": {"Grünfink 🐦": 3, "a'b\"c;d,e\n": 3},
}


@pytest.mark.parametrize("case", SCARCE)
@pytest.mark.parametrize("labels", ["folder", "none"])
@pytest.mark.parametrize("same", [False, True])
def test_scarce_input(case: str, labels: str, same: bool, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with indexed(tmp_path, SCARCE[case], labels=labels, same=same, backbone=FakeBackbone()) as index:
        count = sum(SCARCE[case].values())
        assert len(index) == count
        assert sum(len(cluster.photos) for cluster in index.clusters().clusters) == count
        assert sum(len(cluster.photos) for cluster in index.clusters(method="kmeans").clusters) == count
        named = len(SCARCE[case]) if labels == "folder" else 0
        assert len(index.species_report().species) == named
        index.evaluate()
        assert index.map([photo.id or 0 for photo in index.photos()]).shape == (count, 2)
        for photo in index.photos()[:2]:
            answer = index.classify(photo, 3, source="neighbours")
            assert all(0 <= one.probability <= 1 for one in answer)


LINEAGES = (
    "00001_Animalia_Chordata_Aves_Charadriiformes_Laridae_Larus_fuscus",
    "00002_Animalia_Chordata_Aves_Charadriiformes_Laridae_Larus_canus",
    "00003_Animalia_Chordata_Aves_Passeriformes_Troglodytidae_Troglodytes_troglodytes",
    "00004_Animalia_Chordata_Mammalia_Carnivora_Canidae_Vulpes_vulpes",
)
SPECIES = ("Larus fuscus", "Larus canus", "Troglodytes troglodytes", "Vulpes vulpes")


def test_a_checklist_weighs_and_hides_nothing(tmp_path: Path) -> None:
    classes = Classes(LINEAGES, SPECIES, ("species",) * 4, None)
    given = np.array([[0.3, 0.5, 0.15, 0.05]], dtype=np.float32)
    (tmp_path / "list.txt").write_text("Lesser Black-backed Gull\nTroglodytes troglodytes\n", encoding="utf-8")
    answer = prediction.by_classes(classes, given, ClassifyOptions(4, checklist=[tmp_path / "list.txt"]))[0]
    assert [one.species for one in answer] == [
        "Larus fuscus",
        "Troglodytes troglodytes",
        "Vulpes vulpes",
        SPECIES[1],
    ]
    assert sum(one.probability for one in answer) == pytest.approx(1)
    assert [one.note for one in answer] == ["", "", "", "possible vagrant: not on the checklist"]
    assert answer[3].raw == pytest.approx(0.5)
    plain = prediction.by_classes(classes, given, ClassifyOptions(1))[0]
    assert (plain[0].species, plain[0].raw) == ("Larus canus", None)


def test_the_lowest_rank_that_is_sure_enough() -> None:
    classes = Classes(LINEAGES, SPECIES, ("species",) * 4, None)
    given = np.array([[0.45, 0.5, 0.04, 0.01], [0.97, 0.01, 0.01, 0.01]], dtype=np.float32)
    unsure, sure = prediction.by_classes(classes, given, ClassifyOptions(2, roll_up=0.9))
    assert (unsure[0].position, unsure[0].rank, unsure[0].species) == (0, "genus", None)
    assert unsure[0].probability == pytest.approx(0.95)
    assert unsure[1].species == "Larus canus"
    assert sure[0].species == "Larus fuscus"


def test_a_vagrant_is_listed_however_improbable_it_is(tmp_path: Path) -> None:
    classes = Classes(LINEAGES, SPECIES, ("species",) * 4, None)
    (tmp_path / "list.txt").write_text("Lesser Black-backed Gull\nTroglodytes troglodytes\n", encoding="utf-8")
    given = np.array([[0.1, 0.6, 0.2, 0.1]], dtype=np.float32)
    answer = prediction.by_classes(classes, given, ClassifyOptions(2, checklist=[tmp_path / "list.txt"]))[0]
    assert [one.species for one in answer] == ["Troglodytes troglodytes", "Larus fuscus", "Larus canus"]
    assert answer[2].note.startswith("possible vagrant")
    (tmp_path / "wrong.txt").write_text("no bird at all\n", encoding="utf-8")
    with pytest.raises(InputFileError, match="names a species"):
        prediction.by_classes(classes, given, ClassifyOptions(2, checklist=[tmp_path / "wrong.txt"]))


def test_photos_of_one_burst_are_not_compared(index: Index) -> None:
    photos = index.photos()[:3]
    for answer in index.classify_many(photos, 4, source="neighbours", burst=True):
        assert not {photo.id for photo in photos} & {evidence for one in answer for evidence in one.evidence}


def test_photos_of_the_same_bytes_are_one_group_whatever_else_is_known_of_them() -> None:
    contents = ["aa", "bb", "aa", "", ""]
    known = ("Wren", "Wren", None, None, None, None, None, None)  # no date, no camera, no hash
    photos = [PhotoSummary(number, number, content, *known) for number, content in enumerate(contents)]
    gallery = Gallery(tuple(photos), np.eye(5, dtype=np.float32), None)
    assert gallery.same_bytes == [(0, 2)]
    assert gallery.groups.tolist() == [0, 1, 0, 2, 3]


def test_labels_of_one_taxon_are_one_species_in_every_analysis(tmp_path: Path) -> None:
    wrens = {"Eurasian Wren": 2, "TROGLODYTES_TROGLODYTES": 3, "Zaunko\u0308nig": 2}
    with indexed(tmp_path, wrens | {"Mallard": 4, "Mallrd": 1, "pip": 1}) as index:
        # Called by its commonest label; "Mallrd" would be a guess.
        counts = {"TROGLODYTES_TROGLODYTES": 7, "Mallard": 4, "Mallrd": 1, "pip": 1}
        assert {name: figures.photos for name, figures in index.evaluate().per_species.items()} == counts
        assert {species.species: species.photos for species in index.species_report().species} == counts
        assert {name: sum(split.values()) for name, split in index.split().per_species.items()} == counts
        # A list of species counts a guess as what it is guessed to be, and says so.
        listed = {entry.name: entry.photos for entry in index.life_list().entries}
        assert listed == {"TROGLODYTES_TROGLODYTES": 7, "Mallard": 5, "pip": 1}
        assert index.life_list().guesses == ("Mallrd",)
        (tmp_path / "names.csv").write_text("name,species\npip,Mallard\n")
        index.set_names(tmp_path / "names.csv")
        assert index.evaluate().per_species["Mallard"].photos == 5


def test_photos_that_do_not_fit_into_memory_are_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed(tmp_path, {"Wren": 6, "Robin": 4}) as index:
        monkeypatch.setattr(memory, "available", lambda: 50_000)
        for ask in (index.clusters, index.audit, index.evaluate, index.species_report, index.life_list):
            with pytest.raises(MemoryNeededError, match=r"10 photos at once need more than .* --sample 1 "):
                ask()
        assert sum(len(cluster.photos) for cluster in index.clusters(Filter(sample=4)).clusters) == 4
        index.species_report(sample := Filter(sample=5))
        monkeypatch.setattr(memory, "available", lambda: 39_000)
        for ask in (index.audit, index.evaluate):  # which weigh more of each photo than is kept of it
            with pytest.raises(MemoryNeededError, match="5 photos at once need more than"):
                ask(sample)


def test_a_sample_takes_some_of_each_species_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with indexed(tmp_path, {"Wren": 6, "Robin": 4, "Magpie": 1}) as index:
        report = index.species_report(Filter(sample=5))
        assert {entry.species: entry.photos for entry in report.species} == {"Wren": 2, "Robin": 2, "Magpie": 1}
        assert "a sample: 5 photos, drawn evenly over the species" in caplog.text
        drawn = {photo.id for photo in index.photos(Filter(sample=5))}
        assert drawn < {photo.id for photo in index.photos(Filter(sample=8))}
        assert len(index.photos(Filter(sample=99))) == 11
        assert len(index.photos(Filter(sample=2, species="Wren"))) == 2
        assert index.count(Filter(none_of=[Filter(sample=5)])) == 6
