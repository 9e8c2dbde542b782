"""The command line: each command opens an index, calls one method and prints the result."""

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer

from . import (
    backbones,
    classify,
    demo,
    duplicates,
    evaluation,
    export,
    index,
    labels,
    life_list,
    maintenance,
    names,
    new,
    query,
    regions,
    serve,
    species,
)
from .runner import Command, Group, Guarded

app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: birdsearch demo",
)
_backbones = typer.Typer(cls=Group, no_args_is_help=False)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"birdsearch {version('birdsearch')}")
        raise typer.Exit


@app.callback()
def birdsearch(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search, classify and compare bird photos by what they show."""


def _add(name: str, command: Callable[..., None], panel: str, example: str) -> None:
    app.command(name, cls=Command, rich_help_panel=panel, epilog=f"Example: {example}")(command)


_add("demo", demo.demo, "Start", "birdsearch demo --photos ~/Pictures/birds")
_add("serve", serve.serve, "Start", "birdsearch serve --index garden")
_add("index", index.index, "Build", "birdsearch index ~/Pictures/birds --index garden --labels folder")
_add("import", export.import_, "Build", "birdsearch import garden.parquet --index copy")
_add("export", export.export, "Build", "birdsearch export wrens.csv --format csv --index garden --species Wren")
_add(
    "query",
    query.query,
    "Ask",
    "birdsearch query mystery.jpg -k 5 --index garden --after 2024-05-01 --html similar.html",
)
_add("classify", classify.classify, "Ask", "birdsearch classify mystery.jpg -k 3")
_add("photos", query.photos, "Ask", "birdsearch photos --index garden --near 52.52,13.40,5 --csv")
_add("regions", regions.regions, "Ask", "birdsearch regions --index garden --html boxes.html")
_add("list", life_list.life_list, "Ask", "birdsearch list --index garden --after 2024-01-01 --html birds.html")
_add("new", new.new, "Ask", "birdsearch new /media/card --index garden --copy-to ~/Pictures/birds/2026")
_add("explain", query.explain, "Ask", "birdsearch explain mystery.jpg 17 --index garden --html why.html")
_add("features", query.features, "Ask", "birdsearch features mystery.jpg --out maps.npz --picture heatmap.png")
_add("dedupe", duplicates.dedupe, "Clean up", "birdsearch dedupe --index garden --html groups.html --plan plan.csv")
_add("undo", duplicates.undo, "Clean up", "birdsearch undo --index garden")
_add("trash", duplicates.trash, "Clean up", "birdsearch trash --index garden")
_add("clusters", species.clusters, "Compare species", "birdsearch clusters --index garden --html clusters.html")
_add("species", species.species, "Compare species", "birdsearch species --index garden --html species.html")
_add(
    "audit",
    labels.audit,
    "Compare species",
    "birdsearch audit --index garden --checklist berlin.txt --html audit.html",
)
_add("label", labels.label, "Compare species", "birdsearch label --index garden --from corrections.csv --author Ana")
_add("names", names.names, "Compare species", "birdsearch names --index garden --guessed")
_add(
    "evaluate",
    evaluation.evaluate,
    "Compare species",
    "birdsearch evaluate --index garden --min-accuracy 0.8 --compare last.json",
)
_add("split", labels.split, "Compare species", "birdsearch split lists --index garden --fractions 0.7,0.15,0.15")
_add("info", maintenance.info, "Maintenance", "birdsearch info --index garden")
_add("indexes", maintenance.indexes, "Maintenance", "birdsearch indexes --json")
_add("failures", maintenance.failures, "Maintenance", "birdsearch failures --index garden --csv")
_add("remove", maintenance.remove, "Maintenance", "birdsearch remove --index garden --under ~/Pictures/birds/blurred")
_add("optimize", maintenance.optimize, "Build", "birdsearch optimize --index garden --recall 0.99 --whiten")
_add("verify", maintenance.verify, "Maintenance", "birdsearch verify --index garden")
_add("repair", maintenance.repair, "Maintenance", "birdsearch repair --index garden")

_PULL = "birdsearch backbones pull rope_vit_reg4_b14_capi-inat21"
_backbones.callback(invoke_without_command=True)(backbones.backbones)
_backbones.command("list", cls=Command, epilog="Example: birdsearch backbones list --all --json")(backbones.list_)
_backbones.command("pull", cls=Command, epilog=f"Example: {_PULL}")(backbones.pull)
app.add_typer(_backbones, name="backbones", rich_help_panel="Start", epilog="Example: birdsearch backbones --all")


def _replace_closed_streams() -> None:
    """Give closed standard streams (`2>&-`) a stand-in: else what is written to them ends up in files of the index.

    Ends where standard output is closed: no answer could be read.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 -- open until the end
    if sys.stdout is None:
        sys.exit("birdsearch: standard output is closed: redirect it to a file, or to /dev/null.")


def main() -> None:
    """Run the command line."""
    code: object = 0
    _replace_closed_streams()
    # Imports create many objects that stay: looking for garbage as often as by default takes a tenth of a query.
    gc.set_threshold(50_000)
    # For speed alone (the library silences OpenVINO): its converter takes half of its import, and no command needs it.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]  # None: an import of it fails at once
    try:
        app(prog_name="birdsearch")
    except SystemExit as done:
        code = done.code
    except KeyboardInterrupt:  # outside every command
        code = 130
    if "openvino" not in sys.modules or not isinstance(code, int | None):
        raise SystemExit(code)
    # Everything is printed and closed; OpenVINO's teardown would only take another fifth of a second.
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)
