"""The OpenVINO runtime: it must see what torch sees, and cost a cold process neither torch nor birder."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from birdsearch import load_backbone
from birdsearch.backbones import DEFAULT, openvino_runtime
from birdsearch.backbones.backbone import Backbone, NetworkOutput
from birdsearch.errors import BackboneUnavailableError
from birdsearch.photos import decode
from birdsearch.records import Pixels, Vectors
from tests.support import REAL_PHOTOS, ROOT, checkpoints
from tests.support.painting import samples

OUTSIDE = ("torch", "birder", "onnx")


def vectors(backbone: Backbone, pictures: list[Path]) -> Vectors:
    return backbone.embed([str(path) for path in pictures])


@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="the real photos are not here")
def test_vectors_of_both_runtimes_lie_in_one_space() -> None:
    pictures = sorted(REAL_PHOTOS.glob("*/1.jpg"))[::6]
    expected = vectors(load_backbone(DEFAULT, runtime="torch", device="cpu"), pictures)
    exact = (vectors(load_backbone(DEFAULT, runtime="openvino", precision="fp32"), pictures) * expected).sum(axis=1)
    assert exact.min() >= 0.9999
    quick = load_backbone(DEFAULT, runtime="openvino")
    cosines = (vectors(quick, pictures) * expected).sum(axis=1)
    assert np.median(cosines) >= 0.999
    assert cosines.min() >= 0.99


def test_a_warm_cache_needs_no_torch_and_no_birder() -> None:
    load_backbone(DEFAULT, runtime="openvino")
    picture = ROOT / "cli/samples/European Robin/European Robin 1.jpg"
    script = (
        "import sys, birdsearch\n"
        f"backbone = birdsearch.load_backbone({DEFAULT!r})\n"
        f"picture = {str(picture)!r}\n"
        "print(backbone.runtime, backbone.embed([picture]).shape, backbone.classify(picture, 1)[0].rank)\n"
        f"print([name for name in {OUTSIDE} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["openvino (1, 1280) ImageNet", "[]"]


def test_a_network_may_be_dropped_right_after_its_answer() -> None:
    """Its streams are joined then, with the GIL held: one that still wanted the GIL would wait for ever."""
    load_backbone(DEFAULT, runtime="openvino")
    script = (
        "import numpy, birdsearch\n"
        "for _ in range(60):\n"
        f"    birdsearch.load_backbone({DEFAULT!r}).embed_pixels(numpy.zeros((8, 224, 224, 3), numpy.uint8))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_ctrl_c_after_a_network_was_dropped_is_a_keyboard_interrupt() -> None:
    load_backbone(DEFAULT, runtime="openvino")
    script = (
        "import signal, numpy, birdsearch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"backbone = birdsearch.load_backbone({DEFAULT!r})\n"
        "for photos in (1, 8):  # each compiles a model of its own\n"
        "    backbone.embed_pixels(numpy.zeros((photos, 224, 224, 3), numpy.uint8))\n"
        "del backbone\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted\n"


def test_the_export_knows_all_that_torch_knows() -> None:
    exported, original = (
        load_backbone(DEFAULT, runtime="openvino"),
        load_backbone(DEFAULT, runtime="torch", device="cpu"),
    )
    assert exported.identity == original.identity
    assert exported.class_names == original.class_names
    assert exported.class_ranks == original.class_ranks
    assert exported.classifier is not None
    assert original.classifier is not None
    np.testing.assert_array_equal(exported.classifier.weights, original.classifier.weights)
    picture = samples.picture(samples.SPECIES[0], 0)
    maps = exported.feature_map(picture)
    assert {name: stage.shape for name, stage in maps.items()} == {
        name: stage.shape for name, stage in original.feature_map(picture).items()
    }
    pixels = decode.load(picture, exported.input_size)
    pooled = exported.network.pooled_map(pixels)
    assert pooled.exact
    mean, (vector,) = pooled.cells.mean(axis=(1, 2)), exported.embed([picture])
    assert mean @ vector / np.linalg.norm(mean) > 0.99


def test_a_failed_export_is_said_once_and_torch_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))

    def broken(backbone: Backbone, folder: Path) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(openvino_runtime, "write_network", broken)
    with caplog.at_level(logging.WARNING, logger="birdsearch"):
        assert load_backbone(DEFAULT, device="cpu").runtime == "torch"
    assert len(caplog.messages) == 1
    assert "no such operator" in caplog.messages[0]
    monkeypatch.setattr(openvino_runtime, "write_network", lambda *_: pytest.fail("exported again"))
    assert load_backbone(DEFAULT, device="cpu").runtime == "torch"
    with pytest.raises(BackboneUnavailableError, match="runtime torch"):
        load_backbone(DEFAULT, runtime="openvino")
    assert not list((tmp_path / "networks").glob("unfinished-*"))


def test_an_export_that_disagrees_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(openvino_runtime, "WORST_COSINE", {"fp32": 0.9999, "bf16": 1.1})
    path = small_checkpoint(tmp_path)
    assert load_backbone(path, device="cpu").precision == "fp32"
    monkeypatch.setattr(openvino_runtime, "WORST_COSINE", {"fp32": 1.1, "bf16": 1.1})
    assert load_backbone(path, device="cpu").runtime == "torch"


def test_a_precision_that_gives_no_vectors_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))
    run = openvino_runtime.OpenVinoNetwork.run

    def overflowing(network: openvino_runtime.OpenVinoNetwork, pixels: Pixels) -> NetworkOutput:
        output = run(network, pixels)
        return NetworkOutput(output.embeddings * np.nan) if network.precision == "bf16" else output

    monkeypatch.setattr(openvino_runtime.OpenVinoNetwork, "run", overflowing)
    path = small_checkpoint(tmp_path)
    assert load_backbone(path, runtime="openvino", precision="fp32").precision == "fp32"
    assert not list((tmp_path / "networks").glob("*.failed"))
    assert load_backbone(path, device="cpu").runtime == "openvino"
    with pytest.raises(BackboneUnavailableError, match="at bf16"):
        load_backbone(path, runtime="openvino", precision="bf16")


def test_a_checkpoint_that_moved_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    path = small_checkpoint(tmp_path)
    first = load_backbone(path, runtime="openvino")
    moved = tmp_path / "elsewhere" / path.name
    moved.parent.mkdir()
    shutil.move(path, moved)
    monkeypatch.setattr(openvino_runtime, "make_export", lambda *_: pytest.fail("exported again"))
    again = load_backbone(moved, runtime="openvino")
    assert again.identity == first.identity
    assert again.source == str(moved)


def test_one_flipped_bit_in_the_cache_never_gives_other_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    path = small_checkpoint(tmp_path)
    pixels = np.stack([samples.picture(samples.SPECIES[0], n)[:64, :64] for n in range(2)])
    before = load_backbone(path, runtime="openvino").embed_pixels(pixels).vectors
    (folder,) = (path for path in (tmp_path / "cache/networks").iterdir() if path.is_dir())
    caplog.clear()
    for name in ("network.xml", "classes.npz", "facts.json", "SHA256SUMS", "network.bin"):
        sound = (folder / name).read_bytes()
        flip(folder / name)
        assert openvino_runtime.open_export(folder.name, "auto", lambda: pytest.fail("torch")) is None
        assert said(caplog)[-1].endswith("exporting the network again.")
        if name != "network.bin":
            (folder / name).write_bytes(sound)
    np.testing.assert_array_equal(load_backbone(path, runtime="openvino").embed_pixels(pixels).vectors, before)
    for blob in sorted((folder / "compiled").glob("*.blob")):
        flip(blob)
        np.testing.assert_array_equal(load_backbone(path, runtime="openvino").embed_pixels(pixels).vectors, before)
    caplog.clear()
    load_backbone(path, runtime="openvino")
    assert not said(caplog)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1 << 6
    path.write_bytes(data)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What birdsearch itself said."""
    return [record.getMessage() for record in caplog.records if record.name == "birdsearch"]


def test_a_cache_that_others_may_write_is_not_used_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    path = small_checkpoint(tmp_path)
    assert load_backbone(path, device="cpu").runtime == "openvino"
    for place in (tmp_path / "cache", tmp_path / "cache/networks"):
        assert place.stat().st_mode & 0o777 == 0o700
        place.chmod(0o777)
        caplog.clear()
        assert load_backbone(path, device="cpu").runtime == "torch"
        assert len(said(caplog)) == 1
        assert f"others may write in {place}: `chmod go-w` it" in said(caplog)[0]
        place.chmod(0o700)
    assert load_backbone(path, device="cpu").runtime == "openvino"


def test_what_the_processor_cannot_do_is_said() -> None:
    with pytest.raises(BackboneUnavailableError, match="fp16"):
        load_backbone(DEFAULT, runtime="openvino", precision="fp16")
    with pytest.raises(BackboneUnavailableError, match="runtime torch"):
        load_backbone(DEFAULT, runtime="openvino", device="cuda")


def small_checkpoint(folder: Path) -> Path:
    """A tiny network of the registry with a linear classifier."""
    return checkpoints.write(folder, "mobilenet_v1_0_25", "tiny", class_names=("Wren", "Robin", "Dunnock"), size=64)
