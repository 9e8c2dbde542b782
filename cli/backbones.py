"""The commands backbones, backbones list, backbones pull and backbones pull-text."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .options import Json
from .progress import progress
from .runner import Command, Group

if TYPE_CHECKING:
    from birdsearch import BackboneInfo

_PULL = "birdsearch backbones pull"
app = typer.Typer(name="backbones", cls=Group, add_completion=False)
All = Annotated[bool, typer.Option("--all", help="Also list every other backbone that birder can load.")]


@app.callback(invoke_without_command=True)
def backbones(context: typer.Context, all_: All = False, json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_(all_, json)


@app.command("list", cls=Command, epilog="Example: birdsearch backbones list --all --json")
def list_(all_: All = False, json: Json = False) -> None:
    """List the networks that an index can be made with."""
    import birdsearch

    known = birdsearch.list_backbones()
    listed = known if all_ else [info for info in known if _is_listed(info)]
    if json:
        output.print_json(listed)
        return
    columns = ("backbone", "dim", "input", "classes", "params", "MB", "here", "words")
    output.print_table(columns, map(_row, listed), numbers=columns[1:6])
    if not all_ and len(listed) < len(known):
        output.note(
            f"{len(known) - len(listed)} more with --all. Words (birdsearch query WORDS) take one with words: for "
            'names of species BioCLIP\'s, for scenes such as "with a fish" the others'
        )


def _is_listed(info: "BackboneInfo") -> bool:
    """Whether a network is listed without --all: for birds, built in, or one that words can be asked of."""
    import birdsearch

    return not info.download_mb or info.name in birdsearch.BIRD_BACKBONES or info.words != "no"


def _row(info: "BackboneInfo") -> list[str]:
    millions = "" if info.parameters is None else f"{info.parameters / 1e6:.1f} M"
    size = f"{info.input_size[0]} px"
    download = f"{info.download_mb:,.0f}" if info.download_mb else ""
    dim, classes = ("" if value is None else f"{value:,}" for value in (info.dim, info.classes))
    return [
        info.name,
        dim.replace(",", ""),
        size,
        classes,
        millions,
        download,
        "yes" if info.cached else "no",
        info.words,
    ]


@app.command("pull", cls=Command, epilog=f"Example: {_PULL} rope_vit_reg4_b14_capi-inat21")
def pull(name: Annotated[str, typer.Argument(metavar="NAME", help="The backbone to download.")]) -> None:
    """Download the weights of a backbone and check their sha256."""
    import birdsearch

    with progress() as callback:
        path = birdsearch.pull_backbone(name, progress=callback)
    output.say(str(path))


@app.command("pull-text", cls=Command, epilog=f"Example: {_PULL}-text vit_l14_pn_bioclip-v2")
def pull_text(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="The backbone, or its checkpoint, whose index is to know words.")
    ],
    clip: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CLIP",
            help="What open_clip loads: hf-hub:ORG/NAME, local-dir:FOLDER, MODEL:TAG or MODEL:FILE. Needed for a "
            "backbone for which birdsearch knows none.",
        ),
    ] = None,
) -> None:
    """Fetch the text tower that belongs to a backbone, so that its indexes answer words.

    It is exported once, which needs birdsearch[text], and only where its photo tower is this backbone.
    """
    import birdsearch

    with progress() as callback:
        path = birdsearch.pull_text(name, clip, progress=callback)
    output.say(str(path))
