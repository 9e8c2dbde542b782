"""Everything runs on this computer: no library that birdsearch uses sends anything, or leaves files of its own."""

from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.interpreter import python

# Says what goes out and what starts another process; and no library is told, as it would be on a server, of a CI.
WATCH = """
import os, sys
os.environ.pop("CI", None)
def watch(event, values):
    if event.startswith(("socket.getaddrinfo", "socket.connect", "urllib.", "http.client.", "os.fork")):
        print(event, values)
sys.addaudithook(watch)
"""


def test_openvino_sends_nothing_and_stays_whole(tmp_path: Path) -> None:
    code = WATCH + (
        "from birdsearch.backbones.openvino_runtime import silent_openvino\n"
        "import threading\n"
        "threads = [threading.Thread(target=silent_openvino) for _ in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "import openvino, openvino_telemetry\n"
        "print(openvino is silent_openvino(), callable(openvino.convert_model))\n"
    )
    assert python(code, HOME=str(tmp_path)) == "True True\n"
    assert not list(tmp_path.iterdir())


def test_the_network_of_a_finder_sends_nothing_where_it_is_the_first_that_openvino_runs(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "negative.onnx"
    home.mkdir()
    code = WATCH + (
        "import numpy, onnx\n"
        "from pathlib import Path\n"
        "from birdsearch.backbones.openvino_runtime import compiled_file\n"
        "ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ('x', 'y')]\n"
        "graph = onnx.helper.make_graph([onnx.helper.make_node('Neg', ['x'], ['y'])], 'g', ends[:1], ends[1:])\n"
        f"onnx.save(onnx.helper.make_model(graph, ir_version=8), {str(file)!r})\n"
        f"print(compiled_file(Path({str(file)!r}))([numpy.float32([1, -2])])[0].tolist())\n"
    )
    assert python(code, HOME=str(home)) == "[-1.0, 2.0]\n"
    assert not list(home.iterdir())


@pytest.mark.network
def test_nothing_is_sent_and_nothing_is_written_outside_the_cache(tmp_path: Path) -> None:
    """With an empty cache, so that the network is exported too."""
    home, picture = tmp_path / "home", ROOT / "cli/samples/European Robin/European Robin 1.jpg"
    home.mkdir()
    code = WATCH + (
        "import birdsearch\n"
        f"folder, picture = {str(tmp_path / 'index')!r}, {str(picture)!r}\n"
        "with birdsearch.create(folder) as index:\n"
        f"    print(index.add({str(picture.parent)!r}, labels='folder').added)\n"
        "with birdsearch.open(folder) as index:\n"
        "    print(len(index.search(picture, 2)), len(index.classify(picture, k=3)))\n"
        "    index.clusters(), index.duplicates(), index.map([1, 2, 3, 4])\n"
        "backbone = birdsearch.load_backbone(birdsearch.DEFAULT_BACKBONE)\n"
        "print(len(backbone.feature_map(picture)) > 0)\n"
    )
    printed = python(code, HOME=str(home), BIRDSEARCH_CACHE=str(tmp_path / "cache"))
    assert printed.splitlines() == ["8", "2 1", "True"]
    assert not list(home.iterdir())
