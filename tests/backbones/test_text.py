"""Words: a real text tower (seeded weights), exported, equals the network asked directly, and belongs to its photos."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import birdsearch
from birdsearch.backbones import DEFAULT, load_backbone, text, text_export
from birdsearch.backbones.openvino_runtime import painted
from birdsearch.backbones.registry import tower_folder
from birdsearch.backbones.text import TextTower
from birdsearch.errors import BackboneMismatchError, BackboneUnavailableError, BackboneUnknownError
from birdsearch.photos import decode
from birdsearch.taxonomy.avilist import world
from tests.support import clips
from tests.support.clips import Pair
from tests.support.drawing import bird, write

WORDS = ["a heron with a fish", "a photo of a blue tit", "two swans on a lake at dawn"]
CURLY = [
    "a bird\u2019s \u201cnest\u201d",
    "Cory&amp;apos;s",
    "owl &amp; mouse &eacute;",
    "Bécasse",
    "Be\u0301casse",
    "ﬁnch…",
    "Ãœ 12 wren_s",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a cache of its own."""
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIRDSEARCH_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def clip(place: Path) -> Pair:
    """A tiny CLIP, whose text tower was pulled."""
    pair = clips.clip(place)
    birdsearch.pull_text(pair.checkpoint, pair.source)
    return pair


def tower(pair: Pair) -> TextTower:
    backbone = load_backbone(pair.checkpoint, runtime="torch", device="cpu")
    found = text.texts_of(backbone.name, backbone.weights_sha256)
    assert isinstance(found, TextTower)
    return found


def scores_equal_the_network(pair: Pair, place: Path, tower_of_photos: Callable[[Any], Any] | None = None) -> None:
    """What an index answers is what the network says, in the same order."""
    photos = place / f"photos of {pair.checkpoint.stem}"
    for seed in range(8):
        write(photos / f"{seed}.png", bird(seed, 300, 240))
    words = tower(pair)
    with birdsearch.create(
        place / f"index of {pair.checkpoint.stem}", backbone=pair.checkpoint, runtime="torch"
    ) as index:
        index.add(photos)
        assert all(photo.predictions == () for photo in index.photos())
        size = index.backbone.input_size
        seen = (tower_of_photos or pair.photos)(np.stack([decode.load(photo.path, size) for photo in index.photos()]))
        direct = pair.texts(words.tokens(WORDS)) @ seen.T
        for asked, expected in zip(WORDS, direct, strict=True):
            matches = index.search_text(asked, k=8)
            assert {match.score_kind for match in matches} == {"text"}
            found = {match.photo.id or 0: match.score for match in matches}
            np.testing.assert_allclose([found[n] for n in range(1, 9)], expected, atol=1e-6)
            assert list(found) == (np.argsort(-expected, kind="stable") + 1).tolist()


def test_a_projecting_encoder_answers_as_the_network_does(clip: Pair, place: Path) -> None:
    assert load_backbone(clip.checkpoint, runtime="torch").projection is not None
    scores_equal_the_network(clip, place)


@pytest.mark.slow
def test_openais_vit_b16_answers_as_the_network_does(place: Path) -> None:
    pair = clips.clip(place, "full", full=True)
    birdsearch.pull_text(pair.checkpoint, pair.source)
    scores_equal_the_network(pair, place)


@pytest.mark.slow
def test_an_encoder_without_a_projection_answers_as_the_network_does(place: Path) -> None:
    pair = clips.siglip(place)
    birdsearch.pull_text(pair.checkpoint, pair.source)
    assert tower(pair).projection is None
    backbone = load_backbone(pair.checkpoint, runtime="torch", device="cpu")

    def birders_tower(pixels: Any) -> Any:
        """open_clip's rounds otherwise within each layer: its vectors lie 4e-5 from these."""
        own, theirs = backbone.embed_pixels(pixels).vectors, pair.photos(pixels)
        np.testing.assert_allclose(own, theirs, atol=2e-5)
        return own

    scores_equal_the_network(pair, place, birders_tower)


def test_words_are_the_networks_own_and_unit(clip: Pair) -> None:
    backbone = load_backbone(clip.checkpoint, runtime="torch", device="cpu")
    vectors = backbone.embed_text(WORDS)
    np.testing.assert_allclose(vectors, clip.texts(tower(clip).tokens(WORDS)), atol=1e-6)
    assert backbone.embed_text([]).shape == (0, 32)
    with pytest.raises(TypeError, match=r"embed_text\(\[text\]\)"):
        backbone.embed_text("wren")
    with pytest.raises(ValueError, match="empty"):
        backbone.embed_text(["wren", "  "])


def test_a_foreign_tower_is_refused_and_not_kept(clip: Pair, place: Path) -> None:
    foreign = clips.clip(place, "foreign", seed=8)
    before = tower(clip).embed(WORDS)
    with pytest.raises(BackboneMismatchError, match="does not belong"):
        birdsearch.pull_text(clip.checkpoint, foreign.source)
    np.testing.assert_array_equal(tower(clip).embed(WORDS), before)
    with pytest.raises(BackboneMismatchError):
        birdsearch.pull_text(foreign.checkpoint, clip.source)
    with pytest.raises(BackboneUnavailableError, match="pull-text"):
        tower(foreign)


def test_another_projection_of_the_same_tower_is_refused(clip: Pair, place: Path) -> None:
    import safetensors.torch

    folder = shutil.copytree(clip.source.removeprefix("local-dir:"), place / "other projection")
    file = folder / "open_clip_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["visual.proj"] = tensors["visual.proj"].flip(1).contiguous()
    safetensors.torch.save_file(tensors, file)
    with pytest.raises(BackboneMismatchError):
        birdsearch.pull_text(clip.checkpoint, f"local-dir:{folder}")


def test_both_checksums_are_kept(clip: Pair) -> None:
    record = tower(clip).record
    assert record.weights_sha256 == load_backbone(clip.checkpoint, runtime="torch").weights_sha256
    assert len(record.text_sha256) == 64


def test_tokens_equal_open_clips(clip: Pair) -> None:
    import open_clip

    long = "a very long sentence about a wren that sings " * 20
    species = world().species.values()
    prompts = [f"a photo of {name}." for one in species for name in (one.english, one.scientific)]
    assert len(prompts) > 22_000
    texts = [*prompts, *CURLY, *WORDS, long, "WREN's 2nd nest!?", "<end_of_text> wren", "鸟 птица 🐦"]
    np.testing.assert_array_equal(tower(clip).tokens(texts), open_clip.tokenize(texts).numpy())


def test_a_cold_question_imports_neither_torch_nor_open_clip(clip: Pair, place: Path) -> None:
    picture = write(place / "cold/1.png", bird(1, 300, 240))
    with birdsearch.create(place / "cold index", backbone=clip.checkpoint, runtime="torch") as index:
        index.add(picture.parent)
    script = (
        "import sys, birdsearch\n"
        f"index = birdsearch.open({str(place / 'cold index')!r})\n"
        "print(len(index.search_text('a wren')))\n"
        "print([name for name in ('torch', 'birder', 'open_clip', 'transformers', 'onnx') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["1", "[]"]


def test_a_damaged_tower_says_so(clip: Pair) -> None:
    backbone = load_backbone(clip.checkpoint, runtime="torch")
    folder = tower_folder(backbone.name, backbone.weights_sha256 or "")
    for name in ("network.bin", "tokenizer.json", "projection.npz", "facts.json"):
        sound = (folder / name).read_bytes()
        (folder / name).write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        with pytest.raises(BackboneUnavailableError, match="pull-text"):
            backbone.embed_text(WORDS)
        (folder / name).write_bytes(sound)
    assert backbone.embed_text(WORDS).shape == (3, 32)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("ViT-B-16:nosuch", "not a known tag"),
        ("ViT-B-16", "names no weights"),
        ("NoNet:openai", "knows no model"),
        ("local-dir:/nowhere", "local-dir"),
    ],
)
def test_what_open_clip_cannot_load_is_said(source: str, hint: str, clip: Pair) -> None:
    with pytest.raises(BackboneUnavailableError, match=hint):
        birdsearch.pull_text(clip.checkpoint, source)


def test_backbones_without_words_name_those_that_have_some() -> None:
    for ask in (lambda: birdsearch.pull_text(DEFAULT), lambda: load_backbone(DEFAULT).embed_text(["wren"])):
        with pytest.raises(BackboneUnavailableError, match="bioclip-v2") as caught:
            ask()
        assert "openai-clip" in str(caught.value)
    with pytest.raises(BackboneUnknownError):
        birdsearch.pull_text("nosuch")


def test_the_pictures_that_prove_belonging_differ(clip: Pair) -> None:
    """Else every photo tower would see them alike, and any tower would belong."""
    vectors: Any = clip.photos(painted((64, 64)))
    assert (vectors @ vectors.T).min() < text_export.SAME_PHOTOS - 0.01
