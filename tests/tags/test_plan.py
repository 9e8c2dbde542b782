"""Which tags a file lacks, and which file of a photo they go into."""

import os
from pathlib import Path
from typing import Any

import pytest

import birdsearch
from birdsearch import Index
from birdsearch.errors import InstallationError
from birdsearch.tags import plan
from birdsearch.tags.words import Words
from tests.support.drawing import bird, write
from tests.support.exiftool import needs_exiftool

TIT = Words(("Eurasian Blue Tit", "Cyanistes caeruleus"), ("Birds", "Paridae", "Eurasian Blue Tit"))
PATH = "Birds|Paridae|Eurasian Blue Tit"
ALL = {plan.FLAT: TIT.flat, plan.PATHS: (PATH,)}


@pytest.mark.parametrize(
    ("held", "added"),
    [
        ({}, ALL),
        ({plan.FLAT: ["eurasian blue tit", "x"], plan.PATHS: PATH}, {plan.FLAT: ("Cyanistes caeruleus",)}),
        ({plan.FLAT: [*TIT.flat], plan.PATHS: [PATH]}, {}),
        ({"XMP-digiKam:ColorLabel": 1}, {**ALL, plan.DIGIKAM: ("Birds/Paridae/Eurasian Blue Tit",)}),
        ({"IPTC:Keywords": "Cyanistes caeruleus"}, {**ALL, plan.IPTC: ("Eurasian Blue Tit",)}),
        ({"IPTC:Headline": "a"}, {**ALL, plan.IPTC: TIT.flat}),
    ],
)
def test_only_what_is_missing_is_added(held: dict[str, Any], added: dict[str, Any]) -> None:
    assert plan.missing(TIT, None, held) == added


@pytest.mark.parametrize(("then", "now", "new"), [("1", "1", True), ("1", "2", False), (None, None, False)])
def test_the_digest_of_iptc_follows_where_it_was_right(then: str | None, now: str | None, new: bool) -> None:
    held = {"IPTC:Headline": "a", plan.DIGEST: then, plan.DIGEST_NOW: now}
    assert (plan.DIGEST in plan.missing(TIT, None, held)) is new


@pytest.mark.parametrize(
    ("word", "charset", "fits"),
    [("Rüppell", None, True), ("Čížek", None, False), ("Čížek", "\x1b%G", True), ("a" * 65, None, False)],
)
def test_iptc_gets_what_it_can_hold(word: str, charset: str | None, fits: bool) -> None:
    held = {"IPTC:CodedCharacterSet": charset, "IPTC:Headline": "a"}
    assert (plan.IPTC in plan.missing(Words((word,), ("Birds", word)), None, held)) is fits


@pytest.mark.parametrize(
    ("held", "written"),
    [
        ({}, True),
        ({plan.RATING: 0}, True),  # no stars
        ({plan.RATING: 2}, False),
        ({plan.RATING: -1}, False),  # rejected
        ({"IFD0:Rating": 3}, False),
        ({"XMP-microsoft:RatingPercent": 50}, False),
    ],
)
def test_stars_that_are_there_stay(held: dict[str, Any], written: bool) -> None:
    assert plan.missing(Words(), 4, held) == ({plan.RATING: ("4",)} if written else {})


def packet(inside: str) -> str:
    rdf = "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'"
    return (
        f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {rdf}><rdf:Description "
        f"xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/'>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def of_raw() -> str:
    return packet("<photoshop:SidecarForExtension>CR2</photoshop:SidecarForExtension>")


SIDECARS: list[tuple[dict[str, str], str]] = [  # what lies beside 1.jpg, and what is written
    ({}, "1.jpg.xmp"),
    ({"1.xmp": packet("")}, "1.xmp"),
    ({"1.XMP": packet("")}, "1.XMP"),
    ({"1.xmp": packet(""), "1.jpg.xmp": packet("")}, "1.jpg.xmp"),
    ({"1.xmp": of_raw()}, "1.jpg.xmp"),
    ({"1.xmp": of_raw().replace("CR2", "JPG")}, "1.xmp"),
    ({"1_01.jpg.xmp": packet(""), "10.xmp": packet("")}, "1.jpg.xmp"),  # a further edit, another photo
]


@needs_exiftool
def test_the_sidecar_that_is_there_is_taken(index: Index, tmp_path: Path) -> None:
    for number, (there, _) in enumerate(SIDECARS):
        photo = write(tmp_path / f"photos/{number}/1.jpg", bird(number, 60, 40))
        for name, text in there.items():
            photo.with_name(name).write_text(text)
    index.add(tmp_path / "photos")
    index.label({photo.id or 0: "Mallard" for photo in index.photos()})
    changes = index.tags().changes
    assert [os.path.basename(change.file) for change in changes] == [chosen for _, chosen in SIDECARS]
    assert [change.sha256 is None for change in changes] == [chosen not in there for there, chosen in SIDECARS]


@needs_exiftool
def test_what_cannot_be_written_is_skipped_with_its_reason(index: Index, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number, name in enumerate(("link", "twice", "text", "pipe", "locked", "gone", "line\nbreak", "fine")):
        write(photos / f"{name}.jpg", bird(number, 60, 40))
    (tmp_path / "elsewhere.xmp").write_text(packet(""))
    (photos / "link.jpg.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    os.link(tmp_path / "elsewhere.xmp", photos / "twice.jpg.xmp")
    (photos / "text.jpg.xmp").write_text("a note")
    os.mkfifo(photos / "pipe.xmp")
    (photos / "locked.xmp").write_text(packet(""))
    (photos / "locked.xmp").chmod(0o444)
    index.add(photos)
    index.label(dict.fromkeys((photo.id or 0 for photo in index.photos()), "Mallard"))
    (photos / "gone.jpg").unlink()
    found = index.tags()
    assert [Path(change.path).name for change in found.changes] == ["fine.jpg"]
    said = {Path(path).name: reason for path, reason in found.skipped}
    for name, words in {
        "link.jpg": "symbolic link", "twice.jpg": "hard links", "text.jpg": "not XMP", "pipe.jpg": "regular file",
        "locked.jpg": "read-only", "gone.jpg": "no longer there", "line\nbreak.jpg": "line break",
    }.items():  # fmt: skip
        assert words in said[name]


@needs_exiftool
def test_photos_of_which_nothing_is_known_are_counted(index: Index, tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"photos/{number}.png", bird(number, 60, 40))
    index.add(tmp_path / "photos")
    first, second, third, _ = (photo.id or 0 for photo in index.photos())
    index.label({first: "Blurry", second: "Wren", third: "Mallard"})
    found = index.tags(into="file")
    assert (len(found.changes), found.left_out, found.unsure) == (
        2,
        {"a label that names no bird": 1, "no label": 1},
        ("Wren",),
    )
    assert not any(plan.IPTC in change.added for change in found.changes)
    assert index.tags(fields="rating").left_out == {"no rating": 4}


@needs_exiftool
def test_a_format_that_is_not_written_goes_into_a_sidecar(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "photos/1.bmp", bird(1, 60, 40))
    index.add(tmp_path / "photos")
    index.label({index.photos()[0].id or 0: "Mallard"})
    ((_, reason),) = index.tags(into="file").skipped
    assert "BMP" in reason
    assert index.tags().changes[0].file.endswith("1.bmp.xmp")


def test_without_exiftool_the_error_names_where_to_get_it(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for call in (index.tags, lambda: index.write_tags(birdsearch.TagPlan())):
        with pytest.raises(InstallationError, match=r"apt install libimage-exiftool-perl.*brew install.*exiftool\.org"):
            call()


@pytest.mark.parametrize("options", [{"into": "raw"}, {"fields": ["caption"]}])
def test_a_place_or_a_field_that_there_is_not_is_refused(index: Index, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"auto, sidecar, file|species, rating"):
        index.tags(**options)
