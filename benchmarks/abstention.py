"""How often the labelled photos answer "probably none of your species", for species that they hold and for others.

python -m benchmarks.abstention INDEX
"""

import sys

import numpy as np

import birdsearch
from birdsearch.records import Vectors
from birdsearch.species.classifier import GalleryClassifier, Labels

HELD_OUT = 5  # folds of species: those of one fold are unknown
LEVELS = (0.5, 0.7, 0.8, 0.9)


def measured(vectors: Vectors, labels: Labels, kept: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Novelty of photos of known species (`kept` photos of each are known), whether they are named, and of others."""
    draw = np.random.default_rng(seed)
    species = np.array([str(label) for label in labels])
    names = draw.permutation(np.unique(species))
    place = np.zeros(len(species), dtype=np.int64)  # of a photo among those of its species
    for name in names:
        rows = np.flatnonzero(species == name)
        place[draw.permutation(rows)] = np.arange(len(rows))
    known, right, unknown = [], [], []
    for fold in range(HELD_OUT):
        outside = np.isin(species, names[fold::HELD_OUT])
        fitted = np.flatnonzero(~outside & (place < kept))
        asked = np.flatnonzero(~outside & (place == kept))
        made = GalleryClassifier.fit(vectors[fitted], species[fitted].tolist())
        if made is None:
            raise SystemExit("no photo has a label")
        output = made.predict(vectors[asked])
        known.append(output.novelty)
        right.append(np.array(made.species)[output.probabilities.argmax(axis=1)] == species[asked])
        unknown.append(made.predict(vectors[outside & (place == kept)]).novelty)
    return {"known": np.concatenate(known), "right": np.concatenate(right), "unknown": np.concatenate(unknown)}


def main(path: str) -> None:
    """Print the table."""
    with birdsearch.open(path) as index:
        photos = [photo for photo in index.photos() if photo.label]
        vectors = index.vectors([photo.id or 0 for photo in photos])
    labels = [photo.label for photo in photos]
    print("| photos a species | first answer right | abstains from | own species | of these right | other species |")
    print("|---|---|---|---|---|---|")
    for kept in (1, 2, 4):
        found = measured(vectors, labels, kept)
        for level in LEVELS:
            away = found["known"] >= level
            right = found["right"][away].mean() if away.any() else 0.0
            print(
                f"| {kept} | {found['right'].mean():.1%} | {level} | {away.mean():.1%} | {right:.1%} | "
                f"{(found['unknown'] >= level).mean():.1%} |"
            )


if __name__ == "__main__":
    main(sys.argv[1])
