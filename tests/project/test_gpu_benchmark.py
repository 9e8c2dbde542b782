"""The benchmark for a CUDA card, tried on the processor: there is rarely a card, and then for minutes."""

import json
from pathlib import Path

import pytest

from benchmarks import common, gpu


@pytest.mark.network
@pytest.mark.slow
def test_the_stand_in_measures_and_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, results = tmp_path / "gpu.json", tmp_path / "RESULTS.md"
    results.write_text("# Results\n")
    monkeypatch.setattr(common, "RESULTS", results)
    gpu.main(["--stand-in", "--part", "a", "--part", "b", "--part", "c", "--out", str(out)])
    found = json.loads(out.read_text())["parts"]
    assert found["a"]["rows"][0][:2] == ["efficientnet_lite0_imagenet", "bf16"]
    assert [row[1] for row in found["b"]["rows"] if row[1].startswith("index")] == [
        "index, files of 224 px",
        "index, files of 12 megapixels",
    ]
    assert {row[1]: row[2] for row in found["c"]["rows"]}["birdsearch on the processor, exact"] == 1.0
    assert any("no card" in text or "not available" in text for text in found["c"]["notes"])
    gpu.main(["--publish", str(out)])
    assert results.read_text().count("\n## ") == 3
    assert "no card: the processor stands in" in results.read_text()


@pytest.mark.network
def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch finds no CUDA card"):
        gpu.main([])
