"""The audit: wrong labels first, with reasons and a better name, cross-validated."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdsearch import Filter, Index
from birdsearch.records import AuditReport, Ids, Label, Photo, Suspect, Vectors
from birdsearch.species import audit as module
from birdsearch.species.audit import Evidence, off_list
from birdsearch.storage.store import Store
from birdsearch.taxonomy.checklist import Checklist
from tests.conftest import write_garden_photos


def drawn(species: int = 20, photos: int = 6, noise: float = 0.8, dim: int = 32) -> tuple[Vectors, list[str | None]]:
    """Unit vectors (n, dim) of photos around the centres of their species, and their labels (n,)."""
    draw = np.random.default_rng(5)
    own = np.repeat(np.arange(species), photos)
    rows = draw.normal(size=(species, dim))[own] + noise * draw.normal(size=(len(own), dim))
    unit = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
    return unit, [f"species {number:02d}" for number in own]


def numbers(count: int) -> Ids:
    """Ids that are not rows."""
    return np.arange(count, dtype=np.int64) * 3 + 100


def audit(
    vectors: Vectors,
    labels: Sequence[str | None],
    ids: Ids,
    *,
    groups: Ids | None = None,
    near_identical: Collection[tuple[int, int]] = (),
    class_probabilities: Sequence[Mapping[str, float]] | None = None,
    outside: Collection[str] = (),
) -> AuditReport:
    """The audit of photos that have nothing but an id."""
    evidence = Evidence(groups, near_identical, class_probabilities, outside)
    return module.audit(vectors, labels, ids, lambda some: {i: Photo(i, f"/{i}.jpg") for i in some}, evidence)


def suspect_of(report: AuditReport, photo: int) -> Suspect | None:
    """The suspect of a photo's id."""
    return next((suspect for suspect in report.suspects if suspect.photo.id == photo), None)


def test_wrong_labels_come_first_with_reasons_and_the_right_name() -> None:
    vectors, labels = drawn()
    wrong = {3: "species 07", 40: "species 00", 77: "species 19"}
    report = audit(vectors, [wrong.get(row, label) for row, label in enumerate(labels)], ids := numbers(len(labels)))
    assert {suspect.photo.id for suspect in report.suspects[:3]} == {int(ids[row]) for row in wrong}
    assert report.photos == len(labels)
    for row, name in wrong.items():
        suspect = suspect_of(report, int(ids[row]))
        assert suspect is not None
        assert (suspect.label, suspect.proposed) == (name, labels[row])
        assert suspect.doubt > 0.1
        assert any(reason.startswith("classifier disagrees") for reason in suspect.reasons)
        assert any(reason.startswith("neighbours disagree") for reason in suspect.reasons)
        shown = {labels[int(np.flatnonzero(ids == photo)[0])] for photo in suspect.evidence}
        assert labels[row] in shown
        assert suspect.photo.id not in suspect.evidence
    scores = [suspect.doubt for suspect in report.suspects]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_clean_labels_are_not_doubted() -> None:
    vectors, labels = drawn(noise=0.4)
    assert audit(vectors, labels, numbers(len(labels))).suspects == ()


def test_random_labels_are_little_doubted() -> None:
    vectors, labels = drawn()
    mixed = [labels[row] for row in np.random.default_rng(2).permutation(len(labels))]
    report = audit(vectors, mixed, numbers(len(labels)))
    assert np.mean([suspect.doubt for suspect in report.suspects]) < 0.5


def test_a_burst_outvotes_one_of_its_photos() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    groups = np.full(len(labels), -1)
    groups[:4] = 5
    alone, burst = (audit(vectors, labels, numbers(len(labels)), groups=some) for some in (None, groups))
    before, after = suspect_of(alone, 100), suspect_of(burst, 100)
    assert before is not None
    assert after is not None
    assert after.doubt > before.doubt
    assert after.reasons[0] == "burst disagrees: 3 of 3 others show species 00"
    assert after.proposed == "species 00"
    assert set(after.evidence[:3]) == {103, 106, 109}
    assert after.doubt <= 1


def test_a_copy_in_the_same_burst_counts_once() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    groups = np.full(len(labels), -1)
    groups[:3] = 5
    suspect = suspect_of(audit(vectors, labels, numbers(len(labels)), groups=groups, near_identical=[(100, 103)]), 100)
    assert suspect is not None
    assert suspect.reasons[:2] == (
        "near-identical photo with another label: 1 of 1 other shows species 00",
        "burst disagrees: 1 of 1 other shows species 00",
    )


def test_the_checklist_adds_to_a_doubt() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    plain, outside = (audit(vectors, labels, numbers(len(labels)), outside=some) for some in ((), {"species 09"}))
    assert plain.suspects[0].photo.id == outside.suspects[0].photo.id == 100
    assert plain.suspects[0].doubt < outside.suspects[0].doubt < 1


def test_photos_outside_any_burst_are_compared() -> None:
    vectors, labels = drawn()
    assert audit(vectors, labels, numbers(len(labels)), groups=np.full(len(labels), -1)).photos == len(labels)


def test_the_same_picture_under_two_names() -> None:
    vectors, labels = drawn()
    copied = np.concatenate([vectors, vectors[:1]])
    report = audit(copied, [*labels, "species 11"], numbers(len(copied)), near_identical=[(100, 460), (100, 9999)])
    wrong, right = suspect_of(report, 460), suspect_of(report, 100)
    assert wrong is not None
    assert right is not None
    assert 1 >= wrong.doubt > 0.5 > right.doubt
    assert wrong.proposed == "species 00"
    assert right.proposed is None  # the classifier is for its label
    assert wrong.reasons[0] == "near-identical photo with another label: 1 of 1 other shows species 00"
    assert wrong.evidence[0] == 100


def test_copies_are_not_compared() -> None:
    vectors, labels = drawn(species=8, photos=6)
    # A wrong label, and a copy of the same picture with the same wrong label.
    copied = np.concatenate([vectors, vectors[:1]])
    names = ["species 05", *labels[1:], "species 05"]
    ids = numbers(len(copied))
    tied = audit(copied, names, ids, near_identical=[(100, int(ids[-1]))])
    assert {suspect.photo.id for suspect in tied.suspects[:2]} == {100, int(ids[-1])}
    free, bound = suspect_of(audit(copied, names, ids), 100), tied.suspects[0]
    assert free is None or free.doubt < bound.doubt / 2


def test_the_only_photo_of_a_species_is_not_doubted_for_that() -> None:
    vectors, labels = drawn()
    labels[0] = "a rarity"
    report = audit(vectors, labels, numbers(len(labels)), outside={"a rarity"})
    suspect = suspect_of(report, 100)
    assert report.photos == len(labels) - 1
    assert suspect is not None
    assert suspect.reasons[0] == "outside the checklist"
    assert suspect.doubt < 0.5


def test_the_backbone_counts_for_labels_it_knows() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    predicted = [{"species 00": 0.9, "species 09": 0.01} if row == 0 else {} for row in range(len(labels))]
    plain = suspect_of(audit(vectors, labels, numbers(len(labels))), 100)
    informed = suspect_of(audit(vectors, labels, numbers(len(labels)), class_probabilities=predicted), 100)
    unknown = audit(vectors, labels, numbers(len(labels)), class_probabilities=[{"a duck": 1.0}] * len(labels))
    assert plain is not None
    assert informed is not None
    assert informed.doubt > plain.doubt
    assert informed.reasons[0] == "backbone disagrees: species 00 0.90, species 09 0.01"
    assert not any("backbone" in reason for suspect in unknown.suspects for reason in suspect.reasons)


def test_labels_outside_the_checklist() -> None:
    vectors, labels = drawn(noise=0.4)
    report = audit(vectors, labels, numbers(len(labels)), outside={"species 04"})
    assert {suspect.label for suspect in report.suspects} == {"species 04"}
    assert len(report.suspects) == 6
    assert all(
        suspect.reasons == ("outside the checklist",) and suspect.proposed is None for suspect in report.suspects
    )


def test_off_list_reads_names() -> None:
    listed = Checklist(frozenset({"Aix galericulata"}))
    labels = ["MANDARIN DUCK", "Turdus merula", "garden shed", None, "\udcff\n"]
    assert off_list(labels, listed) == {"Turdus merula"}
    assert off_list(labels, listed, overrides={"Turdus merula": ""}) == frozenset()
    assert "Our garden bird" in off_list([*labels, "Our garden bird"], listed, overrides={"Our garden bird": "Mallard"})


def test_no_labels_and_no_photos() -> None:
    vectors, labels = drawn(species=3)
    assert audit(vectors, [None] * len(labels), numbers(len(labels))) == AuditReport()
    assert audit(vectors[:0], [], numbers(0)) == AuditReport()


@pytest.mark.parametrize("photos", [1, 2, 30])
def test_one_species(photos: int) -> None:
    vectors, labels = drawn(species=1, photos=photos)
    assert audit(vectors, labels, numbers(photos)).suspects == ()


def test_one_photo_per_species() -> None:
    vectors, labels = drawn(photos=1)
    assert audit(vectors, labels, numbers(len(labels))) == AuditReport(lone=tuple(str(label) for label in labels))


def test_all_identical() -> None:
    vectors, labels = drawn()
    report = audit(np.tile(vectors[:1], (len(labels), 1)), labels, numbers(len(labels)))
    assert all(np.isfinite(suspect.doubt) for suspect in report.suspects)
    assert report.photos == len(labels)


def test_odd_names_come_back_as_they_are() -> None:
    vectors, labels = drawn()
    odd = ["\udcff\udcfe", "a\nb", "", *(f"species {number}" for number in range(17))]
    names: list[str | None] = [odd[row // 6] for row in range(len(labels))]
    names[0] = odd[1]
    suspect = suspect_of(audit(vectors, names, numbers(len(labels))), 100)
    assert suspect is not None
    assert (suspect.label, suspect.proposed) == ("a\nb", "\udcff\udcfe")


def test_unlabelled_photos_are_not_doubted() -> None:
    vectors, labels = drawn()
    labels[5] = None
    groups = np.arange(len(labels)) // 6
    assert suspect_of(audit(vectors, labels, numbers(len(labels)), groups=groups), 115) is None


def test_the_same_answer_every_time() -> None:
    vectors, labels = drawn(noise=1.5)
    once, again = (audit(vectors, labels, numbers(len(labels))) for _ in range(2))
    assert once == again


def test_arguments_that_do_not_fit() -> None:
    vectors, labels = drawn()
    with pytest.raises(ValueError, match="vectors"):
        audit(vectors, labels[1:], numbers(len(labels)))
    with pytest.raises(ValueError, match="one value for each"):
        audit(vectors, labels, numbers(len(labels)), groups=np.zeros(2, dtype=np.int64))


def test_what_a_person_gave_or_confirmed_is_not_doubted_again(index: Index, tmp_path: Path) -> None:
    write_garden_photos(tmp_path / "photos")
    index.add(tmp_path / "photos", labels="folder")
    index.label({1: index.photo(1).label, 2: "Kite"})
    store = Store.open(index.path)
    with store.writing() as catalog:  # as a photo has it that took over the label of a folder when its copy went
        catalog.correct_labels({3: Label(3, "Kite", "correction", "folder label of /a.jpg")})
    suspects = tuple(Suspect(photo, photo.label or "", None, 0.9, ("no reason",)) for photo in index.photos())
    left = module.without_confirmed(AuditReport(suspects, 6), store.catalog)
    store.close()
    assert [suspect.photo.id for suspect in left.suspects] == [3, 4, 5, 6]
    assert (left.confirmed, left.photos) == (2, 6)


def test_a_suspect_keeps_the_spelling_of_its_photo() -> None:
    vectors, labels = drawn()
    labels[3] = "species 07"
    report = module.audit(
        vectors, labels, ids := numbers(len(labels)), lambda some: {i: Photo(i, "/", label="7") for i in some}
    )
    assert (report.suspects[0].photo.id, report.suspects[0].label) == (int(ids[3]), "7")


def lone_photo(row: int) -> tuple[Vectors, list[str | None]]:
    """Photos of which one, beside those of its own species, is the only one of the label Fieldfare."""
    vectors, labels = drawn(noise=0.3)
    labels[row] = "Fieldfare"
    return vectors, labels


def test_the_only_photo_of_a_label_is_doubted_where_its_nearest_photos_show_another_species() -> None:
    vectors, labels = lone_photo(9)
    report = audit(vectors, labels, ids := numbers(len(labels)))
    suspect = suspect_of(report, int(ids[9]))
    assert suspect is not None
    assert suspect.proposed == "species 01"
    assert "no other moment has its label, and the 3 nearest photos show species 01" in suspect.reasons
    assert report.lone == ("Fieldfare",)
    assert audit(*drawn(noise=0.3), numbers(len(labels))).lone == ()


def test_no_photo_is_proposed_to_become_what_rests_on_one_label() -> None:
    vectors, labels = lone_photo(9)
    vectors[10] = vectors[9]  # of species 01, and nearest to the wrong Fieldfare
    report = audit(vectors, labels, ids := numbers(len(labels)))
    assert "Fieldfare" not in {suspect.proposed for suspect in report.suspects}
    assert suspect_of(report, int(ids[10])) is None
    copies = audit(vectors, labels, ids, near_identical=[(int(ids[9]), int(ids[10]))])
    assert [suspect.proposed for suspect in copies.suspects if suspect.photo.id == int(ids[9])] == ["species 01"]
    assert "Fieldfare" not in {suspect.proposed for suspect in copies.suspects}


def test_the_same_question_is_answered_from_memory_until_the_index_changes(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_garden_photos(tmp_path / "photos")
    index.add(tmp_path / "photos", labels="folder")
    judged: list[int] = []
    real = module.audit

    def counted(*given: Any, **options: Any) -> AuditReport:
        judged.append(1)
        return real(*given, **options)

    monkeypatch.setattr(module, "audit", counted)
    first = index.audit()
    assert index.audit() == index.audit(again=True) == first
    assert len(judged) == 1
    checklist = tmp_path / "birds.txt"
    for expected, text in ((2, "Wren"), (3, "Wren\nRobin"), (3, "Wren\nRobin")):
        checklist.write_text(text)
        index.audit(checklist=[checklist])
        assert len(judged) == expected
    index.audit(Filter(species="Wren"))
    index.audit(Filter(species="Wren"))
    assert len(judged) == 4
    index.audit()
    assert len(judged) == 4
    index.label({1: "Kite"})
    index.audit()
    assert len(judged) == 5
