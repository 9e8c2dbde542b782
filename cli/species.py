"""Commands about species: how photos sit together, which labels are doubtful, how well the index knows its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.records import counted

from . import options, output
from .options import Csv, Html, IndexName, Json

if TYPE_CHECKING:
    from birdsearch.records import ClusterReport, Filter, SpeciesReport

LISTED = 30  # rows that are enough to look at in a table
METRICS = {"ami": "AMI", "ari": "ARI"}

Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Another seed, another choice among equals.")]


# Clusters


@options.takes_filter
def clusters(
    index: IndexName = None,
    method: Annotated[
        Literal["leiden", "kmeans"], typer.Option(help="Communities of the neighbour graph, or spherical k-means.")
    ] = "leiden",
    resolution: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="Of leiden, 0 to 1: higher gives smaller clusters. Without it: chosen, with no look at labels.",
            callback=options.number_within("--resolution", 1e-9, 1),
        ),
    ] = None,
    clusters: Annotated[int | None, typer.Option(metavar="N", min=1, help="Of kmeans: how many clusters.")] = None,
    only_species: Annotated[
        str | None, typer.Option(metavar="SPECIES", help="Sort the photos of one species: plumages, ages, scenes.")
    ] = None,
    seed: Seed = 0,
    json: Json = False,
    csv: Csv = False,
    html: Html = None,
    where: "Filter | None" = None,
) -> None:
    """Sort photos into clusters of those that look alike, and say what each mixes."""
    options.only_one(json, csv)
    if clusters is not None and method != "kmeans":
        raise typer.BadParameter("needs --method kmeans", param_hint="'--clusters'")
    if resolution is not None and method != "leiden":
        raise typer.BadParameter("needs --method leiden", param_hint="'--resolution'")
    with options.open_index(index) as opened:
        report = opened.clusters(
            where, method=method, resolution=resolution, clusters=clusters, only_species=only_species, seed=seed
        )
        if html is not None:
            from birdsearch.export.html import album, species

            title = f"Clusters of {only_species}" if only_species else "Clusters"
            page = species.clusters_page(report, album.of_clusters(opened, report, where), title)
            output.write_page(html, page)
        paths = {photo.id or 0: (photo.path, photo.label) for photo in opened.photos(where)} if csv else {}
    if json:
        output.print_json(report)
    elif csv:
        rows = _cluster_rows(report, paths)
        output.print_csv(("cluster", "id", "path", "label", "medoid", "outlier"), rows)
    else:
        _print_clusters(report)


def _cluster_rows(report: "ClusterReport", paths: Mapping[int, tuple[str, str | None]]) -> Iterable[Sequence[Any]]:
    outliers = set(report.outliers)
    for cluster in report.clusters:
        for number in cluster.photos:
            path, label = paths[number]
            yield cluster.id, number, path, label, int(number in cluster.medoids), int(number in outliers)


def _print_clusters(report: "ClusterReport") -> None:
    if not report.clusters:
        output.say("no photos to sort")
        return
    rows = []
    for cluster in report.clusters[:LISTED]:
        mixed = ", ".join(f"{name} {count}" for name, count in list(cluster.mixed.items())[:3])
        more = f" and {len(cluster.mixed) - 3} more" if len(cluster.mixed) > 3 else ""
        rows.append((str(cluster.id), f"{len(cluster.photos):,}", _share(cluster.purity), (mixed + more) or "no label"))
    output.print_table(("cluster", "photos", "purity", "species"), rows, numbers=("cluster", "photos", "purity"))
    output.say("")
    _more(len(report.clusters), "clusters")
    photos = sum(len(cluster.photos) for cluster in report.clusters)
    output.say(
        f"{counted(photos, 'photo')} in {counted(len(report.clusters), 'cluster')}, "
        f"{counted(len(report.outliers), 'photo')} like no other, in {report.seconds:.1f} s"
    )
    if report.method:
        output.say(report.method)
    if report.agreement:
        said = ", ".join(f"{METRICS.get(name, name)} {value:.3f}" for name, value in report.agreement.items())
        output.say(f"against the labels: {said}")


# Species


@options.takes_filter
def species(
    index: IndexName = None,
    json: Json = False,
    csv: Csv = False,
    html: Html = None,
    where: "Filter | None" = None,
) -> None:
    """Show how the species sit next to each other: how tight each is, what lies closest, what is taken for what."""
    options.only_one(json, csv)
    with options.open_index(index) as opened:
        report = opened.species_report(where)
        if html is not None:
            from birdsearch.export.html import album
            from birdsearch.export.html.species import species_page

            output.write_page(html, species_page(report, album.of_species(opened, report, where)))
    if json:
        output.print_json(report)
    elif csv:
        columns = ("species", "photos", "cohesion", "nearest", "nearest_score", "overlap", "medoids", "boundary")
        output.print_csv(columns, ([_joined(getattr(entry, name)) for name in columns] for entry in report.species))
    else:
        _print_species(report, index)


def _joined(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _print_species(report: "SpeciesReport", index: str | None) -> None:
    if not report.species:
        output.say("no species: no photo has a label, and no prediction names a species")
        output.note(f"Next: birdsearch index DIR --labels folder{options.index_option(index)}")
        return
    worst = sorted(report.species, key=lambda entry: (-(entry.overlap or 0), entry.species))[:LISTED]
    rows = [
        (e.species, f"{e.photos:,}", _score(e.cohesion), _share(e.overlap), e.nearest or "", _score(e.nearest_score))
        for e in worst
    ]
    columns = ("species", "photos", "cohesion", "overlap", "nearest", "score")
    output.print_table(columns, rows, numbers=("photos", "cohesion", "overlap", "score"))
    output.say("")
    _more(len(report.species), "species, those that overlap most,")
    if report.confusions:
        pairs = [(c.first, c.second, f"{c.photos:,}", _share(c.share)) for c in report.confusions[:LISTED]]
        output.print_table(("species", "is taken for", "photos", "share"), pairs, numbers=("photos", "share"))
        output.say("")
    count = sum(entry.photos for entry in report.species)
    pairs_said = counted(len(report.confusions), "confusable pair")
    output.say(f"{counted(count, 'photo')} of {len(report.species):,} species, {pairs_said}, in {report.seconds:.1f} s")


# What they share


def _more(count: int, things: str) -> None:
    if count > LISTED:
        output.note(f"Only the first {LISTED} of {count:,} {things} are shown: --csv lists all, --html shows them.")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}".replace("%", " %")


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
