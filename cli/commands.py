"""Every command as --help lists it. Its function, and what that needs, is loaded when the command is used."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Listed:
    """A command in --help."""

    name: str
    place: str  # MODULE.NAME of its function, or of the group that it is
    panel: str
    help: str
    example: str

    def load(self) -> Any:
        """Its function or group."""
        module, _, name = self.place.partition(".")
        return getattr(import_module(f".{module}", __package__), name)


# In the order of --help. The first paragraph of what they say of themselves is listed there.
COMMANDS = (
    Listed(
        "demo",
        "demo.demo",
        "Start",
        "Index sample photos, query them, classify one, and write a page of results. Prints the path of the page last.",
        "birdsearch demo --photos ~/Pictures/birds",
    ),
    Listed(
        "serve",
        "serve.serve",
        "Start",
        "Open an index in the browser. Where there is no index yet, the page asks for a folder of photos.",
        "birdsearch serve --index garden",
    ),
    Listed(
        "backbones",
        "backbones.app",
        "Start",
        "List the networks that an index can be made with, or download one.",
        "birdsearch backbones --all",
    ),
    Listed(
        "index",
        "index.index",
        "Build",
        "Add folders of photos to an index. Creates the index if needed; unchanged files are skipped.",
        "birdsearch index ~/Pictures/birds --index garden --labels folder",
    ),
    Listed(
        "import",
        "export.import_",
        "Build",
        "Add the photos of an exported file to an index without embedding them again. Creates the index if needed.",
        "birdsearch import garden.parquet --index copy",
    ),
    Listed(
        "export",
        "export.export",
        "Build",
        "Write photos with species, predictions and vectors for other tools.",
        "birdsearch export wrens.csv --format csv --index garden --species Wren",
    ),
    Listed(
        "tags",
        "tags.tags",
        "Build",
        "Write labels and stars into XMP for Lightroom, digiKam and others. Without --apply only show what.",
        "birdsearch tags --index garden --species Wren --apply",
    ),
    Listed(
        "optimize",
        "maintenance.optimize",
        "Build",
        "Choose the fastest engine by measuring; make the graph of query --diffuse; improve ranking with --whiten.",
        "birdsearch optimize --index garden --recall 0.99 --whiten",
    ),
    Listed(
        "query",
        "query.query",
        "Ask",
        "Find the photos that look most like each image, or fit words best.\n\n"
        "Words need a backbone that knows them (birdsearch backbones), and its text tower (backbones pull-text).",
        "birdsearch query mystery.jpg -k 5 --index garden --after 2024-05-01 --html similar.html",
    ),
    Listed(
        "classify",
        "classify.classify",
        "Ask",
        "Identify what each image shows, by the backbone's classes or by the labelled photos of the index.\n\n"
        "To label photos so: classify DIR --csv > c.csv, then label --from c.csv.",
        "birdsearch classify mystery.jpg -k 3",
    ),
    Listed(
        "photos",
        "query.photos",
        "Ask",
        "List the photos of an index.",
        "birdsearch photos --index garden --near 52.52,13.40,5 --csv",
    ),
    Listed(
        "regions",
        "regions.regions",
        "Ask",
        "List the boxes in photos, given or found; take in corrections of them.",
        "birdsearch regions --index garden --html boxes.html",
    ),
    Listed(
        "list",
        "life_list.life_list",
        "Ask",
        "Show your life list: each species with its first and last date, photos and places; or another view of it.",
        "birdsearch list --index garden --after 2024-01-01 --html birds.html",
    ),
    Listed(
        "new",
        "new.new",
        "Ask",
        "Show what of a memory card or folder is not on this computer yet. Adds nothing to the index.",
        "birdsearch new /media/card --index garden --copy-to ~/Pictures/birds/2026",
    ),
    Listed(
        "explain",
        "query.explain",
        "Ask",
        "Show why two photos match: where their score comes from, and which of their places look alike.",
        "birdsearch explain mystery.jpg 17 --index garden --html why.html",
    ),
    Listed(
        "features",
        "query.features",
        "Ask",
        "Show the backbone's feature maps of an image; write them as numbers or as a picture.",
        "birdsearch features mystery.jpg --out maps.npz --picture heatmap.png",
    ),
    Listed(
        "dedupe",
        "duplicates.dedupe",
        "Clean up",
        "Find photos that are the same picture, and show which to keep and why. Changes no file without --apply.",
        "birdsearch dedupe --index garden --html groups.html --plan plan.csv",
    ),
    Listed(
        "undo",
        "duplicates.undo",
        "Clean up",
        "Undo dedupe --apply or tags --apply exactly: every file is restored to its place, byte for byte.",
        "birdsearch undo --index garden",
    ),
    Listed(
        "trash",
        "duplicates.trash",
        "Clean up",
        "Show what dedupe --apply moved to the trash: run, photos, size and place.",
        "birdsearch trash --index garden",
    ),
    Listed(
        "clusters",
        "species.clusters",
        "Compare species",
        "Cluster photos that look alike and list the labels in each cluster.",
        "birdsearch clusters --index garden --html clusters.html",
    ),
    Listed(
        "species",
        "species.species",
        "Compare species",
        "Show which species look alike and which get confused.",
        "birdsearch species --index garden --html species.html",
    ),
    Listed(
        "audit",
        "labels.audit",
        "Compare species",
        "List labels that may be wrong, worst first, with reasons. Changes nothing; label --from corrects labels.",
        "birdsearch audit --index garden --checklist berlin.txt --html audit.html",
    ),
    Listed(
        "label",
        "labels.label",
        "Compare species",
        "Set the labels of photos by hand. These labels override folder and CSV labels, and stay when those change.",
        "birdsearch label --index garden --from corrections.csv --author Ana",
    ),
    Listed(
        "names",
        "names.names",
        "Compare species",
        "Show which AviList taxon each label is matched to, the least certain first; --from corrects matches.",
        "birdsearch names --index garden --guessed",
    ),
    Listed(
        "evaluate",
        "evaluation.evaluate",
        "Compare species",
        "Measure how accurate retrieval and classification are on your labelled photos, leave-one-out.",
        "birdsearch evaluate --index garden --min-accuracy 0.8 --compare last.json",
    ),
    Listed(
        "split",
        "labels.split",
        "Compare species",
        "Split photos into train.csv, validation.csv and test.csv.\n\n"
        "Duplicates, bursts and one photographer's photos of one day stay in the same file.",
        "birdsearch split lists --index garden --fractions 0.7,0.15,0.15",
    ),
    Listed(
        "info",
        "maintenance.info",
        "Maintenance",
        "Show what an index holds and which backbone made it.",
        "birdsearch info --index garden",
    ),
    Listed(
        "indexes",
        "maintenance.indexes",
        "Maintenance",
        "List your indexes: those in the nearest folder named indexes, then those in your data folder; or those in a "
        "database.",
        "birdsearch indexes --json",
    ),
    Listed(
        "failures",
        "maintenance.failures",
        "Maintenance",
        "List the files that could not be indexed, and why.",
        "birdsearch failures --index garden --csv",
    ),
    Listed(
        "remove",
        "maintenance.remove",
        "Maintenance",
        "Remove photos from an index. Their files stay where they are.",
        "birdsearch remove --index garden --under ~/Pictures/birds/blurred",
    ),
    Listed(
        "verify",
        "maintenance.verify",
        "Maintenance",
        "Check an index for damage. Exits with 1 if there is any.",
        "birdsearch verify --index garden",
    ),
    Listed(
        "repair",
        "maintenance.repair",
        "Maintenance",
        "Repair what verify finds. Only photos whose vectors cannot be rebuilt are embedded again.",
        "birdsearch repair --index garden",
    ),
)
