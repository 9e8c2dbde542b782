"""A backbone for tests in which the network does not matter: instant, deterministic, and it counts its work."""

import time

import numpy as np

from birdsearch.backbones import BUILT_IN, DEFAULT
from birdsearch.backbones.backbone import Backbone, BackboneSpec, PooledMap
from birdsearch.backbones.classes import Classifier
from birdsearch.backbones.custom import CustomNetwork
from birdsearch.records import Pixels, Vectors
from birdsearch.taxonomy.resolve import species_of_class


class FakeBackbone:
    """Sees colours and edges: nearby pictures get nearby vectors, different ones do not."""

    name = "fake"
    dim = 16
    input_size = (64, 64)

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay  # seconds per photo, for tests that interrupt a run
        self.embedded = 0  # photos embedded so far
        self.calls = 0

    def embed(self, images: Pixels) -> Vectors:  # (n, h, w, 3) uint8 -> (n, 16) float32
        """Mean colours of the four quarters and edge strengths in four directions."""
        self.calls += 1
        self.embedded += len(images)
        time.sleep(self.delay * len(images))
        values = images.astype(np.float32) / 255.0
        n, height, width, _ = values.shape
        halves = (slice(0, height // 2), slice(height // 2, None)), (slice(0, width // 2), slice(width // 2, None))
        colours = [values[:, rows, columns].mean(axis=(1, 2)) - 0.45 for rows in halves[0] for columns in halves[1]]
        grey = values.mean(axis=3)
        steps = [
            np.abs(grey[:, 1:] - grey[:, :-1]),
            np.abs(grey[:, :, 1:] - grey[:, :, :-1]),
            np.abs(grey[:, 1:, 1:] - grey[:, :-1, :-1]),
            np.abs(grey[:, 1:, :-1] - grey[:, :-1, 1:]),
        ]
        edges = np.stack([step.reshape(n, -1).mean(axis=1) for step in steps], axis=1)
        # Never all zero, even for a photo of one flat mid-grey.
        return np.concatenate([*colours, edges + 0.02], axis=1).astype(np.float32)


def classifying(names: tuple[str, ...], weights: Vectors, bias: Vectors) -> Backbone:
    """The same with classes; their scores are weights (classes, 16) @ embedding + bias (classes,)."""
    species = [species_of_class(name) for name in names]
    spec = BackboneSpec(
        name="fake classes",
        dim=FakeBackbone.dim,
        input_size=FakeBackbone.input_size,
        class_names=names,
        class_species=tuple(name for name, _ in species),
        class_ranks=tuple(rank for _, rank in species),
        classifier=Classifier(weights, bias),
    )
    return Backbone.of(spec, CustomNetwork(FakeBackbone()))


class _FakeNetwork(CustomNetwork):
    def feature_map(self, pixels: Pixels) -> dict[str, Vectors]:
        """(h, w, 3) uint8 -> "stage1" -> (3, h / 8, w / 8)."""
        return {"stage1": pixels[::8, ::8].transpose(2, 0, 1).astype(np.float32) / 255.0}

    def pooled_map(self, pixels: Pixels) -> PooledMap:
        """(h, w, 3) uint8 -> (16, h / 16, w / 16): the embedding in each cell, the brighter the more of it."""
        light = pixels[::16, ::16].mean(axis=2) + 1
        cells = self.run(pixels[None]).embeddings[0][:, None, None] * (light / light.mean())
        return PooledMap(cells.astype(np.float32), exact=True)


def built_in() -> Backbone:
    """Stands in for the built-in network, under its name: six classes of ImageNet, instant."""
    names = ("bulbul", "bee eater", "macaw", "robin", "brambling", "house finch")
    weights = np.random.default_rng(5).normal(size=(len(names), FakeBackbone.dim)).astype(np.float32) * 4
    spec = BackboneSpec(
        name=DEFAULT,
        dim=FakeBackbone.dim,
        input_size=FakeBackbone.input_size,
        source=DEFAULT,
        recipe=BUILT_IN[DEFAULT].recipe,
        class_names=names,
        class_species=(None,) * len(names),
        class_ranks=("ImageNet",) * len(names),
        classifier=Classifier(weights, np.zeros(len(names), np.float32)),
    )
    return Backbone.of(spec, _FakeNetwork(FakeBackbone()))
