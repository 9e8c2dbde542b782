"""The commands clusters and species: which photos and which species look alike."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.export.tables import photo_row
from birdsearch.records import counted, percent

from . import options, output
from .options import Seed, Shared
from .output import LISTED
from .progress import progress

if TYPE_CHECKING:
    from birdsearch import Index
    from birdsearch.records import ClusterReport, SpeciesReport

METRICS = {"ami": "AMI", "ari": "ARI"}
PHOTO = ("id", "path", "label", "sha256", "index_id", "relative_path")  # columns
SPECIES_COLUMNS = ("species", "photos", "cohesion", "nearest", "nearest_score", "overlap", "medoids", "boundary")

Method = Annotated[
    Literal["leiden", "kmeans"], typer.Option(help="Communities of the neighbour graph, or spherical k-means.")
]
Resolution = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="For leiden, 0 to 1: higher gives smaller clusters. The default is chosen without using your labels.",
        callback=options.number_within("--resolution", 1e-9, 1),
    ),
]
Count = Annotated[int | None, typer.Option(metavar="N", min=1, help="For kmeans: the number of clusters.")]
OnlySpecies = Annotated[
    str | None, typer.Option(metavar="SPECIES", help="Cluster the photos of one species: plumages, ages, scenes.")
]


@options.command(where=True, formats=("json", "csv", "html"))
def clusters(
    method: Method = "leiden",
    resolution: Resolution = None,
    clusters: Count = None,
    only_species: OnlySpecies = None,
    seed: Seed = 0,
    *,
    shared: Shared,
) -> None:
    if clusters is not None and method != "kmeans":
        raise typer.BadParameter("needs --method kmeans", param_hint="'--clusters'")
    if resolution is not None and method != "leiden":
        raise typer.BadParameter("needs --method leiden", param_hint="'--resolution'")
    how: dict[str, Any] = {"method": method, "resolution": resolution, "clusters": clusters}
    with shared.open() as index, progress() as callback:
        report = index.clusters(shared.where, **how, only_species=only_species, seed=seed, progress=callback)
        if shared.html is not None:
            from birdsearch.export.html import album
            from birdsearch.export.html.species import clusters_page

            title = f"Clusters of {only_species}" if only_species else "Clusters"
            page = clusters_page(report, album.of_clusters(index, report, shared.where), title, origin=shared.origin)
            output.write_page(shared.html, page, shared.force)
        if shared.csv:
            output.print_csv(("cluster", "medoid", "outlier", *PHOTO), _cluster_rows(report, index))
    if shared.json:
        output.print_json(report)
    elif not shared.csv:
        _print_clusters(report)


def _cluster_rows(report: "ClusterReport", index: "Index") -> Iterable[Sequence[Any]]:
    outliers, provenance = set(report.outliers), index.provenance
    for cluster in report.clusters:
        for photo in index.each_photo(ids=cluster.photos):
            row = photo_row(photo, PHOTO, provenance)
            yield cluster.id, int(photo.id in cluster.medoids), int(photo.id in outliers), *row


def _print_clusters(report: "ClusterReport") -> None:
    if not report.clusters:
        output.say("no photos to cluster")
        return
    rows = []
    for cluster in report.clusters[:LISTED]:
        mixed = ", ".join(f"{name} {count}" for name, count in list(cluster.mixed.items())[:3])
        more = f" and {len(cluster.mixed) - 3} more" if len(cluster.mixed) > 3 else ""
        labels = (mixed + more) or "no label"
        rows.append((str(cluster.id), f"{len(cluster.photos):,}", output.share(cluster.purity), labels))
    output.print_table(("cluster", "photos", "purity", "species"), rows, numbers=("cluster", "photos", "purity"))
    output.say("")
    output.note_cut(len(report.clusters), "clusters")
    photos = sum(len(cluster.photos) for cluster in report.clusters)
    sums = [counted(photos, "photo") + f" in {counted(len(report.clusters), 'cluster')}"]
    sums += [counted(len(report.outliers), "outlier"), f"in {report.seconds:.1f} s"]
    output.say(", ".join(sums))
    if "purity" in report.agreement:
        output.say(
            f"{percent(report.agreement['purity'])} of the labelled photos show the main species of their cluster"
        )
    if report.method:
        output.say(report.method)
    if report.agreement:
        figures = ", ".join(f"{METRICS.get(name, name)} {value:.3f}" for name, value in report.agreement.items())
        output.say(f"agreement with labels: {figures}")


@options.command(where=True, formats=("json", "csv", "html"))
def species(*, shared: Shared) -> None:
    with shared.open() as index, progress() as callback:
        report = index.species_report(shared.where, progress=callback)
        if shared.html is not None:
            from birdsearch.export.html import album
            from birdsearch.export.html.species import species_page

            page = species_page(report, album.of_species(index, report, shared.where), origin=shared.origin)
            output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json(report)
    elif shared.csv:
        rows = (
            [*(_joined(getattr(entry, name)) for name in SPECIES_COLUMNS), *_confused(entry.species, report)]
            for entry in report.species
        )
        output.print_csv((*SPECIES_COLUMNS, "confused_with", "confused_photos"), rows)
    else:
        _print_species(report, shared)


def _joined(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _confused(name: str, report: "SpeciesReport") -> tuple[str, str]:
    """The species that one is confused with, the most confused first, and how many photos of both are."""
    pairs = [pair for pair in report.confusions if name in (pair.first, pair.second)]
    others = "; ".join(pair.second if pair.first == name else pair.first for pair in pairs)
    return others, "; ".join(str(pair.photos) for pair in pairs)


def _print_species(report: "SpeciesReport", shared: Shared) -> None:
    if not report.species:
        output.say("no species: no photo has a label or a predicted species")
        output.note(f"Next: birdsearch index DIR --labels folder{shared.index_option}")
        return
    worst = sorted(report.species, key=lambda entry: (-(entry.overlap or 0), entry.species))[:LISTED]
    rows = [
        (
            entry.species,
            f"{entry.photos:,}",
            output.score(entry.cohesion),
            output.share(entry.overlap),
            entry.nearest or "",
            output.score(entry.nearest_score),
        )
        for entry in worst
    ]
    columns = ("species", "photos", "alike", "mixed up", "nearest", "score")
    output.print_table(columns, rows, numbers=("photos", "alike", "mixed up", "score"))
    output.say("")
    output.note_cut(len(report.species), "species, the most mixed up ones,")
    output.note(
        "alike: mean score of two photos of the species; mixed up: share of its photos whose nearest photo shows "
        "another species"
    )
    if report.confusions:
        pairs = [(c.first, c.second, f"{c.photos:,}", output.share(c.share)) for c in report.confusions[:LISTED]]
        output.print_table(("species", "confused with", "photos", "share"), pairs, numbers=("photos", "share"))
        output.say("")
    photos = counted(sum(entry.photos for entry in report.species), "photo")
    pairs_found = counted(len(report.confusions), "confusable pair")
    output.say(f"{photos} of {report.count.words}, {pairs_found}, in {report.seconds:.1f} s")
