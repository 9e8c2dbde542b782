"""Which folder above a photo is its label."""

from pathlib import Path

import pytest

import birdsearch
from birdsearch.indexing.folder_labels import folder_label
from tests.support.fake_backbone import FakeBackbone
from tests.support.named_photos import names_table, photos


@pytest.mark.parametrize(
    ("folders", "label"),
    [
        ("birds/Eurasian Wren", "Eurasian Wren"),
        ("birds/Eurasian Wren/2024-05-17", "Eurasian Wren"),
        ("birds/Eurasian Wren/darktable_exported", "Eurasian Wren"),
        ("birds/Dunnock/100CANON", "Dunnock"),
        ("birds/Dunnock/female/edited 2/JPG", "Dunnock"),
        ("birds/Dunnock/Lake Geneva", "Dunnock"),
        ("birds/2024/05/17.05.2024 Helgoland/Dunnock", "Dunnock"),
        ("birds/2024/2024-05-17 Great Tit", "2024-05-17 Great Tit"),
        ("birds/Eurasian Wren/Martin", "Eurasian Wren"),
        ("birds/Anatidae/MANDRIN DUCK", "MANDRIN DUCK"),
        ("birds/Larus/Mew Gull/2024", "Mew Gull"),
        ("birds/Passeriformes/Paridae/Parus major/males in flight", "Parus major"),
        ("birds/gull sp./DCIM", "gull sp."),
        ("birds/unknown warbler 3", "unknown warbler 3"),
        ("Eurasian Wren", "Eurasian Wren"),
        ("Wren", "Wren"),
        ("Wren/garden", "Wren"),
        ("Larus/Herring Gull", "Herring Gull"),
        ("beetles/Carabus auratus", "Carabus auratus"),
        ("beetles/Carabus auratus/2024/edited", "Carabus auratus"),
        ("birds", None),
        ("photos/2024", None),
        ("photos/2024-05-17 Helgoland", None),
        ("photos/WhatsApp Images", None),
        ("photos/DCIM/100CANON", None),
        ("photos/DCIM/101_PANA", None),
        ("photos/May 2024/exports", None),
        ("photos/20240517", None),
        ("photos/unbekannt", None),
    ],
)
def test_the_nearest_folder_that_means_a_taxon_is_the_label(folders: str, label: str | None) -> None:
    named, *below = folders.split("/")
    assert folder_label(below[::-1], named) == label


def test_what_a_user_says_that_a_folder_means_counts() -> None:
    assert folder_label(["best", "Dunnock"], "birds", {"best": "Eurasian Wren"}) == "best"
    assert folder_label(["Martin", "pip"], "birds", {"Martin": ""}) == "Martin"
    assert folder_label(["Martin", "Dunnock"], "birds", {"Martin": ""}) == "Dunnock"


def test_a_folder_that_is_named_directly_labels_its_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = photos(tmp_path / "birds", {"Eurasian Wren": 2, "Mallard": 1, "2024": 1})
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(sorted(folders.iterdir()), labels="folder")
        labels = {(Path(photo.path).parent.name, photo.label) for photo in index.photos()}
        assert labels == {("Eurasian Wren", "Eurasian Wren"), ("Mallard", "Mallard"), ("2024", None)}
        assert "1 photo got no label: no folder above names a bird (2024)" in caplog.messages
        nameless = next(photo.id or 0 for photo in index.photos() if photo.label is None)
        index.label({nameless: "Mallard"})
        caplog.clear()
        report = index.add(sorted(folders.iterdir()), labels="folder")
        assert (report.unlabelled, caplog.messages) == (0, [])
        index.label({nameless: None})
        index.set_names(names_table(tmp_path, "name,species\nMallard,\n"))
        index.add(folders / "Mallard")
        assert {photo.label for photo in index.photos()} == {"Eurasian Wren", None}
