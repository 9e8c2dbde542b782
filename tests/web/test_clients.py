"""The clients of the README work, and the requests of today stay answered as they are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.support import ROOT
from tests.web.conftest import Served

README = (ROOT / "README.md").read_text(encoding="utf-8")
BROWSER = README[README.index("## In the browser") : README.index("## Backbones")]


def test_the_client_in_python(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", BROWSER, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    asked = shutil.copy(served.index.photo(4).path if served.index else "", tmp_path / "mystery.jpg")
    home = tmp_path / "home"
    (home / ".local/share/birdsearch").mkdir(parents=True)
    keys = {"edit": served.keys.edit, "view": served.keys.view}
    (home / ".local/share/birdsearch/serve.json").write_text(json.dumps(keys))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(Path(asked).parent)
    exec(code.replace("http://127.0.0.1:8377", served.address), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert re.match(r"\d\.\d{3} (Wren|Robin) ", lines[0])


def test_the_client_in_the_shell(served: Served, tmp_path: Path) -> None:
    (command,) = re.findall(r"^curl .*", BROWSER, re.MULTILINE)
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    shutil.copy(served.index.photo(4).path if served.index else "", tmp_path / "mystery.jpg")
    command = command.replace("http://127.0.0.1:8377", served.address)
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env={"KEY": served.keys.view, "PATH": "/usr/bin:/bin"}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["predictions"][0]["species"] is not None


# What a client of the first version sends -> fields of the answer that it reads. Add to it; change nothing.
FIRST = [
    ("GET", "/", None, {"info", "role", "read_only", "limits"}),
    ("GET", "/photos?species=Wren&limit=2&order=newest", None, {"photos", "next", "total"}),
    ("GET", "/photos?ids=4&ids=1", None, {"photos", "next", "total"}),
    ("GET", "/photos/4", None, {"id", "path", "species", "label", "taken_at", "predictions", "sha256"}),
    ("GET", "/photos/4/similar?k=2&min_score=0.1", None, {"matches"}),
    ("POST", "/search", {"photo": 4, "k": 3, "where": {"species": ["Wren"]}}, {"matches"}),
    ("POST", "/search/many", {"photos": [1, 4], "errors": "skip"}, {"results", "errors"}),
    ("POST", "/classify", {"photo": 4, "source": "neighbours"}, {"predictions"}),
    ("PUT", "/photos/4/label", {"species": "Wren", "author": "Ana"}, {"before", "photo"}),
    ("POST", "/labels", {"labels": {"4": "Wren", "5": None}}, {"changed", "confirmed", "unchanged", "before"}),
    ("POST", "/labels/restore", {"labels": {"4": None}}, {"changed", "before"}),
    ("POST", "/photos/remove", {"where": {"label": "Dodo"}, "expect": 0}, {"removed"}),
    ("POST", "/jobs", {"do": "add"}, {"id", "do", "title", "state", "stage", "done", "total", "can_cancel", "error"}),
    ("POST", "/jobs", {"do": "duplicates", "relations": ["identical"]}, {"id", "state"}),
    ("GET", "/jobs", None, {"jobs"}),
    ("GET", "/audit", None, {"suspects", "photos"}),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "fields"), FIRST, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_client_of_the_first_version_is_answered(
    client: TestClient, method: str, path: str, body: object, fields: set[str]
) -> None:
    answer = client.request(method, f"/api/v1{path}", json=body)
    assert answer.status_code in (200, 202)
    assert fields <= answer.json().keys()
