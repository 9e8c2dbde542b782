"""The audit: wrong labels first, with reasons and a better name, and no photo a witness in its own case."""

import numpy as np
import pytest

from birdsearch.records import Ids, Vectors
from birdsearch.species.audit import Audited, Doubt, audit, off_list
from birdsearch.taxonomy.checklist import Checklist


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


def doubt_of(found: Audited, photo: int) -> Doubt | None:
    """The doubt about a photo."""
    return next((doubt for doubt in found.doubts if doubt.id == photo), None)


def test_wrong_labels_come_first_with_reasons_and_the_right_name() -> None:
    vectors, labels = drawn()
    wrong = {3: "species 07", 40: "species 00", 77: "species 19"}
    found = audit(vectors, [wrong.get(row, label) for row, label in enumerate(labels)], ids := numbers(len(labels)))
    assert {doubt.id for doubt in found.doubts[:3]} == {int(ids[row]) for row in wrong}
    assert found.judged == len(labels)
    for row, name in wrong.items():
        doubt = doubt_of(found, int(ids[row]))
        assert doubt is not None
        assert (doubt.label, doubt.proposed) == (name, labels[row])
        assert doubt.doubt > 0.1
        assert any(reason.startswith("classifier disagrees") for reason in doubt.reasons)
        assert any(reason.startswith("neighbours disagree") for reason in doubt.reasons)
        shown = {labels[int(np.flatnonzero(ids == photo)[0])] for photo in doubt.evidence}
        assert labels[row] in shown
        assert doubt.id not in doubt.evidence
    scores = [doubt.doubt for doubt in found.doubts]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_clean_labels_are_not_doubted() -> None:
    vectors, labels = drawn(noise=0.4)
    assert audit(vectors, labels, numbers(len(labels))).doubts == ()


def test_a_label_without_meaning_is_not_doubted_by_itself() -> None:
    vectors, labels = drawn()
    mixed = [labels[row] for row in np.random.default_rng(2).permutation(len(labels))]
    found = audit(vectors, mixed, numbers(len(labels)))
    assert np.mean([doubt.doubt for doubt in found.doubts]) < 0.5


def test_a_burst_outvotes_one_of_its_photos() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    groups = np.full(len(labels), -1)
    groups[:4] = 5
    alone, burst = (audit(vectors, labels, numbers(len(labels)), groups=some) for some in (None, groups))
    before, after = doubt_of(alone, 100), doubt_of(burst, 100)
    assert before is not None
    assert after is not None
    assert after.doubt > before.doubt
    assert after.reasons[0] == "burst disagrees: 3 of 3 others show species 00"
    assert after.proposed == "species 00"
    assert set(after.evidence[:3]) == {103, 106, 109}
    assert after.doubt <= 1


def test_a_copy_in_the_same_burst_is_heard_once() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    groups = np.full(len(labels), -1)
    groups[:3] = 5
    doubt = doubt_of(audit(vectors, labels, numbers(len(labels)), groups=groups, near_identical=[(100, 103)]), 100)
    assert doubt is not None
    assert doubt.reasons[:2] == (
        "near-identical photo with another label: 1 of 1 other shows species 00",
        "burst disagrees: 1 of 1 other shows species 00",
    )


def test_the_checklist_adds_to_a_doubt() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    plain, outside = (audit(vectors, labels, numbers(len(labels)), outside=some) for some in ((), {"species 09"}))
    assert plain.doubts[0].id == outside.doubts[0].id == 100
    assert plain.doubts[0].doubt < outside.doubts[0].doubt < 1


def test_photos_outside_any_burst_still_vouch_for_each_other() -> None:
    vectors, labels = drawn()
    assert audit(vectors, labels, numbers(len(labels)), groups=np.full(len(labels), -1)).judged == len(labels)


def test_the_same_picture_under_two_names() -> None:
    vectors, labels = drawn()
    copied = np.concatenate([vectors, vectors[:1]])
    found = audit(copied, [*labels, "species 11"], numbers(len(copied)), near_identical=[(100, 460), (100, 9999)])
    wrong, right = doubt_of(found, 460), doubt_of(found, 100)
    assert wrong is not None
    assert right is not None
    assert 1 >= wrong.doubt > 0.5 > right.doubt
    assert wrong.proposed == "species 00"
    assert right.proposed is None  # the classifier is for its label
    assert wrong.reasons[0] == "near-identical photo with another label: 1 of 1 other shows species 00"
    assert wrong.evidence[0] == 100


def test_copies_do_not_vouch_for_each_other() -> None:
    vectors, labels = drawn(species=8, photos=6)
    # A wrong label, and a copy of the same picture with the same wrong label.
    copied = np.concatenate([vectors, vectors[:1]])
    names = ["species 05", *labels[1:], "species 05"]
    ids = numbers(len(copied))
    tied = audit(copied, names, ids, near_identical=[(100, int(ids[-1]))])
    assert {doubt.id for doubt in tied.doubts[:2]} == {100, int(ids[-1])}
    free, bound = doubt_of(audit(copied, names, ids), 100), tied.doubts[0]
    assert free is None or free.doubt < bound.doubt / 2


def test_a_label_that_nobody_could_vouch_for_is_not_doubted_for_that() -> None:
    vectors, labels = drawn()
    labels[0] = "a rarity"
    found = audit(vectors, labels, numbers(len(labels)), outside={"a rarity"})
    doubt = doubt_of(found, 100)
    assert found.judged == len(labels) - 1
    assert doubt is not None
    assert doubt.reasons[0] == "outside the checklist"
    assert doubt.doubt < 0.5


def test_the_backbone_is_heard_on_what_it_has_words_for() -> None:
    vectors, labels = drawn()
    labels[0] = "species 09"
    told = [{"species 00": 0.9, "species 09": 0.01} if row == 0 else {} for row in range(len(labels))]
    plain = doubt_of(audit(vectors, labels, numbers(len(labels))), 100)
    heard = doubt_of(audit(vectors, labels, numbers(len(labels)), class_probabilities=told), 100)
    unknown = audit(vectors, labels, numbers(len(labels)), class_probabilities=[{"a duck": 1.0}] * len(labels))
    assert plain is not None
    assert heard is not None
    assert heard.doubt > plain.doubt
    assert heard.reasons[0] == "backbone disagrees: species 00 0.90, species 09 0.01"
    assert not any("backbone" in reason for doubt in unknown.doubts for reason in doubt.reasons)


def test_labels_outside_the_checklist() -> None:
    vectors, labels = drawn(noise=0.4)
    found = audit(vectors, labels, numbers(len(labels)), outside={"species 04"})
    assert {doubt.label for doubt in found.doubts} == {"species 04"}
    assert len(found.doubts) == 6
    assert all(doubt.reasons == ("outside the checklist",) and doubt.proposed is None for doubt in found.doubts)


def test_off_list_reads_names() -> None:
    listed = Checklist(frozenset({"Aix galericulata"}))
    labels = ["MANDARIN DUCK", "Turdus merula", "garden shed", None, "\udcff\n"]
    assert off_list(labels, listed) == {"Turdus merula"}
    assert off_list(labels, listed, overrides={"Turdus merula": ""}) == frozenset()
    assert "Our garden bird" in off_list([*labels, "Our garden bird"], listed, overrides={"Our garden bird": "Mallard"})


def test_no_labels_and_no_photos() -> None:
    vectors, labels = drawn(species=3)
    assert audit(vectors, [None] * len(labels), numbers(len(labels))) == Audited()
    assert audit(vectors[:0], [], numbers(0)) == Audited()


@pytest.mark.parametrize("photos", [1, 2, 30])
def test_one_species(photos: int) -> None:
    vectors, labels = drawn(species=1, photos=photos)
    assert audit(vectors, labels, numbers(photos)).doubts == ()


def test_one_photo_per_species() -> None:
    vectors, labels = drawn(photos=1)
    assert audit(vectors, labels, numbers(len(labels))) == Audited((), 0)


def test_all_identical() -> None:
    vectors, labels = drawn()
    found = audit(np.tile(vectors[:1], (len(labels), 1)), labels, numbers(len(labels)))
    assert all(np.isfinite(doubt.doubt) for doubt in found.doubts)
    assert found.judged == len(labels)


def test_odd_names_come_back_as_they_are() -> None:
    vectors, labels = drawn()
    odd = ["\udcff\udcfe", "a\nb", "", *(f"species {number}" for number in range(17))]
    names: list[str | None] = [odd[row // 6] for row in range(len(labels))]
    names[0] = odd[1]
    doubt = doubt_of(audit(vectors, names, numbers(len(labels))), 100)
    assert doubt is not None
    assert (doubt.label, doubt.proposed) == ("a\nb", "\udcff\udcfe")


def test_unlabelled_photos_are_not_doubted() -> None:
    vectors, labels = drawn()
    labels[5] = None
    groups = np.arange(len(labels)) // 6
    assert doubt_of(audit(vectors, labels, numbers(len(labels)), groups=groups), 115) is None


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
