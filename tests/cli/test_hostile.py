"""Whatever is typed or lies in a file: a command answers in words and never with an internal error."""

import os
from pathlib import Path

import pytest

from tests.conftest import Garden
from tests.support.command_line import invoke

# Commands, to which a value is added; in one that ends with "#" it takes the place of VALUE.
NUMERIC = (
    "query IMAGE -k", "query IMAGE --min-score", "classify IMAGE -k", "classify IMAGE --roll-up", "photos --limit",
    "photos --min-width", "photos --min-probability", "photos --after", "photos --before", "photos --near",
    "photos --near 1,1,VALUE #", "dedupe --burst-gap", "dedupe --not 1", "dedupe --not VALUE 1 #",
    "clusters --resolution", "clusters --method kmeans --clusters", "clusters --seed", "label --as Wren",
    "label --clear", "split lists --seed", "split lists --fractions", "split lists --fractions 1,1,VALUE #",
    "optimize --recall", "undo", "dedupe --relation", "dedupe --policy", "dedupe --apply PLAN --action",
)  # fmt: skip
NUMBERS = ("0", "-1", "nan", "inf", "-inf", "1e400", "9223372036854775808", "-99999999999999999999", "9" * 5000, "")
TEXTUAL = (
    "query", "classify", "features", "photos --species", "photos --label", "photos --predicted", "photos --under",
    "photos --camera", "photos --after", "photos --near", "label --as Wren", "label 1 --as",
    "label 1 --as Wren --author", "dedupe --against", "dedupe --prefer", "dedupe --protect", "dedupe --plan",
    "dedupe --apply PLAN --action", "clusters --only-species", "undo", "index", "index IMAGE --labels",
    "index IMAGE --exclude", "index IMAGE --backbone", "names --from", "label --from", "audit --checklist", "export",
    "import", "split", "query IMAGE --html", "features IMAGE --out", "photos --index", "remove --yes --under",
)  # fmt: skip
TEXTS = ("", " ", "\x1b[31m\u202e", "\udcff", "a" * 5000, "%s{0}'\"", "\U0001f426", "..", "/dev/null", "/dev/zero")
READING = (
    "query", "classify", "index", "index IMAGE --labels", "dedupe --apply", "label --from", "names --from",
    "audit --checklist", "classify IMAGE --checklist", "import", "index IMAGE --backbone",
)  # fmt: skip
PLAN = b"group,do,relation,path,sha256,size,reason\n"
ROWS = (b"1,Wren,/a.jpg", b"9" * 5000 + b",x,y", b"99999999999999999999,Wren,", b"=1,=2,=3", b'"', b"\0,\0,\0", b",,")
CONTENTS = (
    b"", b"\n\n", b"\0" * 100, b"\xff\xfe" * 50, b"PAR1" + bytes(100) + b"PAR1", b"\xff\xd8\xff" + bytes(100),
    b'"\n' * 99, b"x" * 400_000, *(b"id,species,path\n" + row for row in ROWS),
    *(b"name,species\n" + row for row in ROWS),
    PLAN + b"1,keep,,/a\\UFFFFFFFFb," + b"0" * 64 + b",1,\n", PLAN + b"1,keep,,/a\\ud800b," + b"0" * 64 + b",1,\n",
    PLAN + b"9" * 5000 + b",keep,,/a," + b"0" * 64 + b",1,\n",
    PLAN + b"1,keep,,/a," + b"0" * 64 + b",99999999999999999999,\n",
)  # fmt: skip


def check(own: Garden, command: str, value: str) -> None:
    """Fail where a command ends in an internal error or a traceback."""
    Path("plan.csv").write_bytes(PLAN)
    names = {"IMAGE": str(own.photos / "Wren" / "1.jpg"), "PLAN": "plan.csv"}
    words = [names.get(word, word).replace("VALUE", value) for word in command.split()]
    words = words[:-1] if words[-1] == "#" else [*words, value]
    answer, error = invoke(*words, *(() if "--index" in words else ("--index", own.index)))
    told = f"{command} {value[:50]!r}: exit {answer.code}: {answer.err.strip()[:500]}"
    assert isinstance(error, SystemExit | None), f"{told} {error!r}"
    assert "internal error" not in answer.err, told
    assert "Traceback" not in answer.out + answer.err, told
    assert len(answer.err) < 30_000, told


@pytest.mark.parametrize("command", NUMERIC)
def test_no_number_ends_in_an_internal_error(own: Garden, command: str) -> None:
    for value in NUMBERS:
        check(own, command, value)


@pytest.mark.parametrize("command", TEXTUAL)
def test_no_text_ends_in_an_internal_error(own: Garden, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("below").mkdir()
    monkeypatch.chdir("below")  # else ".." would be where the photos of all other tests are
    for value in TEXTS:
        check(own, command, value)


@pytest.mark.parametrize("command", READING)
def test_no_file_ends_in_an_internal_error(own: Garden, command: str) -> None:
    os.mkfifo("pipe.csv")
    for number, content in enumerate(CONTENTS):
        Path(f"{number}.csv").write_bytes(content)
        check(own, command, f"{number}.csv")
    for special in ("pipe.csv", "/dev/zero", "."):  # none is waited for
        check(own, command, special)
