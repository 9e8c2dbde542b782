"""How records are printed, and what the files that a user asks for may overwrite."""

import json
import re
import shlex
import shutil
import sys
from html import unescape
from pathlib import Path

import pytest

from birdsearch.cli import output
from birdsearch.records import AddReport, Failure, Match, Photo, Prediction
from tests.conftest import Garden
from tests.support.command_line import run


def test_tables_fit_80_columns_and_show_paths_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = Prediction(None, 0.4321, 1, "ImageNet", "a very long class name that goes on and on and on")
    names = ["deep/" * 10 + "bird.jpg", "other.jpg"]
    photos = [Photo(12345, f"/home/ana/{name}", taken_at="2024-05-01T08:30:00", predictions=(guess,)) for name in names]
    matches = [Match(photo, 0.5) for photo in photos]
    monkeypatch.setenv("COLUMNS", "80")
    output.print_matches(matches)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "paths below /home/ana:"
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split()[:3] == ["1", "0.500", "12345"]
    at = lines[0].index("path")
    assert "".join(line[at:] for line in lines[1:]).replace(" ", "") == "".join(names)
    output.print_matches([Match(Photo(7, "/home/ana/a.jpg"), 0.5)])  # has room
    assert "/home/ana/a.jpg" in capsys.readouterr().out
    monkeypatch.delenv("COLUMNS")
    output.print_matches(matches)
    assert photos[0].path in capsys.readouterr().out


def test_a_narrow_table_cuts_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("ABYSSINIAN GROUND HORNBILL", "AUSTRALASIAN FIGBIRD")
    reason = f"classifier disagrees: {names[1]} 0.49, {names[0]} 0.00; neighbours disagree: 2 of the 5 nearest"
    row = ("0.41", "129", *names, "/home/ana/Vögel im Garten/ABYSSINIAN GROUND HORNBILL/3.jpg", reason)
    rows = [row, (*row[:4], "/home/ana/b.jpg", "")]
    for width in (60, 80, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        output.print_table(("doubt", "id", "label", "proposed", "path", "reason"), rows, numbers=("doubt", "id"))
        first, heads, *lines = capsys.readouterr().out.splitlines()
        assert first == "paths below /home/ana:"
        assert all(len(line) <= width for line in lines)
        label, proposed, path = (heads.index(name) for name in ("label", "proposed", "path"))
        assert "…" not in "".join(lines)
        first_row = lines[: lines.index(next(line for line in lines if line.endswith("b.jpg")))]
        for name, start, end in zip(names, (label, proposed), (proposed, path), strict=True):
            assert "".join(line[start:end] for line in first_row).replace(" ", "") == name.replace(" ", "")
        shown = "".join(line[path:] for line in first_row).replace(" ", "")
        assert shown == "VögelimGarten/ABYSSINIANGROUNDHORNBILL/3.jpg" + reason.replace(" ", "")


def test_strange_names_are_shown_whole_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["/p/[bold]x[/bold].jpg", "/p/two\nlines.jpg", "/p/\x1b[31mred.jpg", "/p/:smile:.jpg", "/p/w\udce4ren.jpg"]
    names += ["/p/\u202egpj.jpg", "/p/日本語.jpg"]
    output.print_photos([Photo(number, name) for number, name in enumerate(names)])
    lines = capsys.readouterr().out.splitlines()
    shown = ["/p/[bold]x[/bold].jpg", "/p/two\\nlines.jpg", "/p/\\x1b[31mred.jpg", "/p/:smile:.jpg", "/p/w\\xe4ren.jpg"]
    shown += ["/p/\\u202egpj.jpg", "/p/日本語.jpg"]
    assert [line.split()[-1] for line in lines[1:]] == shown


STEERING = "a\x1b]0;PWNED\x07\u009b31m\u202e\x7f\u2028é 日本\u200d.jpg"


def test_json_holds_no_character_that_steers_a_terminal_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"path": STEERING})
    text = capsys.readouterr().out
    assert json.loads(text) == {"path": STEERING}
    assert text == '{\n  "path": "a\\u001b]0;PWNED\\u0007\\u009b31m\\u202e\\u007f\\u2028é 日本\u200d.jpg"\n}\n'


def test_csv_is_harmless_on_a_terminal_and_exact_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.print_csv(("path",), [[STEERING]])
    assert capsys.readouterr().out == f"path\n{STEERING}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.print_csv(("path", "size"), [[STEERING, -3.5]])
    assert capsys.readouterr().out.splitlines()[1] == output.printable(STEERING) + ",-3.5"


def test_pruned_photos_are_forgotten_and_not_missing(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_summary(AddReport(missing=1), pruned=True)
    assert capsys.readouterr().out.splitlines()[-1] == "forgotten  1  photo whose file is gone or left out"
    output.print_summary(AddReport(missing=1))
    assert "missing    1  photo whose file is gone or left out; it stays" in capsys.readouterr().out


def test_the_time_before_the_first_photo_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_summary(AddReport(added=10, seconds=5.0), ready_after=33.2)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "files      10  in 5.0 s, 2 photos/s, after 33 s to make the network ready"


def test_summary_counts_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    failed = tuple(Failure(f"/p/{number}\n.jpg", "decode", "truncated JPEG") for number in range(7))
    report = AddReport(2000, 1, 2, 3, 4, {"text": 2, "video": 1}, failed, 10.0)
    output.print_summary(report)
    output.note_failures(report, "birdsearch failures")
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()] == [
        ["added", "2,000"], ["changed", "1"], ["unchanged", "2"], ["moved", "3"],
        ["failed", "7"], ["ignored", "3"], ["files", "2,016"], ["missing", "4"],
    ]  # fmt: skip
    assert "2 text, 1 video" in printed.out
    assert "200 photos/s" in printed.out
    assert printed.err.splitlines() == [
        *(f"failed: /p/{number}\\n.jpg: truncated JPEG" for number in range(5)),
        "and 2 more; all of them: birdsearch failures",
    ]


# How files are written, with TARGET for the file; other commands with --html share the way of these.
WRITING = {
    "query": "query IMAGE --html TARGET",
    "photos": "photos --html TARGET",
    "dedupe page": "dedupe --html TARGET",
    "dedupe plan": "dedupe --plan TARGET",
    "species": "species --html TARGET",
    "export": "export TARGET --format csv",
    "export csv": "export TARGET --format csv",
    "confusions": "evaluate --confusions TARGET",
    "maps": "features IMAGE --out TARGET",
    "heatmap": "features IMAGE --picture TARGET",
}


@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_no_output_overwrites_what_birdsearch_did_not_write(own: Garden, tmp_path: Path, command: str) -> None:
    image, target = tmp_path / "1.jpg", tmp_path / "2.jpg"
    for photo in (image, target):
        shutil.copy(own.photos / "Wren" / "1.jpg", photo)
    before = target.read_bytes()

    def words(target: Path) -> list[str]:
        named = {"IMAGE": str(image), "TARGET": str(target)}
        return [*(named.get(word, word) for word in command.split()), "--index", "own"]

    assert "is not as birdsearch wrote it" in run(*words(target), code=1).err
    assert target.read_bytes() == before
    catalog = own.index / "catalog.sqlite"
    assert "it would lie in the index" in run(*words(catalog), "--force", code=1).err
    assert catalog.read_bytes()[:6] == b"SQLite"
    run(*words(target), "--force")
    assert target.read_bytes() != before
    run(*words(target))  # what birdsearch wrote itself
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.jpg", "2.jpg", "indexes"]


def test_split_overwrites_none_of_its_lists_where_it_must_not_overwrite_one(own: Garden, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test.csv").write_text("path,species\nmine,Wren\n")
    command = ("split", "lists", "--index", "own")
    assert "lists/test.csv" in run(*command, code=1).err
    assert [path.name for path in (tmp_path / "lists").iterdir()] == ["test.csv"]
    run(*command, "--force")
    run(*command)


def test_demo_overwrites_no_page_of_the_user(own: Garden, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "index.html").write_text("mine")
    command = ("demo", "--photos", own.photos)
    assert "demo/index.html" in run(*command, code=1).err
    assert (tmp_path / "demo" / "index.html").read_text() == "mine"
    run(*command, "--force")


PAGES = {
    "audit": "", "classify": "IMAGE", "clusters": "", "dedupe": "", "list": "", "new": "PHOTOS", "photos": "",
    "query": "IMAGE", "species": "",
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_of_which_index_it_is_and_what_made_it(garden: Garden, tmp_path: Path, name: str) -> None:
    named = {"IMAGE": [garden.photos / "Robin" / "1.jpg"], "PHOTOS": [garden.photos / "Robin"]}.get(PAGES[name], [])
    run(name, *named, "--index", garden.index, "--html", "my page.html")
    footer = (tmp_path / "my page.html").read_text(encoding="utf-8").split("<footer>")[1].split("</footer>")[0]
    assert f'Index <b title="{garden.index}">garden</b>' in footer
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d · birdsearch \d", footer)
    command = shlex.join(["birdsearch", name, *map(str, named), "--index", str(garden.index), "--html", "my page.html"])
    assert f"<code>{command}</code>" in unescape(footer)


def test_a_page_without_an_index_names_none(garden: Garden, tmp_path: Path) -> None:
    run("classify", garden.photos / "Robin" / "1.jpg", "--html", "page.html")
    footer = (tmp_path / "page.html").read_text(encoding="utf-8").split("<footer>")[1]
    assert "Index" not in footer
    assert "birdsearch classify" in footer


def test_of_several_files_all_have_the_mark_of_utf8_or_none(tmp_path: Path) -> None:
    for words in ("Wren", "Kernbeißer"):
        output.write_csvs({tmp_path / n: (("species",), [[w]]) for n, w in (("a", "Wren"), ("b", words))}, True)
        marks = {(tmp_path / name).read_bytes().startswith(b"\xef\xbb\xbf") for name in "ab"}
        assert marks == {words != "Wren"}


@pytest.mark.parametrize("records", [[], [{"name": "a\nb", "of": []}], [1, "x", {"y": {"z": [1, 2]}}, None]])
def test_records_that_come_one_by_one_are_printed_as_a_list_of_them(
    records: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_json(records)
    whole = capsys.readouterr().out
    output.print_json(iter(records))
    assert capsys.readouterr().out == whole
