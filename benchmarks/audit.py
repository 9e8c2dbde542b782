"""How well wrong labels are found: `python -m benchmarks.audit` (needs the environment `cleanlab`).

5 % of the labels of birds300 are exchanged for another species at random, by three seeds. Every ranking is judged by
average precision on the same vectors of the built-in backbone. cleanlab gets what its documentation asks for, the
cross-validated probabilities of a logistic regression on the vectors (its strength told: the best by the truth), and
also birdsearch's own probabilities. Of `find_label_issues` the photos that it names come first in its order, the rest
behind them in the order of the same quality score (to its advantage: by itself it does not rank them). With
birdsearch's probabilities that score alone, without the filter, is birdsearch's own order: the gain lies in the
probabilities. Plain neighbour disagreement is the share of the k nearest photos with another label, k told (the best by
the truth). Nothing is written to RESULTS.md without `--keep`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common import command_line, note, publish, python_of, run, table

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
SHARE = 0.05
SEEDS = (0, 1, 2)
NEIGHBOURS = (3, 5, 10, 20)
STRENGTHS = (0.001, 0.01, 0.1)  # C of the logistic regression


def swapped(labels: Names, seed: int) -> tuple[Names, Flags]:
    """Labels (n,) of which 5 % are exchanged for another species, and which those are."""
    draw, species, out = np.random.default_rng(seed), np.unique(labels), labels.copy()
    for row in draw.permutation(len(labels))[: round(SHARE * len(labels))]:
        out[row] = draw.choice(species[species != labels[row]])
    return out, out != labels


def disagreement(vectors: npt.NDArray[np.float32], labels: Names, k: int) -> Floats:
    """The share (n,) of the k nearest other photos that bear another label."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    near = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.asarray((labels[near] != labels[:, None]).mean(axis=1))


def regression(vectors: npt.NDArray[np.float32], own: npt.NDArray[np.int64], strength: float, seed: int) -> Floats:
    """Cross-validated probabilities (n, species) of a logistic regression."""
    import warnings

    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    rows = StandardScaler().fit_transform(vectors)
    with warnings.catch_warnings():
        # A species of which fewer photos than folds are left is no mistake here.
        warnings.simplefilter("ignore", UserWarning)
        folds = StratifiedKFold(4, shuffle=True, random_state=seed)
        model = LogisticRegression(C=strength, max_iter=200)
        return np.asarray(cross_val_predict(model, rows, own, cv=folds, method="predict_proba"))


def cleanlab_ranks(own: npt.NDArray[np.int64], probabilities: Floats, rank: str) -> Floats:
    """The order (n,) that cleanlab gives, higher for the more doubtful."""
    with tempfile.TemporaryDirectory() as temporary:
        given, answer = Path(temporary) / "in.npz", Path(temporary) / "out.npy"
        np.savez(given, own=own, probabilities=probabilities)
        run([python_of("cleanlab"), Path(__file__), "--cleanlab", given, answer, rank])
        return np.asarray(np.load(answer))


def _cleanlab(given: Path, answer: Path, rank: str) -> None:
    """Inside cleanlab's environment."""
    from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]
    from cleanlab.rank import get_label_quality_scores  # type: ignore[import-not-found]

    with np.load(given) as stored:
        own, probabilities = stored["own"], stored["probabilities"]
    named = find_label_issues(own, probabilities, return_indices_ranked_by=rank, n_jobs=1)
    order = 1 - get_label_quality_scores(own, probabilities, method=rank)
    order[named] = 2 + np.arange(len(named), 0, -1)
    np.save(answer, order)


def judged(vectors: npt.NDArray[np.float32], truth: Names, seed: int) -> dict[str, float]:
    """Average precision of every ranking."""
    from sklearn.metrics import average_precision_score

    from birdsearch.records import Photo
    from birdsearch.species import classifier
    from birdsearch.species.audit import audit

    labels, wrong = swapped(truth, seed)
    names: list[str | None] = [str(label) for label in labels]
    found = audit(vectors, names, np.arange(len(names)), lambda ids: {i: Photo(i, "") for i in ids})
    score = np.zeros(len(names))  # what is not in the list comes last
    for suspect in found.suspects:
        score[suspect.photo.id or 0] = suspect.doubt
    scores = {"birdsearch": score}
    asked = classifier.cross_validate(vectors, names, k=len(names))
    if asked is None:
        raise ValueError("no labels")
    ours = np.full((len(names), len(asked.species)), 1e-12)
    np.put_along_axis(ours, asked.top, np.maximum(asked.probabilities, 1e-12), 1)
    ours /= ours.sum(axis=1, keepdims=True)
    scores["birdsearch's probability of the label (as get_label_quality_scores ranks)"] = -ours[
        np.arange(len(ours)), asked.codes
    ]
    for rank in ("self_confidence", "normalized_margin"):
        name = f"cleanlab find_label_issues, birdsearch's probabilities, by {rank}"
        scores[name] = cleanlab_ranks(asked.codes, ours, rank)
    for strength in STRENGTHS:
        theirs = regression(vectors, asked.codes, strength, seed)
        for rank in ("self_confidence", "normalized_margin"):
            name = f"cleanlab find_label_issues, logistic regression, by {rank}"
            order = cleanlab_ranks(asked.codes, theirs, rank)
            better = name not in scores or average_precision_score(wrong, order) > average_precision_score(
                wrong, scores[name]
            )
            scores[name] = order if better else scores[name]
    figures = {name: float(average_precision_score(wrong, values)) for name, values in scores.items()}
    plain = [float(average_precision_score(wrong, disagreement(vectors, labels, k))) for k in NEIGHBOURS]
    figures["neighbour disagreement, k told"] = max(plain)
    listed = np.isin(np.flatnonzero(wrong), [suspect.photo.id or 0 for suspect in found.suspects])
    proposals = {suspect.photo.id: suspect.proposed for suspect in found.suspects}
    figures["(birdsearch: share of the wrong labels listed)"] = float(listed.mean())
    right = [proposals.get(int(row)) == truth[row] for row in np.flatnonzero(wrong)]
    figures["(birdsearch: share of them with the true species proposed)"] = float(np.mean(right))
    note(f"seed {seed}: {figures}")
    return figures


def main() -> None:
    """Compare on all species and on each half of them."""
    if sys.argv[1:2] == ["--cleanlab"]:
        _cleanlab(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
        return
    parser = command_line("audit", __doc__)
    parser.add_argument("--part", choices=("all", "A", "B"), action="append", help="only these species")
    parser.add_argument("--keep", action="store_true", help="write the table to RESULTS.md")
    options = parser.parse_args()
    from benchmarks import synthetic

    vectors, labels = synthetic.real()
    species = np.unique(labels)
    half = np.isin(labels, np.random.default_rng(123).permutation(species)[: len(species) // 2])
    parts = {"all": np.ones(len(labels), dtype=bool), "A": half, "B": ~half}
    lines: list[list[object]] = []
    for part in options.part or parts:
        figures = [judged(vectors[parts[part]], labels[parts[part]].astype(np.str_), seed) for seed in SEEDS]
        for name in figures[0]:
            values = [each[name] for each in figures]
            lines.append([part, name, *values, float(np.mean(values))])
    body = table(("species", "ranking", *(f"seed {seed}" for seed in SEEDS), "mean"), lines)
    publish("Audit", body, command="python -m benchmarks.audit", keep=options.keep)


if __name__ == "__main__":
    main()
