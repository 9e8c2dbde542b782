"""Tags written into sidecars and photos: nothing is lost, a second run changes nothing, undo brings every byte back."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

import birdsearch
from birdsearch import Index
from birdsearch.actions import renames
from birdsearch.errors import PlanError
from birdsearch.photos import decode
from birdsearch.records import TagPlan
from birdsearch.tags import exiftool as program
from tests.support import exiftool
from tests.support.camera_raw import write_dng
from tests.support.drawing import bird, write
from tests.support.exiftool import needs_exiftool

pytestmark = needs_exiftool

# As Lightroom writes them: values in attributes, structures, alternatives, and settings of its own.
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" xmp:Rating="3" xmp:Label="Red"
 xmp:MetadataDate="2024-05-01T08:30:00+02:00" crs:Exposure2012="+0.35" crs:HasSettings="True"><dc:description><rdf:Alt>
 <rdf:li xml:lang="x-default">On the fence</rdf:li><rdf:li xml:lang="de">Am Zaun</rdf:li></rdf:Alt></dc:description>
 <dc:subject><rdf:Bag><rdf:li>garden</rdf:li><rdf:li>Mallard</rdf:li></rdf:Bag></dc:subject>
 <xmpMM:History><rdf:Seq><rdf:li stEvt:action="saved" stEvt:when="2024-05-01T08:31:00+02:00"/></rdf:Seq></xmpMM:History>
 <crs:ToneCurvePV2012><rdf:Seq><rdf:li>0, 0</rdf:li><rdf:li>255, 255</rdf:li></rdf:Seq></crs:ToneCurvePV2012>
 </rdf:Description></rdf:RDF></x:xmpmeta>"""
# digiKam's, with its own list; darktable's, with an empty one.
DIGIKAM = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:digiKam="http://www.digikam.org/ns/1.0/" digiKam:PickLabel="0"><digiKam:TagsList>
 <rdf:Seq><rdf:li>Places/Berlin</rdf:li></rdf:Seq></digiKam:TagsList></rdf:Description></rdf:RDF></x:xmpmeta>"""
DARKTABLE = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:darktable="http://darktable.sf.net/" darktable:xmp_version="5"
 darktable:history_end="3"><darktable:masks_history><rdf:Seq/></darktable:masks_history></rdf:Description></rdf:RDF>
 </x:xmpmeta>"""

Files = dict[str, bytes]


def files(folder: Path) -> Files:
    """Every file below a folder, hidden ones too."""
    return {os.fsdecode(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def labelled(index: Index, folder: Path, species: str = "Mallard") -> None:
    index.add(folder)
    index.label({photo.id or 0: species for photo in index.photos()})


def kept(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether every tag of a sidecar is still there with its value, in a list among others."""
    ours = ("File:", "System:", "SourceFile", "ExifTool:", "XMP-x:XMPToolkit")
    told = {name: value for name, value in before.items() if not name.startswith(ours) and value not in ("", [])}
    lists = ("XMP-dc:Subject", "XMP-digiKam:TagsList")
    return all(set(value) <= set(after[n]) if n in lists else after[n] == value for n, value in told.items())


def test_sidecars_keep_all_they_have_and_come_back(index: Index, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shapes = {"1": LIGHTROOM, "2": DIGIKAM, "3": DARKTABLE}
    for number, text in shapes.items():
        write(photos / f"{number}.jpg", bird(int(number), 60, 40)).with_suffix(".xmp").write_text(text)
    write(photos / "4 with spaces%f.jpg", bird(4, 60, 40))
    write(photos / "-5.jpg", bird(5, 60, 40))
    shutil.copy(os.fsencode(photos / "-5.jpg"), os.fsencode(photos) + b"/6\xff.jpg")
    labelled(index, photos)
    before, times = files(photos), {path: path.stat().st_mtime_ns for path in photos.iterdir()}
    said = {number: exiftool.read(photos / f"{number}.xmp") for number in shapes}
    plan = index.tags(fields="species")
    assert files(photos) == before  # so far nothing is written
    report = index.write_tags(plan)
    assert report.skipped == ()
    assert report.done == 6
    for number in shapes:
        now = exiftool.read(photos / f"{number}.xmp")
        assert kept(said[number], now)
        assert "Anas platyrhynchos" in now["XMP-dc:Subject"]
        assert now["XMP-lr:HierarchicalSubject"] == ["Birds|Anatidae|Mallard"]
        assert exiftool.warnings(photos / f"{number}.xmp") <= {"OK"}
    assert exiftool.read(photos / "1.xmp")["XMP-dc:Subject"] == ["garden", "Mallard", "Anas platyrhynchos"]
    assert exiftool.read(photos / "2.xmp")["XMP-digiKam:TagsList"] == ["Places/Berlin", "Birds/Anatidae/Mallard"]
    assert "XMP-digiKam:TagsList" not in exiftool.read(photos / "3.xmp")
    assert (photos / "3.xmp").stat().st_mtime_ns != times[photos / "3.xmp"]  # others see that it is another one
    again = index.tags(fields="species")
    assert (again.changes, again.complete) == ((), 6)
    assert index.runs()[-1].action == "tags"
    assert index.undo().done == 6
    assert files(photos) == before
    assert {path: path.stat().st_mtime_ns for path in photos.iterdir()} == times


def test_photos_themselves_keep_their_pixels_and_need_no_new_vector(index: Index, tmp_path: Path, fake: Any) -> None:
    photos = tmp_path / "photos"
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x010F], exif[0x9003] = "Canon", "2024:05:01 08:30:00"
    for number, suffix in enumerate(("jpg", "png", "tif", "heic", "webp", "avif")):
        write(photos / f"{number}.{suffix}", bird(number, 320, 240), exif=exif)
    os.chmod(photos / "0.jpg", 0o640)
    labelled(index, photos)
    before = files(photos)
    said = {name: exiftool.warnings(photos / name) for name in before}
    embedded = fake.embedded
    report = index.write_tags(index.tags(into="file"))
    assert (report.done, report.skipped) == (6, ())
    for name in before:
        assert exiftool.read(photos / name)["XMP-dc:Subject"] == ["Mallard", "Anas platyrhynchos"]
        assert exiftool.warnings(photos / name) <= said[name]
    assert (photos / "0.jpg").stat().st_mode & 0o777 == 0o640
    assert files(photos).keys() == before.keys()
    assert index.tags(into="file").complete == 6
    assert index.add(photos).unchanged == 6
    assert fake.embedded == embedded
    assert index.undo().done == 6
    assert files(photos) == before
    assert index.add(photos).unchanged == 6
    assert index.verify().ok


def test_a_dng_keeps_its_sensor_and_a_raw_of_a_camera_is_never_written(index: Index, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    write_dng(photos / "1.dng", bird(1, 480, 320), 1, None)
    write_dng(photos / "2.nef", bird(2, 480, 320), 1, None)
    labelled(index, photos)
    before, sensor = files(photos), decode.fingerprint(photos / "1.dng")
    plan = index.tags(into="file")
    index.write_tags(plan)
    written = {Path(change.path).name for change in plan.changes}
    assert {photo.format for photo in index.photos() if Path(photo.path).name in written} == {"DNG"}
    assert exiftool.read(photos / "1.dng")["XMP-dc:Subject"] == ["Mallard", "Anas platyrhynchos"]
    assert decode.fingerprint(photos / "1.dng") == sensor
    assert index.add(photos).unchanged == 2
    index.undo()
    assert files(photos) == before
    assert {os.path.basename(change.file) for change in index.tags().changes} == {"1.xmp", "2.xmp"}


def test_iptc_that_is_there_says_the_same(index: Index, tmp_path: Path) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    (tags,) = program.run([program.writing(["-IPTC:Keywords=garden", "-Photoshop:IPTCDigest=new"], str(photo))])
    assert not tags.said
    labelled(index, tmp_path / "photos")
    assert index.write_tags(index.tags(into="file")).skipped == ()
    now = exiftool.read(photo)
    assert now["IPTC:Keywords"] == ["garden", "Mallard", "Anas platyrhynchos"]
    assert now["Photoshop:IPTCDigest"] == now["File:CurrentIPTCDigest"]


def test_stars_and_predictions(index: Index, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(2):
        write(photos / f"{number}.jpg", bird(number, 60, 40))
    index.add(photos)
    first, second = (photo.id or 0 for photo in index.photos())
    index.label({first: "Mallard"})
    index.add_vectors([first, second], index.vectors([first, second]), {"rating": [4, 5]})
    index.write_tags(index.tags(predictions=True))
    assert exiftool.read(photos / "0.jpg.xmp")["XMP-xmp:Rating"] == 4
    now = exiftool.read(photos / "1.jpg.xmp")
    assert now["XMP-xmp:Rating"] == 5
    assert "XMP-dc:Subject" not in now
    guess = index.photo(second).species
    assert guess is None or now["XMP-lr:HierarchicalSubject"] == [f"birdsearch|unverified|{guess}"]


Change = Callable[[Path], object]


@pytest.mark.parametrize("when", ["before", "at once"])
def test_what_was_saved_since_stays(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    sidecar = photo.with_suffix(".xmp")
    sidecar.write_text(DIGIKAM)
    labelled(index, tmp_path / "photos")
    plan = index.tags()
    saved = DARKTABLE.encode()
    if when == "before":
        sidecar.write_bytes(saved)
    else:
        real = renames.exchange

        def exchange(one: str, other: str) -> None:
            if sidecar.read_bytes() == DIGIKAM.encode():
                sidecar.write_bytes(saved)
            real(one, other)

        monkeypatch.setattr(renames, "exchange", exchange)
    report = index.write_tags(plan)
    assert (report.done, report.failed) == (0, 1)
    assert "changed" in report.skipped[0][1]
    assert files(photo.parent) == {"1.jpg": photo.read_bytes(), "1.xmp": saved}


def test_undo_leaves_what_was_changed_since_and_goes_on_later(index: Index, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(2):
        write(photos / f"{number}.jpg", bird(number, 60, 40)).with_suffix(".xmp").write_text(DIGIKAM)
    labelled(index, photos)
    run = index.write_tags(index.tags()).run
    written = (photos / "0.xmp").read_bytes()
    (photos / "0.xmp").write_text(DARKTABLE)
    report = index.undo(run)
    assert (report.done, [Path(path).name for path, _ in report.skipped]) == (1, ["0.xmp"])
    assert (photos / "0.xmp").read_text() == DARKTABLE
    assert (photos / "1.xmp").read_text() == DIGIKAM
    (photos / "0.xmp").write_bytes(written)
    assert index.undo(run).done == 1
    assert (photos / "0.xmp").read_text() == DIGIKAM


def test_later_tags_of_a_file_are_undone_first(index: Index, tmp_path: Path) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    labelled(index, tmp_path / "photos")
    first = index.write_tags(index.tags()).run
    index.label({index.photos()[0].id or 0: "European Robin"})
    second = index.write_tags(index.tags()).run
    assert "European Robin" in exiftool.read(photo.with_name("1.jpg.xmp"))["XMP-dc:Subject"]
    with pytest.raises(PlanError, match=f"birdsearch undo {second}"):
        index.undo(first)
    assert index.undo().run == second
    assert index.undo().run == first
    assert files(photo.parent).keys() == {"1.jpg"}


def test_a_file_that_exiftool_would_harm_is_left(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    photo.with_suffix(".xmp").write_text(DIGIKAM)
    labelled(index, tmp_path / "photos")
    plan, before = index.tags(), files(photo.parent)
    harms = {"-XMP-digiKam:TagsList=": "TagsList", "-XMP-digiKam:PickLabel=1": "PickLabel", "-XMP-dc:Subject=": "not"}
    for harm, words in harms.items():
        real = program.writing

        def writing(arguments: Any, path: str, real: Any = real, harm: str = harm) -> Any:
            return real([*arguments, harm], path)

        monkeypatch.setattr(program, "writing", writing)
        report = index.write_tags(plan)
        monkeypatch.undo()
        assert words in report.skipped[0][1]
        assert files(photo.parent) == before
    assert index.write_tags(plan).done == 1


def test_a_picture_whose_pixels_would_change_is_left(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write(tmp_path / "photos/1.png", bird(1, 60, 40))
    labelled(index, tmp_path / "photos")
    plan, before, real = index.tags(into="file"), files(photo.parent), program.run

    def run(commands: Any) -> Any:
        answers = real(commands)
        for path in {command[-1] for command in commands}:
            bird(2, 60, 40).save(path)
        return answers

    monkeypatch.setattr(program, "run", run)
    assert "pixels" in index.write_tags(plan).skipped[0][1]
    assert files(photo.parent) == before


def test_one_file_that_exiftool_does_not_finish_costs_only_itself(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    for number in range(3):
        write(photos / f"{number}.png" if number == 1 else photos / f"{number}.jpg", bird(number, 60, 40))
    labelled(index, photos)
    plan, real = index.tags(into="file"), program.run

    def run(commands: Any) -> Any:
        if any(command[-1].endswith(".png") for command in commands):
            raise program.NoAnswerError
        return real(commands)

    monkeypatch.setattr(program, "run", run)
    report = index.write_tags(plan)
    assert (report.done, [Path(path).name for path, _ in report.skipped]) == (2, ["1.png"])
    assert not [name for name in files(photos) if name.startswith(".")]


def test_a_full_disk_and_a_folder_without_permission_are_said(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    labelled(index, tmp_path / "photos")
    plan, before = index.tags(into="file"), files(photo.parent)
    for number, words in {errno.ENOSPC: "no space", errno.EACCES: "no permission", errno.EROFS: "read-only"}.items():

        def refused(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(birdsearch.actions.filesystem, "new_copy", refused)
        assert words in index.write_tags(plan).skipped[0][1]
        assert files(photo.parent) == before


def test_a_copy_of_a_killed_run_is_removed_and_only_that(index: Index, tmp_path: Path) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    labelled(index, tmp_path / "photos")
    (photo.parent / ".0123456789abcdef.birdsearch.xmp").write_text("half of it")
    (photo.parent / ".0123456789abcdef.birdsearch.xmp_exiftool_tmp").write_text("half of it")
    (photo.parent / ".mine.birdsearch.xmp").write_text("a user's")
    index.write_tags(index.tags())
    assert files(photo.parent).keys() == {"1.jpg", "1.jpg.xmp", ".mine.birdsearch.xmp"}


def test_a_plan_writes_into_photos_of_the_index_and_their_sidecars_only(index: Index, tmp_path: Path) -> None:
    photo = write(tmp_path / "photos/1.jpg", bird(1, 60, 40))
    (tmp_path / "notes.xmp").write_text(DIGIKAM)
    labelled(index, tmp_path / "photos")
    (change,) = index.tags().changes
    for other in (
        replace(change, file=str(tmp_path / "notes.xmp")),
        replace(change, file=str(photo.with_suffix(".txt"))),
        replace(change, path=str(tmp_path / "notes.xmp"), file=str(tmp_path / "notes.xmp")),
        replace(change, photo_id=99),
        replace(change, added={"System:FileName": ("x",)}),
    ):
        with pytest.raises(PlanError):
            index.write_tags(TagPlan((other,)))
    assert files(tmp_path / "photos").keys() == {"1.jpg"}


def test_two_photos_of_one_sidecar_both_write_into_it(index: Index, tmp_path: Path) -> None:
    for suffix in ("jpg", "png"):
        write(tmp_path / f"photos/1.{suffix}", bird(1, 60, 40))
    sidecar = tmp_path / "photos/1.xmp"
    sidecar.write_text(DIGIKAM)
    index.add(tmp_path / "photos")
    one, other = (photo.id or 0 for photo in index.photos())
    index.label({one: "Mallard", other: "European Robin"})
    assert index.write_tags(index.tags()).done == 2
    assert set(exiftool.read(sidecar)["XMP-dc:Subject"]) >= {"Mallard", "European Robin"}
    index.undo()
    assert sidecar.read_text() == DIGIKAM
