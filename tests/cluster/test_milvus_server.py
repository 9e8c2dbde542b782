"""A real Milvus server: filters, removed rows, kills. It is slow to start, so one test puts it through all of it.

`benchmarks.killing --milvus` kills it at more moments.
"""

import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT, milvus_server


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_server_that_is_killed_loses_nothing_and_answers_as_an_engine_in_a_file(tmp_path: Path) -> None:
    if reason := milvus_server.why_not():
        pytest.skip(reason)
    words = milvus_server.command("tests.support.milvus_scenario", str(tmp_path))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1400, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-5000:]}"
    assert "once each | clean" in done.stdout
    assert "rows were acknowledged before a kill" in done.stdout
