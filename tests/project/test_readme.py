"""README, CONTRIBUTING and indexes/README.md tell the truth."""

import ast
import inspect
import re
import shlex
from typing import Any

from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> dict[str, Any]:
    """Every command of the command line: name -> click command; commands of a group as "group name"."""
    import typer.main

    from birdsearch.cli import app

    found: dict[str, Any] = {}
    top: Any = typer.main.get_command(app)
    for name, later in top.commands.items():
        found[name] = command = later.loaded
        found |= {f"{name} {inner}": sub for inner, sub in getattr(command, "commands", {}).items()}
    return found


def test_the_readme_mentions_every_command() -> None:
    missing = [name for name in commands() if not re.search(rf"\b(birdsearch )?{re.escape(name)}\b", README)]
    assert not missing


def test_the_commands_of_the_readme_exist() -> None:
    known = commands()
    lines = [
        line.strip().removeprefix("$ ")
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", README, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    used = [shlex.split(line, comments=True) for line in lines if re.match(r"(\$ )?birdsearch ", line)]
    assert used
    for words in used:
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
        assert name in known, f"the README uses birdsearch {name}"
        offered = {option for parameter in known[name].params for option in parameter.opts}
        assert {w for w in words if re.match(r"--?[a-z]", w)} <= offered | {"--help"}, words


def snippets() -> list[str]:
    """The Python of the README."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_of_the_readme_names_what_exists() -> None:
    import birdsearch
    from birdsearch.backbones import Backbone

    holders: dict[str, Any] = {"birdsearch": birdsearch, "index": birdsearch.Index, "backbone": Backbone}
    assert snippets()
    for source in snippets():
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            holder = holders.get(node.value.id)
            assert holder is None or hasattr(holder, node.attr), ast.unparse(node)


def test_the_python_of_the_readme_calls_what_exists() -> None:
    import birdsearch
    from birdsearch.backbones import Backbone

    holders: dict[str, Any] = {"birdsearch": birdsearch, "index": birdsearch.Index, "backbone": Backbone}
    checked = 0
    for source in snippets():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            called: Any = None
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                called = getattr(holders.get(node.func.value.id), node.func.attr, None)
            elif isinstance(node.func, ast.Name):
                called = getattr(birdsearch, node.func.id, None)
            if called is None:
                continue
            known = inspect.signature(called).parameters
            wrong = {keyword.arg for keyword in node.keywords} - set(known)
            assert not wrong, f"{ast.unparse(node)}: {wrong}"
            checked += 1
    assert checked


def test_one_table_has_every_command_and_every_method_of_an_index() -> None:
    import birdsearch

    rows = re.findall(r"^\| (`.*) \| .* \| (.*) ?\|$", README[README.index("| command | what") :], re.MULTILINE)
    named = {name for first, _ in rows for name in re.findall(r"`(\w+)`", first)}
    assert {name for name in commands() if " " not in name} - named == set()
    methods = [name for _, last in rows for name in re.findall(r"`([.\w]+)`", last)]
    wrong = [
        name
        for name in methods
        if not hasattr(birdsearch if "." in name else birdsearch.Index, name.rpartition(".")[2])
        and name != "backbone.feature_map"
    ]
    assert wrong == []
    public = {name for name in dir(birdsearch.Index) if not name.startswith("_")}
    assert public - {*methods} == {"backbone", "close", "name", "path"}


def test_the_links_of_the_papers_lead_somewhere() -> None:
    for paper in ("README.md", "CONTRIBUTING.md", "indexes/README.md"):
        text = (ROOT / paper).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / paper).parent.joinpath(target).exists(), f"{paper} links {target}"
