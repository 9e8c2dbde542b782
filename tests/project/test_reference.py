"""docs/reference.md is what the docstrings say, and they say enough."""

import doctest
import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import birdsearch
from tests.conftest import make_garden
from tests.support import fake_backbone, reference
from tests.support.drawing import bird, write


def test_the_reference_is_up_to_date() -> None:
    written = reference.REFERENCE.read_text(encoding="utf-8")
    assert written == reference.made(), f"docs/reference.md is stale: run `make docs` ({reference.COMMAND})"


def test_every_public_name_is_in_the_reference() -> None:
    written = reference.REFERENCE.read_text(encoding="utf-8")
    assert [name for name in birdsearch.__all__ if f"### `{name}`" not in written] == []


def test_every_public_docstring_has_a_sentence() -> None:
    bare = [name for name, member in public_members() if not inspect.getdoc(member)]
    assert bare == []


def public_members() -> list[tuple[str, Any]]:
    """Functions, classes and methods of Index that users call."""
    found = [(name, getattr(birdsearch, name)) for name in birdsearch.__all__]
    found += [(f"Index.{name}", member) for name, member in vars(birdsearch.Index).items() if not name.startswith("_")]
    return [
        (name, member) for name, member in found if inspect.isroutine(member) or isinstance(member, type | property)
    ]


def test_every_public_function_has_an_example_that_runs(
    tmp_path: Path, fake_built_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_garden(tmp_path, fake_backbone.built_in())
    monkeypatch.chdir(tmp_path)
    shutil.copy("photos/Wren/1.jpg", "mystery.jpg")
    Image.open("mystery.jpg").rotate(3).save("mystery.jpg")
    write(Path("card/new.jpg"), bird(7))
    Path("broken.jpg").write_bytes(b"no picture")
    Path("names.csv").write_text("name,species\n", encoding="utf-8")
    Path("boxes.csv").write_text("path,x,y,width,height\nphotos/Wren/1.jpg,0.2,0.3,0.4,0.4\n", encoding="utf-8")
    for name in ("corrections.csv", "predictions.csv"):
        lines = [f"photos/{species}/{n}.jpg,{species}\n" for species in ("Wren", "Robin") for n in (1, 2, 3)]
        Path(name).write_text("path,species\n" + "".join(lines), encoding="utf-8")
    without, failed = list[str](), list[str]()
    for name, member in public_members():
        if isinstance(member, type):
            continue
        text = inspect.getdoc(member) or ""
        examples = doctest.DocTestParser().get_doctest(text, {"birdsearch": birdsearch}, name, None, 0)
        if not examples.examples:
            without.append(name)
            continue
        with birdsearch.open("indexes/garden") as index:
            examples.globs |= {"index": index, "Filter": birdsearch.Filter, "Path": Path}
            doctest.DocTestRunner(verbose=False).run(examples, out=failed.append)
    assert without == []
    assert failed == []
