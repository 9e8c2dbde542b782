"""Which photos lie together: communities of the neighbour graph, k-means as the alternative; what a cluster holds.

The graph joins each photo to its nearest ones. A score is weighed against how close the neighbours of both photos
usually are (self-tuning scale, Zelnik-Manor and Perona 2004), and every photo is given the same total weight, so that
neither a dense species nor a photo that is near to everything gathers what is not its own. Leiden (Traag et al. 2019)
cuts that graph with the constant Potts model: communities stay together while their mean link is stronger than the
resolution. With total weights of 1, one over the resolution is a ceiling for the photos of a community.

The automatic resolution sees no labels. Each candidate is rated by how likely the vectors are where every cluster has
a mean of its own and photos stray around it, with one spread of means and one spread of photos per dimension (the
two-covariance model of PLDA, Ioffe 2006, with diagonal ones), less what it costs to say which photo is where. Too fine,
and means lie as close to each other as photos of one cluster do; too coarse, and photos stray too far.
"""

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from birdsearch.memory import check_room
from birdsearch.records import Cluster, ClusterReport, Ids, Progress, Vectors, blocks
from birdsearch.search import graph as graphs
from birdsearch.search.exact import Neighbours
from birdsearch.species.gallery import Gallery
from birdsearch.species.plda import class_sums

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOURS = 12  # of each photo that make the graph; longer lists are cut
NODE = 3_000  # bytes of a photo in the graph, and of what finds its communities, at least (benchmarks.growth)
MEDOIDS = 3  # photos that stand for a cluster
_STEEP = 3.0  # how fast a link fades beyond that scale
_SMALLEST = 3.0  # the finest ceiling that is tried, in photos of a community
_STEP = 1.5  # from one ceiling that is tried to the next
TRIED_ON = 30_000  # photos; of more, whole coarse communities are drawn to try resolutions on
_ROWS = 65_536  # worked on at a time
_OUTLIER = 3.0  # robust deviations from which on a photo is an outlier

Labels = npt.NDArray[np.int64]  # (n,) the cluster of each photo, 0 the largest


@dataclass(frozen=True, slots=True)
class Partition:
    """Photos sorted into clusters."""

    labels: Labels  # (n,)
    method: str  # in words, with its settings
    resolution: float | None = None  # of communities

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max()) + 1 if len(self.labels) else 0


def communities(
    vectors: Vectors,
    neighbours: Neighbours,
    *,
    resolution: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Partition:
    """Communities of the neighbour graph of unit rows (n, dim); the same for the same seed.

    `neighbours` (n, k) of each row are row numbers, best first, and may hold the row itself. A higher `resolution`
    (0 to 1) gives smaller communities; None chooses it without labels.
    """
    if len(neighbours.ids) != len(vectors):
        raise ValueError(f"there are {len(vectors)} vectors and neighbours of {len(neighbours.ids)}")
    if resolution is not None and not resolution > 0:
        raise ValueError(f"resolution must be above 0, got {resolution}")
    check_room(len(vectors), NODE)
    rows, scores = _without_self(neighbours)
    graph = _graph(rows, scores)
    chosen = "given"
    if resolution is None:
        resolution, chosen = _best_resolution(vectors, graph, seed, progress), "chosen by likelihood"
    labels = _leiden(graph, resolution, seed)
    method = f"Leiden communities of {rows.shape[1]} neighbours, resolution {resolution:.4g} ({chosen}), seed {seed}"
    return Partition(labels, method, resolution)


def spherical_kmeans(vectors: Vectors, clusters: int, *, seed: int = 0) -> Partition:
    """At most `clusters` clusters of unit rows (n, dim) around mean directions."""
    if clusters < 1:
        raise ValueError(f"clusters must be at least 1, got {clusters}")
    method = f"spherical k-means, {clusters} clusters, seed {seed}"
    # More centres than different rows make scikit-learn warn.
    few = len(vectors) <= _ROWS // 8
    different = len(np.unique(vectors[: _ROWS // 8], axis=0)) if len(vectors) else 0
    if min(clusters, different) < 2:
        return Partition(np.zeros(len(vectors), dtype=np.int64), method)
    from sklearn.cluster import KMeans, MiniBatchKMeans

    # On unit rows the nearest mean by distance is the nearest by angle but for the means' lengths.
    exact = KMeans(min(clusters, different), n_init=1, random_state=seed)
    batched = MiniBatchKMeans(clusters, n_init=1, batch_size=max(4096, 4 * clusters), random_state=seed)
    model = exact if few else batched
    return Partition(_largest_first(model.fit_predict(vectors)), method)


def report(
    vectors: Vectors,
    ids: Ids,
    partition: Partition,
    labels: Sequence[str | None] | None = None,
    neighbours: Neighbours | None = None,
) -> ClusterReport:
    """What each cluster of the unit vectors (n, dim) of photos `ids` (n,) holds, and how far it agrees with the labels.

    `labels` (n,) are None for photos without one. `neighbours` are those of `communities`; without them
    there are no outliers.
    """
    names: Sequence[str | None] = [None] * len(ids) if labels is None else labels
    central = _centrality(vectors, partition.labels, partition.count)
    # Clusters one after the other, the most central photos of each first; ties by their order.
    order = np.lexsort((np.arange(len(ids)), -central, partition.labels))
    sizes = np.bincount(partition.labels, minlength=partition.count)
    members = np.split(order, np.cumsum(sizes)[:-1]) if len(order) else []
    far = outliers(neighbours) if neighbours is not None else np.empty(0, dtype=np.int64)
    return ClusterReport(
        clusters=tuple(_cluster(number, rows, names, ids) for number, rows in enumerate(members)),
        outliers=tuple(ids[far].tolist()),
        agreement=agreement(names, partition.labels),
        method=partition.method,
    )


def _cluster(number: int, rows: Ids, names: Sequence[str | None], ids: Ids) -> Cluster:
    """The record of the photos in these rows, the most central first."""
    counts = Counter(name for row in rows.tolist() if (name := names[row]) is not None)
    mixed = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))  # the commonest first
    label = next(iter(mixed), None)
    return Cluster(
        id=number,
        photos=tuple(ids[np.sort(rows)].tolist()),
        medoids=tuple(ids[rows[:MEDOIDS]].tolist()),
        label=label,
        purity=None if label is None else mixed[label] / sum(mixed.values()),
        mixed=mixed,
    )


def agreement(names: Sequence[str | None], labels: Labels) -> dict[str, float]:
    """How far clusters (n,) follow the species that `names` (n,) assert; empty where fewer than two are asserted.

    `ami` and `ari` are 0 for chance and 1 for the same partition; `homogeneity` and `purity` reach 1 where every
    cluster holds one species, however finely it is cut.
    """
    named = np.array([row for row, name in enumerate(names) if name is not None], dtype=np.int64)
    codes: dict[str, int] = {}
    truth = np.array([codes.setdefault(name, len(codes)) for name in names if name is not None], dtype=np.int64)
    if len(codes) < 2:
        return {}
    from sklearn import metrics

    clusters = labels[named]
    with warnings.catch_warnings():
        # Nearly as many species as photos is not a mistake: a collection may have one photo of each.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        counts = metrics.cluster.contingency_matrix(truth, clusters, sparse=True)
        return {
            "ami": float(metrics.adjusted_mutual_info_score(truth, clusters)),
            "ari": float(metrics.adjusted_rand_score(truth, clusters)),
            "homogeneity": float(metrics.homogeneity_score(truth, clusters)),
            "purity": float(counts.max(axis=0).sum() / len(named)),
        }


def outliers(neighbours: Neighbours) -> Labels:
    """Rows that lie much farther from their neighbours than those from theirs, the farthest first.

    The local outlier factor of Breunig et al. (2000) with plain mean distances, and a robust limit.
    """
    rows, scores = _without_self(neighbours)
    if len(rows) < 3 or not rows.shape[1]:
        return np.empty(0, dtype=np.int64)
    rows, scores = rows[:, : graphs.SCALE], scores[:, : graphs.SCALE]
    known = rows >= 0
    count = np.maximum(known.sum(axis=1), 1)
    far = np.where(known, np.maximum(1 - scores, 0), 0).sum(axis=1) / count + 1e-3
    usual = np.where(known, far[rows], 0).sum(axis=1) / count
    factor = np.log(far / np.where(known.any(axis=1), usual, far))
    middle = np.median(factor)
    # The least spread that counts keeps photos that are all alike from having outliers by rounding.
    spread = max(1.4826 * float(np.median(np.abs(factor - middle))), 0.01)
    deviation = (factor - middle) / spread
    far_out = np.flatnonzero(deviation > _OUTLIER)
    return np.asarray(far_out[np.argsort(-deviation[far_out], kind="stable")], dtype=np.int64)


def _without_self(neighbours: Neighbours) -> tuple[Labels, Vectors]:
    """Row numbers (n, k) and scores (n, k) of the neighbours that are not the photo itself; -1 for none."""
    count = len(neighbours.ids)
    return graphs.others(neighbours, np.arange(count), min(NEIGHBOURS, max(count - 1, 0)))


def _graph(rows: Labels, scores: Vectors) -> "csr_matrix":
    """The symmetric graph (n, n) of neighbours (n, k), every photo with links of total weight 1."""
    count = len(rows)
    graph = graphs.symmetric_links(np.arange(count), rows, scores, graphs.scales(rows, scores), _STEEP)
    start = np.repeat(np.arange(count, dtype=np.int32), np.diff(graph.indptr))
    for _ in range(10):  # Sinkhorn and Knopp (1967), symmetric: it has settled by then
        total = np.bincount(start, weights=graph.data, minlength=count)
        factor = 1 / np.sqrt(np.where(total > 0, total, 1))
        graph.data *= factor[start] * factor[graph.indices]
    return graph


def _leiden(graph: "csr_matrix", resolution: float, seed: int) -> Labels:
    """The community of each node; those without links are communities of their own."""
    import graspologic_native

    count = graph.shape[0]
    labels = np.arange(count, dtype=np.int64) + count
    if graph.nnz:
        _, community_of = graspologic_native.leiden_csr(
            graph.indptr.astype(np.int64),
            graph.indices.astype(np.int32),
            graph.data.astype(np.float64),
            count,
            resolution=resolution,
            use_modularity=False,
            seed=seed,
        )
        labels[list(community_of)] = list(community_of.values())
    return _largest_first(labels)


def _largest_first(labels: npt.NDArray[Any]) -> Labels:
    """The same clusters, numbered by size; equal ones by their first photo."""
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return number[inverse]


def _best_resolution(vectors: Vectors, graph: "csr_matrix", seed: int, progress: Progress | None) -> float:
    """The resolution whose communities make the vectors most likely, tried in steps and then more finely."""
    part = _whole_communities(graph, seed)
    if len(part) < len(vectors):
        graph = graph[part][:, part].tocsr()
    vectors = np.asarray(vectors[part])
    vectors = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    count = len(vectors)
    likelihood: dict[float, float] = {}  # of the ceilings that were tried

    coarsening = 1 + max(0, int(np.ceil(np.log(max(count, 1) / _SMALLEST) / np.log(_STEP))))
    planned = coarsening + 5  # no link is cut, and twice two between those that are best

    def evaluate(ceiling: float) -> None:
        likelihood[ceiling] = _likelihood(vectors, _leiden(graph, 1 / ceiling, seed))
        if progress is not None:
            progress("cluster", len(likelihood), planned, "")

    for step in range(coarsening):
        evaluate(_SMALLEST * _STEP**step)
    evaluate(10.0 * max(count, 1))  # every link stays
    for power in (0.5, 0.25):
        best = max(likelihood, key=lambda ceiling: (likelihood[ceiling], ceiling))
        for ceiling in (best * _STEP**-power, best * _STEP**power):
            evaluate(ceiling)
    # Where nothing tells clusters apart the coarsest is as good as any, and plainer.
    return 1 / max(likelihood, key=lambda ceiling: (likelihood[ceiling], ceiling))


def _whole_communities(graph: "csr_matrix", seed: int) -> Labels:
    """Rows of coarse communities drawn at random, whole ones: what a resolution does inside it does in the full graph.

    (The constant Potts model has no resolution limit; a draw of photos would thin the species out instead.)
    """
    count = graph.shape[0]
    if count <= TRIED_ON:
        return np.arange(count)
    coarse = _leiden(graph, 8 / TRIED_ON, seed)
    sizes = np.bincount(coarse)
    drawn = np.random.default_rng(seed).permutation(len(sizes))
    taken = drawn[np.cumsum(sizes[drawn]) <= TRIED_ON]
    return np.flatnonzero(np.isin(coarse, taken if len(taken) else drawn[:1]))


def _likelihood(vectors: Vectors, labels: Labels) -> float:
    """Log-likelihood per row of centred rows (n, dim) given their clusters, less the cost of naming the clusters.

    The spreads are those of the analysis of variance with uneven sizes (Searle et al. 1992). Minus infinity where
    every row is a cluster of its own, which leaves nothing to tell the two spreads by.
    """
    count, clusters = len(labels), int(labels.max(initial=-1)) + 1
    if count <= clusters:
        return -np.inf
    sums, sizes = _sums(vectors, labels, clusters)
    squares = np.einsum("ij,ij->j", vectors, vectors, dtype=np.float64)  # (dim,)
    spread = sums.astype(np.float64) ** 2 / sizes[:, None]  # (clusters, dim), size * mean**2
    inside = np.maximum(squares - spread.sum(axis=0), 0)
    # No dimension is so quiet that it alone decides.
    photo = np.maximum(inside / (count - clusters), 1e-3 * squares.mean() / count + 1e-9)
    typical = (count - (sizes.astype(np.float64) ** 2).sum() / count) / max(clusters - 1, 1)
    between = spread.sum(axis=0) / max(clusters - 1, 1)
    mean = np.maximum(between - photo, 0) / max(typical, 1)
    variance, logarithm = 0.0, 0.0
    for size in np.unique(sizes):
        expected = photo + size * mean
        same = sizes == size
        variance += float((spread[same] / expected).sum())
        logarithm += int(same.sum()) * float(np.log(expected).sum())
    likely = -0.5 * (
        (count - clusters) * float(np.log(photo).sum()) + logarithm + float((inside / photo).sum()) + variance
    )
    naming = -float((sizes * np.log(sizes / count)).sum())
    return round((likely - naming) / count, 6)


def _sums(vectors: Vectors, labels: Labels, count: int) -> tuple[Vectors, Labels]:
    """The sum of the rows of each cluster (count, dim), and the number of its rows (count,)."""
    sums = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    for block in blocks(len(vectors), _ROWS):
        sums += class_sums(vectors[block], labels[block], count)
    return sums, np.bincount(labels, minlength=count)


def _centrality(vectors: Vectors, labels: Labels, count: int) -> npt.NDArray[np.float64]:
    """How close each row lies to the rest of its cluster, (n,)."""
    central = np.zeros(len(vectors))
    sums, _ = _sums(vectors, labels, count)
    for block in blocks(len(vectors), _ROWS):
        central[block] = np.einsum("ij,ij->i", vectors[block], sums[labels[block]])
    return central.round(5)  # rounding must not order photos that are equal


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How to cluster: communities of the neighbour graph ("leiden"), or "kmeans" with `clusters` clusters."""

    method: str = "leiden"
    resolution: float | None = None
    clusters: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("leiden", "kmeans"):
            raise ValueError(f"method must be leiden or kmeans, got {self.method!r}")


def of(gallery: Gallery, options: ClusterOptions = ClusterOptions(), progress: Progress | None = None) -> ClusterReport:
    """The clusters of the photos of a gallery."""
    started = time.monotonic()
    if not len(gallery.photos):
        return ClusterReport(seconds=time.monotonic() - started)
    near = gallery.neighbours()
    if options.method == "leiden":
        partition = communities(
            gallery.vectors, near, resolution=options.resolution, seed=options.seed, progress=progress
        )
    else:
        count = (
            options.clusters or len({label for label in gallery.labels if label}) or round(np.sqrt(len(gallery.photos)))
        )
        partition = spherical_kmeans(gallery.vectors, max(1, count), seed=options.seed)
    described = report(gallery.vectors, gallery.ids, partition, gallery.labels, near)
    return replace(described, seconds=time.monotonic() - started)
