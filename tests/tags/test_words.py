"""What labels and predictions are in the keywords of other programs."""

import pytest

from birdsearch.tags import words


@pytest.mark.parametrize(
    ("label", "flat", "path"),
    [
        ("Eurasian Blue Tit", ("Eurasian Blue Tit", "Cyanistes caeruleus"), "Birds|Paridae|Eurasian Blue Tit"),
        ("Parus caeruleus", ("Eurasian Blue Tit", "Cyanistes caeruleus"), "Birds|Paridae|Eurasian Blue Tit"),
        ("Rotkehlchen", ("European Robin", "Erithacus rubecula"), "Birds|Muscicapidae|European Robin"),
        ("Laridae", ("Laridae",), "Birds|Laridae"),
        ("Herring Gull", ("Herring Gull",), "Birds|Laridae|Herring Gull"),  # two species today
    ],
)
def test_a_sure_name_becomes_that_of_avilist(label: str, flat: tuple[str, ...], path: str) -> None:
    found = words.of_labels([label], {})[label]
    assert found is not None
    assert (found.flat, "|".join(found.path), found.sure) == (flat, path, True)


@pytest.mark.parametrize("label", ["Wren", "Blu Tit", "gull sp."])
def test_a_guess_stands_as_the_user_wrote_it(label: str) -> None:
    found = words.of_labels([label], {})[label]
    assert found == words.Words((label,), ("Birds", label), sure=False)


@pytest.mark.parametrize("label", ["Blurry", "fox", "a\x00b", "\udcff Wren", " "])
def test_what_names_no_bird_is_not_written(label: str) -> None:
    assert words.of_labels([label], {})[label] is None


def test_corrections_count_and_signs_of_paths_are_no_part_of_a_name() -> None:
    found = words.of_labels(["Wren", "Gull"], {"Wren": "Troglodytes troglodytes", "Gull": ""})
    assert found["Wren"] == words.Words(
        ("Eurasian Wren", "Troglodytes troglodytes"), ("Birds", "Troglodytidae", "Eurasian Wren")
    )
    assert found["Gull"] is None
    assert words.of_labels(["Wren | big/small"], {})["Wren | big/small"] in (
        None,
        words.Words(("Wren big small",), ("Birds", "Wren big small"), sure=False),
    )


def test_a_prediction_stands_below_what_is_unverified_alone() -> None:
    assert words.of_prediction("Eurasian Wren") == words.Words((), ("birdsearch", "unverified", "Eurasian Wren"))
