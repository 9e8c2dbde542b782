"""How records are printed."""

import pytest

from birdsearch.cli import output
from birdsearch.records import AddReport, Failure, Match, Photo, Prediction


def test_tables_fit_80_columns_and_keep_the_file_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = Prediction(None, 0.4321, 1, "ImageNet", "a very long class name that goes on and on and on")
    photo = Photo(12345, "/" + "long folder/" * 20 + "bird.jpg", taken_at="2024-05-01T08:30:00", predictions=(guess,))
    monkeypatch.setenv("COLUMNS", "80")
    output.print_matches([Match(photo, 0.5)])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith("bird.jpg")
    assert "…" in lines[1]
    monkeypatch.delenv("COLUMNS")
    output.print_matches([Match(photo, 0.5)])
    assert photo.path in capsys.readouterr().out


def test_strange_names_are_shown_whole_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["/p/[bold]x[/bold].jpg", "/p/two\nlines.jpg", "/p/\x1b[31mred.jpg", "/p/:smile:.jpg", "/p/w\udce4ren.jpg"]
    names += ["/p/\u202egpj.jpg", "/p/日本語.jpg"]
    output.print_photos([Photo(number, name) for number, name in enumerate(names)])
    lines = capsys.readouterr().out.splitlines()
    shown = ["/p/[bold]x[/bold].jpg", "/p/two\\nlines.jpg", "/p/\\x1b[31mred.jpg", "/p/:smile:.jpg", "/p/w\\xe4ren.jpg"]
    shown += ["/p/\\u202egpj.jpg", "/p/日本語.jpg"]
    assert [line.split()[-1] for line in lines[1:]] == shown


@pytest.mark.parametrize("width", [1, 2, 3, 5, 10, 11, 40])
@pytest.mark.parametrize("text", ["abcdefghijkl.jpg", "日本語日本語日本語.jpg", "a", ""])
def test_shorten_never_exceeds_its_width(text: str, width: int) -> None:
    from rich.cells import cell_len

    assert cell_len(output.shorten(text, width)) <= width


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
