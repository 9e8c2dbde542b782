"""Temperature scaling: constructed probabilities whose temperature is known, and indexes of a backbone with classes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import birdsearch
from birdsearch import Index
from birdsearch.backbones import Backbone
from birdsearch.backbones.classes import Classes, softmax
from birdsearch.records import Ids, Pixels, Vectors
from birdsearch.species import calibration
from birdsearch.species.calibration import cross_validate, fit_temperature, scaled
from birdsearch.storage.store import Store
from tests.support.fake_backbone import FakeBackbone, classifying


def drawn_at(temperature: float, *, photos: int = 2000, classes: int = 12, seed: int = 0) -> tuple[Vectors, Ids]:
    """Probabilities (n, classes) that this temperature makes right, and the classes (n,) drawn by the right ones."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(scale=2, size=(photos, classes)).astype(np.float32)
    right = softmax(scores).astype(np.float64)
    own = (right.cumsum(axis=1) < draw.uniform(size=(photos, 1)) * right.sum(axis=1, keepdims=True)).sum(axis=1)
    return softmax(scores * np.float32(temperature)).astype(np.float32), own.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 6.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    assert fit_temperature(*drawn_at(temperature)) == pytest.approx(temperature, rel=0.1)


def test_many_classes_are_worked_on_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawn_at(2.0, photos=300)
    whole = fit_temperature(*given)
    monkeypatch.setattr(calibration, "CELLS", 100)
    assert fit_temperature(*given) == pytest.approx(whole, rel=1e-4)


def test_scaling_keeps_order_and_sums() -> None:
    given = drawn_at(3.0, photos=50)[0]
    assert scaled(given, 1.0) == pytest.approx(given, abs=1e-6)
    soft = scaled(given, 3.0)
    assert soft.sum(axis=1) == pytest.approx(np.ones(50))
    assert (soft.argsort(axis=1) == given.argsort(axis=1)).all()
    assert (soft.max(axis=1) < given.max(axis=1)).all()
    with pytest.raises(ValueError, match="above 0"):
        scaled(given, 0.0)


def test_confident_errors_have_a_temperature_too() -> None:
    sure = np.eye(4, dtype=np.float32)[np.arange(60) % 4]
    assert fit_temperature(sure, (np.arange(60) + 1) % 4) == pytest.approx(calibration.MAX_TEMPERATURE, rel=0.01)
    assert fit_temperature(sure, np.arange(60) % 4) < 1
    assert np.isfinite(scaled(sure, 0.05)).all()


def test_a_slight_preference_among_many_classes_is_still_found() -> None:
    flat = np.full((60, 2000), 1, dtype=np.float32)
    flat[np.arange(60), np.arange(60)] = 1.2
    flat /= flat.sum(axis=1, keepdims=True)
    assert fit_temperature(flat, np.arange(60)) == pytest.approx(calibration.MIN_TEMPERATURE, rel=0.01)


def test_arguments_that_do_not_fit() -> None:
    given, own = drawn_at(1.0, photos=5)
    with pytest.raises(ValueError, match="4 classes for probabilities"):
        fit_temperature(given, own[:4])
    with pytest.raises(ValueError, match="0 classes"):
        fit_temperature(given[:0], own[:0])


def test_calibration_of_photos_that_were_not_fitted_on() -> None:
    given, own = drawn_at(3.0)
    found = cross_validate(given, own, np.arange(len(own)))
    assert found.accuracy == (given.argmax(axis=1) == own).mean()
    assert found.error > 0.2
    assert found.error_scaled is not None
    assert found.error_scaled < 0.05
    assert found.temperature == pytest.approx(3.0, rel=0.1)


def test_a_group_is_never_split_between_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    given, _ = drawn_at(2.0, photos=60)
    groups = np.arange(60) // 5  # as many as there are classes: the class tells the group
    fitted_on: list[Ids] = []

    def remember(probabilities: Vectors, own: Ids) -> float:
        fitted_on.append(own)
        return 1.0

    monkeypatch.setattr(calibration, "fit_temperature", remember)
    cross_validate(given, groups, groups)
    assert [len(own) for own in fitted_on[:-1]] != [60] * 5
    for own in fitted_on:
        assert set(np.bincount(own, minlength=12).tolist()) <= {0, 5}
    left_out = [set(range(12)) - set(own.tolist()) for own in fitted_on[:-1]]
    assert sorted(group for fold in left_out for group in fold) == list(range(12))


def test_one_leakage_group_cannot_be_cross_validated() -> None:
    found = cross_validate(*drawn_at(2.0, photos=60), np.zeros(60, dtype=np.int64))
    assert found.error_scaled is None


# Classes and species


def test_classes_that_stand_for_one_species() -> None:
    names = ("great tit", "Wood Sandpiper", "wood sandpiper", "knot", "Willow Tit", "robin", "Red-backed Sandpiper")
    found = calibration.classes_of_species(Classes(names, (None,) * 7, ("ImageNet",) * 7, None))
    assert found == {"Parus major": 0, "Poecile montanus": 4}  # two classes of one species tell nothing
    found = calibration.classes_of_species(Classes(names, (None,) * 7, ("class",) * 7, None))
    assert found["Calidris alpina"] == 6  # a name of an older list


# An index whose backbone is too sure of itself

BIRDS = ("Great Tit", "Emu", "Mallard", "Osprey", "Eurasian Wren", "Sora")
EACH = 14
TOO_SURE = 4.0


def colours(bird: int, number: int) -> Pixels:
    """A photo (64, 64, 3) in the bird's colour, with a pattern of its own."""
    draw = np.random.default_rng([bird, number])
    pattern = draw.integers(0, 90, (8, 8, 1)).repeat(8, axis=0).repeat(8, axis=1)
    colour = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [160, 160, 0], [160, 0, 160], [0, 160, 160]][bird])
    pixels: Pixels = np.clip(pattern + colour, 0, 255).astype(np.uint8)
    return pixels


def everything() -> Vectors:  # (birds, EACH, 16)
    """What the fake sees in every photo."""
    return np.stack([FakeBackbone().embed(np.stack([colours(bird, n) for n in range(EACH)])) for bird in range(6)])


def taught() -> Backbone:
    """A backbone that tells the colours apart, and has hardly a doubt."""
    means = everything().mean(axis=1)
    return classifying(BIRDS, 14 * means, -7 * (means**2).sum(axis=1))


def truth() -> npt.NDArray[np.int64]:  # (birds, EACH)
    """Which bird each photo shows: drawn by what the backbone would say were it not so sure of itself."""
    last = taught().classifier
    assert last is not None
    chances = softmax((everything().reshape(-1, 16) @ last.weights.T + last.bias) / np.float32(TOO_SURE))
    draw = np.random.default_rng(0)
    shown = [draw.choice(6, p=row / row.sum()) for row in chances.astype(np.float64)]
    return np.array(shown, dtype=np.int64).reshape(6, EACH)


def laid(folder: Path, each: int = EACH, names: tuple[str, ...] = BIRDS) -> Path:
    """Photos of every colour, each in the folder of the bird that it shows."""
    shown = truth()
    for bird in range(6):
        for number in range(each):
            name = names[shown[bird, number]]
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(colours(bird, number)).save(folder / name / f"{bird}-{number}.png")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with birdsearch.create(tmp_path / "index", backbone=taught()) as made:
        made.add(laid(tmp_path / "photos"), labels="folder")
        yield made


def test_the_evaluation_measures_the_backbone(index: Index) -> None:
    known = index.evaluate()
    assert known.backbone_photos == 6 * EACH
    right = (truth() == np.arange(6)[:, None]).mean()
    assert known.backbone_accuracy == pytest.approx(right)
    assert known.temperature == pytest.approx(TOO_SURE, rel=0.25)
    assert known.backbone_calibration_error is not None
    assert known.backbone_calibration_error_scaled is not None
    assert known.backbone_calibration_error > 0.2
    assert known.backbone_calibration_error_scaled < 0.7 * known.backbone_calibration_error


def test_calibrated_probabilities_match_accuracy(index: Index) -> None:
    photos, right = index.photos(), (truth() == np.arange(6)[:, None]).mean()
    plain = index.classify_many(photos, 6)
    soft = index.classify_many(photos, 6, calibrate=True)
    for before, after in zip(plain, soft, strict=True):
        assert [one.species for one in after] == [one.species for one in before]
        assert [one.raw for one in after] == pytest.approx([one.probability for one in before])
        assert sum(one.probability for one in after) == pytest.approx(1)
        assert [one.source for one in after] == ["backbone"] * 6
        assert before[0].raw is None
    assert np.mean([answer[0].probability for answer in soft]) == pytest.approx(right, abs=0.05)
    for same in (photos[0], photos[0].path):
        answer = index.classify(same, 1, calibrate=True)[0]
        assert answer.probability == pytest.approx(soft[0][0].probability, abs=1e-3)


def test_a_checklist_weighs_scaled_probabilities(index: Index, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("Emu\nOsprey\n", encoding="utf-8")
    photo = next(photo for photo in index.photos() if photo.path.endswith("0-11.png"))
    weighed = index.classify(photo, 6, calibrate=True, checklist=[tmp_path / "list.txt"])
    soft = {one.species: one.probability for one in index.classify(photo, 6, calibrate=True)}
    raw = {one.species: one.probability for one in index.classify(photo, 6)}
    prior = {name: soft[name] * (1 if name in ("Emu", "Osprey") else 0.01) for name in BIRDS}
    for one in weighed:
        assert one.species is not None
        assert one.probability == pytest.approx(prior[one.species] / sum(prior.values()), rel=1e-4)
        assert one.raw == pytest.approx(raw[one.species])
    sure = index.classify(photo, 6, calibrate=True, roll_up=0.9)
    assert sure[0].position == 0  # no species is so probable any more
    assert index.classify(photo, 6, roll_up=0.9)[0].position == 1


def test_photos_of_one_burst_are_scaled_together(index: Index) -> None:
    photos = index.photos()[:3]
    together = index.classify_many(photos, 6, burst=True)[0]
    soft = index.classify_many(photos, 6, burst=True, calibrate=True)
    assert soft[0] == soft[1] == soft[2]
    assert [one.raw for one in soft[0]] == pytest.approx([one.probability for one in together])


def test_neighbours_are_calibrated_already(index: Index) -> None:
    with pytest.raises(ValueError, match="calibrated already"):
        index.classify(index.photo(1), source="neighbours", calibrate=True)


def test_a_temperature_follows_the_labels(index: Index) -> None:
    before = index.classify(index.photo(1), 1, calibrate=True)[0]
    index.label({photo.id or 0: BIRDS[int(Path(photo.path).name[0])] for photo in index.photos()})
    after = index.classify(index.photo(1), 1, calibrate=True)[0]
    assert after.probability > before.probability + 0.1
    assert after.raw == before.raw


def test_a_temperature_is_fitted_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    first = index.classify(index.photo(1), calibrate=True)
    monkeypatch.setattr(calibration, "fit_temperature", None)
    assert index.classify(index.photo(1), calibrate=True) == first


def test_labels_count_as_they_are_understood(tmp_path: Path) -> None:
    names = ("my tits", "Mallards", "OSPRAY", "Great Tit", "Eurasian Wren", "Sora")
    with birdsearch.create(tmp_path / "index", backbone=taught()) as index:
        index.add(laid(tmp_path / "photos", names=names), labels="folder")
        counts = np.bincount(truth().ravel())
        assert index.evaluate().backbone_photos == counts.sum() - counts[0]  # "my tits" is nobody's name
        (tmp_path / "said.csv").write_text("name,species\nmy tits,Great Tit\nOSPRAY,\nSora,\n", encoding="utf-8")
        index.set_names(tmp_path / "said.csv")
        assert index.evaluate().backbone_photos == counts.sum() - counts[2] - counts[5]


@pytest.mark.parametrize(
    ("each", "names", "words"),
    [
        (8, BIRDS, "48 photos of 6 species"),
        (EACH, ("Emu", "Sora", "Emu", "Sora", "Emu", "Mallard"), "84 photos of 3 species"),
        (EACH, ("a", "b", "c", "d", "e", "f"), "0 photos of 0 species"),
    ],
)
def test_too_few_labels_give_no_temperature(
    each: int, names: tuple[str, ...], words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with birdsearch.create(tmp_path / "index", backbone=taught()) as index:
        index.add(laid(tmp_path / "photos", each, names), labels="folder")
        photos = index.photos()[:4]
        assert index.classify_many(photos, calibrate=True) == index.classify_many(photos)
        (message,) = [record.getMessage() for record in caplog.records]
        assert f"not calibrated: {words} have a label that is a class of the backbone" in message
        assert "Label more photos" in message
        known = index.evaluate()
        assert known.temperature is known.backbone_calibration_error_scaled is None
        assert known.backbone_photos == (int(words.split()[0]) or None)
        assert (known.backbone_accuracy is None) == (known.backbone_photos is None)


def test_no_more_probabilities_are_computed_than_photos_are_drawn(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MAX_PHOTOS", 20)
    monkeypatch.setattr(calibration, "BLOCK", 8)
    computed: list[int] = []
    plain = Classes.probabilities

    def counted(self: Classes, vectors: Vectors, norms: Vectors) -> Vectors:
        computed.append(len(vectors))
        return plain(self, vectors, norms)

    monkeypatch.setattr(Classes, "probabilities", counted)
    assert index.evaluate().backbone_photos == 20
    assert computed == [8, 8, 4]


def test_backbones_without_probabilities_of_stored_vectors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(laid(tmp_path / "photos", 4), labels="folder")
        known = index.evaluate()
        assert known.photos
        assert known.backbone_photos is known.backbone_accuracy is known.temperature is None
        classes = Classes(BIRDS, BIRDS, ("species",) * 6, None)
    with closing(Store.open(tmp_path / "index")) as store:
        assert calibration.temperature(store, classes) is None
        assert "cannot be computed from stored vectors" in caplog.text
