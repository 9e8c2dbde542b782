"""The nouns of birdsearch: frozen records, and how a record becomes JSON. Read this file first."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from birdsearch.box import WHOLE as WHOLE
from birdsearch.box import Box as Box
from birdsearch.filter import Filter as Filter
from birdsearch.words import bytes_text as bytes_text
from birdsearch.words import counted as counted
from birdsearch.words import date_text as date_text
from birdsearch.words import percent as percent
from birdsearch.words import place_text as place_text
from birdsearch.words import shown as shown

if TYPE_CHECKING:
    from birdsearch.arrays import Explanation as Explanation
    from birdsearch.arrays import Ids as Ids
    from birdsearch.arrays import PatchPair as PatchPair
    from birdsearch.arrays import Pixels as Pixels
    from birdsearch.arrays import Vectors as Vectors

_WITH_ARRAYS = ("Explanation", "Ids", "PatchPair", "Pixels", "Vectors")


def __getattr__(name: str) -> Any:
    """What `arrays` has, loaded with numpy at first use."""
    if name not in _WITH_ARRAYS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from birdsearch import arrays

    return getattr(arrays, name)


# progress(stage, done, total, path): called from the thread that runs the job; total is None until known.
# It may raise `birdsearch.Cancelled`: the method keeps what is finished, ends, and raises it on.
Progress = Callable[[str, int, int | None, str], None]


SPECIESNET = "speciesnet"  # source of what that program says, whose predictions come with its boxes
OF_NETWORK = 1000  # the last stored position of a prediction of the network: those that come with boxes follow it

T = TypeVar("T")
IF_KNOWN = "if it is one of your species"  # note of predictions beside one that abstains


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier says of one photo."""

    species: str | None  # None where the class is no species (an ImageNet class, say)
    probability: float
    position: int  # 1 is the most probable
    rank: str  # "species", "genus", "family"...; for other classes the vocabulary they come from ("ImageNet")
    class_name: str  # as the backbone spells it
    source: str = "backbone"
    evidence: tuple[int, ...] = ()  # ids of the photos that speak for it
    note: str = ""  # what else a person should know: "possible vagrant: not on the checklist"
    raw: float | None = None  # the probability before calibration and a checklist changed it; None where none did

    @property
    def name(self) -> str:
        """The words to show a person: the species, or the class with its vocabulary."""
        return self.species or f"{self.rank}: {self.class_name}"

    @property
    def stored_position(self) -> int:
        """The position under which catalogs and exports keep it: one of another program comes after the network's."""
        return self.position + (OF_NETWORK if self.source == SPECIESNET else 0)

    @classmethod
    def stored(cls, species: str | None, probability: float, position: int, rank: str, class_name: str) -> "Prediction":
        """A prediction that was kept under this position."""
        if position <= OF_NETWORK:
            return cls(species, probability, position, rank, class_name)
        return cls(species, probability, position - OF_NETWORK, rank, class_name, SPECIESNET)


@dataclass(frozen=True, slots=True)
class Photo:
    """One image file. A name that is not UTF-8 keeps its bytes as surrogates, so `path` always opens the file."""

    id: int | None
    path: str  # absolute
    sha256: str | None = None  # of the file's bytes, 64 hex digits
    phash: str | None = None  # 64-bit perceptual hash, 16 hex digits
    size: int = 0  # bytes
    mtime_ns: int = 0
    width: int | None = None  # pixels, upright
    height: int | None = None
    format: str | None = None  # "JPEG", "PNG", "HEIF", "CR3"...
    rendered: str = "file"  # of RENDERED: what its pixels are
    taken_at: str | None = None  # ISO 8601 as the camera's clock showed it, with sub-seconds where known
    taken_offset: str | None = None  # "+02:00"
    camera: str | None = None  # make and model
    camera_serial: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive
    photographer: str | None = None
    notes: str | None = None
    companions: tuple[str, ...] = ()  # absolute paths of the files that go with it: its RAW, sidecars, movie, sound
    keywords: tuple[str, ...] | None = None  # one below others as "Birds|Gulls|Little Gull"; None where not read yet
    rating: int | None = None  # stars, 0 to 5
    damaged: str | None = None  # what its decoder warned of, in words; None for a whole picture
    label: str | None = None
    species: str | None = None
    species_source: str | None = None  # "label", "prediction" or None
    predictions: tuple[Prediction, ...] = ()


# What was seen or written together is taken together: a camera's name without its serial number is that of another.
_TOGETHER = (
    ("notes",),
    ("rating",),
    ("photographer",),
    ("taken_at", "taken_offset"),
    ("camera", "camera_serial", "lens"),
    ("latitude", "longitude"),
)


METADATA = ("keywords", *(name for names in _TOGETHER for name in names))  # what people and cameras wrote of a photo


def missing_metadata(have: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value of the time, camera, place, notes and so on that a photo has not, and another source has."""
    groups = (names for names in lacking_metadata(have) if other[names[0]] is not None)
    return {name: other[name] for names in groups for name in names}


def lacking_metadata(have: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Those of time, camera, place, notes and so on that a photo has not. No stars are no rating."""
    return [names for names in _TOGETHER if have[names[0]] is None or (names == ("rating",) and have["rating"] == 0)]


# What becomes of a camera RAW beside its JPEG or HEIC: it goes with that photo, is a photo too, or all RAW is left out.
RAW_CHOICES = ("pair", "separate", "ignore")
PAIR, SEPARATE, IGNORE = RAW_CHOICES

# What the pixels of a photo are: those of its file; of a camera RAW those of a JPEG in it, or the sensor's, developed.
# Photos are duplicates only where they are alike in that: a JPEG is no reason to give up a RAW file, and one picture
# developed in two ways differs as much as two do.
RENDERED = ("file", "preview", "sensor")

# In which order photos are listed: by id; by time, those without one last; by path; by species, those without one last.
ORDERS = ("id", "newest", "oldest", "path", "species")

FRAME, BIRD, BOX = "frame", "bird", "box"  # kinds of regions
KINDS = (FRAME, BIRD, BOX)
BY_HAND = "correction"  # source of the boxes that a person has given one by one
SMALL = 0.2  # share of the picture below which a bird is small
MOST_REGIONS = 3  # of a photo that have a vector of their own, besides the frame


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a photo."""

    photo_id: int | None  # None for a picture that is in no index
    box: Box  # in shares of the picture as it is shown
    kind: str = BOX  # FRAME: the whole photo; BIRD: a small bird that was found; BOX: given by a person or a detector
    category: str | None = None  # what a detector calls it: "bird", "animal", "person"
    confidence: float | None = None  # 0 to 1; None where nobody has said
    source: str | None = None  # the finder, the file, or BY_HAND
    embedded: bool = False  # whether it has a vector, so that it can match


@dataclass(frozen=True, slots=True)
class Match:
    """One answer to a search."""

    photo: Photo
    score: float  # cosine similarity of the region that matches best, 1 is the same direction
    region: Region | None = None  # the one that matches best; None where a match was made by hand
    score_kind: str = "photo"  # what was compared with it: a "photo", or a "text", whose scores are low (0.3 is a lot)


@dataclass(frozen=True, slots=True)
class Label:
    """The species that somebody asserted of a photo."""

    photo_id: int
    species: str
    source: str  # "correction" (a person, by hand), "csv" (a file), "keywords", "folder": the first there is counts
    author: str | None = None
    created_at: str | None = None  # ISO 8601; None where it is not known


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A photo made small, upright, as an image file."""

    bytes: bytes
    type: str  # "image/webp"
    etag: str  # another one for other pixels or another size


@dataclass(frozen=True, slots=True)
class Original:
    """The file of a photo, which is as it was indexed."""

    path: str  # absolute
    type: str  # by its content: "image/jpeg", "image/heif"...
    etag: str  # another one for other bytes


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which index photos are from, and what names mean there: by it a table of labels is understood elsewhere."""

    index_id: str
    folders: tuple[str, ...]  # the root folders of the index, absolute
    names: tuple[tuple[str, str], ...] = ()  # name, species: what its user has corrected

    def relative_path(self, path: str) -> str:
        """A photo's path below its root folder."""
        below = (path[len(root) :].lstrip("/") for root in self.folders if path.startswith(f"{root.rstrip('/')}/"))
        return min(below, key=len, default=path)


class EngineState(TypedDict):
    """How far the engine of an index has come; what it lacks is compared row by row."""

    rows: int  # that it holds
    behind: int  # rows, at most, that commits have brought or changed since
    generation: int  # commit that it stands at
    of: int  # commits that there are


class IndexInfo(TypedDict):
    """What `Index.info` says of an index: plain values, as JSON takes them."""

    path: str  # of the folder
    format: int  # version of the format on disk
    created: str  # ISO 8601, UTC
    backbone: str  # its name
    dim: int  # numbers of a vector
    weights_sha256: str | None  # of the backbone; None for an object of the user's own
    engine: str  # "flat", "flat-fp16", "ivf", "hnsw", "pq", "milvus"; "none" before the first photo
    engine_state: EngineState  # how far it has come
    whitened: bool
    runtimes: dict[str, int]  # what made the vectors -> how many
    photos: int  # whose file is there
    missing: int  # photos that are hidden until their file is back
    labelled: int
    failures: int
    damaged: int  # photos that are not whole
    parts: int  # files of vectors
    vectors: int  # in them, also those that no region uses any more
    regions: int  # with a vector, frames included
    boxes: int  # regions that are not frames
    species: int  # that the photos show
    groups: int  # names that mean a genus, a family or another group of birds
    no_birds: int  # names that mean no bird
    not_here: int  # photos whose root is away, as on a disk that is not connected
    folders: list[str]  # roots of the photos
    labels: dict[str, str]  # folder -> "none", "folder", "keywords" ("keywords|ROOT") or the path of a file
    raw: str  # of RAW_CHOICES
    companions: int  # files that go with the photos
    bytes: int  # on the disk


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What became of labels that a person gave by hand: each is in exactly one count."""

    changed: int = 0  # photos whose label is another one now
    confirmed: int = 0  # photos whose label a person has now said is right
    unchanged: int = 0  # nothing was said that was not known
    older: int = 0  # said before the correction that the index has, which stays
    unknown: int = 0  # of photos that the index does not hold
    # What was replaced, as `Index.restore_labels` takes it: id of a photo -> the label that it had, None for none; and
    # sha256 -> what a person had said of these bytes in a copy that was removed.
    before: dict[int, Label | None] = field(default_factory=dict, compare=False)
    kept: dict[str, Label] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that could not be indexed, or only in part, and why."""

    path: str
    stage: str  # "scan", "read", "decode", "embed"; "damaged": it is in the index, as far as it can be read
    reason: str

    @classmethod
    def damaged(cls, path: str, damage: str) -> "Failure":
        """What is reported of a photo that is in the index although it is not whole."""
        return cls(path, "damaged", f"damaged: {damage}. It is in the index as far as it can be read.")


@dataclass(frozen=True, slots=True)
class RegionReport:
    """What became of boxes that were given, and of small birds that were searched for."""

    boxes: int = 0  # new ones that the index holds now
    unchanged: int = 0  # boxes that it held already
    removed: int = 0  # boxes that it no longer holds: others were given for their photos
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> boxes that were given and not taken
    searched: int = 0  # photos that a finder has searched for birds
    found: int = 0  # small birds in them
    embedded: int = 0  # regions that have got a vector
    failed: tuple[Failure, ...] = ()  # photos whose regions have no vector yet, as their file could not be read
    predicted: int = 0  # photos of which the program that found the boxes says something new: its predictions


@dataclass(frozen=True, slots=True)
class SeveralSpecies:
    """A photo that has no label because its keywords, or a file of labels, name more than one species."""

    photo_id: int
    path: str
    species: tuple[str, ...]  # as its keywords or the file call them


@dataclass(frozen=True, slots=True)
class AddReport:
    """What became of every file under the named folders: each is in exactly one count (`missing` counts photos).

    A file that is no photo is ignored where it lies in a folder, and failed where it was named itself.
    A damaged photo is in the index and counts as failed, in every run until its file changes.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    ignored: dict[str, int] = field(default_factory=dict)  # reason -> files
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0
    regions: RegionReport = field(default_factory=RegionReport)  # of photos that are in one of the counts above
    unlabelled: int = 0  # photos under these folders without a label; 0 where the user wants none
    paired: int = 0  # companions: a RAW beside its JPEG, sidecars, movies and sounds of photos
    several_species: tuple[SeveralSpecies, ...] = ()  # those of them of which more than one species is named


@dataclass(frozen=True, slots=True)
class ReembedReport:
    """What became of the photos of an index that were to get new vectors."""

    embedded: int = 0
    missing: int = 0  # whose file is gone: hidden, with their labels, until it is back
    failed: tuple[Failure, ...] = ()  # whose file cannot be embedded any more: hidden in the same way
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What became of the photos that an export was to write."""

    written: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> photos
    rounded: int = 0  # photos whose coordinates were written less exactly than they are known
    unnamed: dict[str, int] = field(default_factory=dict)  # reason -> photos that were written without a species


@dataclass(frozen=True, slots=True)
class Trial:
    """What one engine did on vectors of the user's own."""

    engine: str
    settings: str
    recall: float  # share of the 10 true neighbours that were found
    queries_per_second: float  # of one core; comparing all may use a GPU
    build_seconds: float
    bytes: int
    rows: int  # it was tried on so many


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """Which engine was chosen and why, and what became of the whitening."""

    engine: str
    trials: tuple[Trial, ...]
    whitened: bool  # whether searches use whitened vectors now
    whitening: str  # what was done about it, in words; empty where it was not asked for
    recall_at_1_before: float | None  # of labelled photos, before and after this call; None where there are no labels
    recall_at_1_after: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Relation:
    """One way in which two photos are duplicates."""

    name: str
    meaning: str  # in a few words
    strength: int  # of two relations between two photos the higher one counts; a group is named after its lowest
    same_picture: bool  # one exposure, however edited; else a group to choose from by hand
    same_pixels: bool  # all pixels are equal, so the relation is transitive: a ~ b and b ~ c make a ~ c
    applied_by_default: bool  # a plan is carried out for it although nobody named it


IDENTICAL = Relation("identical", "the same bytes", 40, True, True, True)
PIXELS = Relation("pixels", "other bytes, the same pixels", 30, True, True, True)
VARIANT = Relation("variant", "the same picture, edited", 20, True, False, False)
BURST = Relation("burst", "one moment, several exposures", 10, False, False, False)

# Name -> relation, strongest first. One more is one line here, and the code that detects it (duplicates/finder.py).
RELATIONS = {relation.name: relation for relation in (IDENTICAL, PIXELS, VARIANT, BURST)}
SAME_PICTURE = tuple(name for name, relation in RELATIONS.items() if relation.same_picture)
APPLIED_BY_DEFAULT = tuple(name for name, relation in RELATIONS.items() if relation.applied_by_default)
AS_IT_IS = "as it is"  # the transform of two pictures that lie on each other whole
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# The criteria by which the photo to keep is chosen, in the usual order; "preferred" folders come after "protected".
POLICY = (
    "safe", "protected", "original", "resolution", "contents", "sharpness", "place", "companions", "notes", "first",
    "metadata", "size", "oldest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos that are the same in one way, and what shows it."""

    a: int  # ids of photos, a < b
    b: int
    relation: str  # of RELATIONS
    score: float | None  # cosine similarity of their vectors
    # Any of: hash_distance (int, bits of 64), overlap (float, share of the smaller picture that lies in the other),
    # agreement (float, share of the textured overlap whose pixels agree), inliers (int, features that agree on the
    # transform), transform (str, from a to b in words), matrix (six floats row by row: where the unit square of a lies
    # in that of b, x right and y down), through (int, the id of a photo that implies this pair), more_in_a and
    # more_in_b (texts: what one file holds besides the same pixels and the other lacks, "a movie behind the picture").
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Photos of which one is enough; every other one is related to the kept photo itself."""

    relation: str  # the weakest that ties one of the others to the kept photo
    keep: int
    others: tuple[int, ...]
    reason: str  # why this one is kept, in words
    relations: tuple[str, ...] = ()  # of each of the others to the kept photo
    reasons: tuple[str, ...] = ()  # why each of the others is not the one to keep, in words
    protected: tuple[int, ...] = ()  # those of the others that lie in a protected folder, and stay


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Which photos are the same picture, in what way, and which of each group to keep."""

    pairs: tuple[Pair, ...] = ()
    groups: tuple[DuplicateGroup, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)  # photos, candidates, unreadable, pairs of each relation...
    seconds: float = 0.0
    not_compared: tuple[int, ...] = ()  # ids of the unreadable: photos whose files are not here or cannot be read
    id: str = field(
        default="", compare=False
    )  # under which `Index.duplicate_report` has it; empty where it is not kept


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report of duplicates that can be asked for by its id."""

    id: str
    made_at: str  # ISO 8601, UTC
    generation: int  # of the index, when it was made
    counts: dict[str, int] = field(default_factory=dict)  # those of the report


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person wants to become of the photos of one group of duplicates; the others are not decided yet."""

    photos: tuple[int, ...]  # ids of the whole group, ascending
    keep: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownPhoto:
    """A photo of a folder that an index holds already."""

    photo: Photo  # of the folder, without an id
    indexed: Photo  # the same picture in the index
    relation: str  # of RELATIONS
    score: float | None  # cosine similarity of their vectors
    more: tuple[str, ...] = ()  # what it has and the indexed one lacks, in words: "more pixels"
    reachable: bool = True  # False where the folder of the indexed photo is not there now, as on an unplugged disk
    elsewhere: bool = True  # False where the indexed photo lies in the compared folder itself


@dataclass(frozen=True, slots=True)
class OtherFile:
    """A file of a folder that is compared by its bytes: a RAW, a movie, a sound, a sidecar, a broken photo."""

    path: str
    kind: str  # in words: "camera RAW", "video", or what is wrong with a photo
    size: int  # bytes
    sha256: str | None = None  # where it was needed to compare
    there: str | None = None  # the same bytes in the folders of the index; None: not on this computer


@dataclass(frozen=True, slots=True)
class FolderReport:
    """Which files of a folder an index and its folders do not hold.

    Each file is in exactly one of new, known, others and ignored, or in failed alone where it cannot be reached.
    """

    folder: str  # absolute
    new: tuple[Photo, ...] = ()  # without ids
    known: tuple[KnownPhoto, ...] = ()
    failed: tuple[Failure, ...] = ()  # what cannot be read as a photo
    ignored: dict[str, int] = field(default_factory=dict)  # reason -> files that were left out
    unreadable: int = 0  # photos of the index that could not be compared, as their files could not be read
    seconds: float = 0.0
    others: tuple[OtherFile, ...] = ()  # compared by their bytes; photos that failed are among them

    @property
    def only_here(self) -> tuple[str, ...]:
        """The files that would be lost with the folder, as far as is known.

        New photos, known ones that have more than the indexed one or are the indexed one themselves, other files whose
        bytes are nowhere else, and what cannot be reached.
        """
        known = (one.photo.path for one in self.known if one.more or not one.elsewhere)
        others = (other.path for other in self.others if other.there is None)
        return (*(photo.path for photo in self.new), *known, *others, *(one.path for one in self.unreached))

    @property
    def unreached(self) -> tuple[Failure, ...]:
        """What could not even be compared by its bytes, such as a folder that cannot be listed."""
        others = {other.path for other in self.others}
        return tuple(failure for failure in self.failed if failure.path not in others)

    @property
    def reservations(self) -> tuple[str, ...]:
        """What must be said with "all of it is on this computer", in words."""
        edited = sum(not RELATIONS[one.relation].same_pixels and not one.more for one in self.known)
        away = sum(not one.reachable for one in self.known)
        left_out = sum(self.ignored.values())
        counts = (
            (edited, "photo", "there as an edited copy"),
            (away, "photo", "in a folder that is not there now"),
            (left_out, "file", "left out of the comparison"),
        )
        return tuple(f"{counted(n, thing)} {'is' if n == 1 else 'are'} {what}" for n, thing, what in counts if n)


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What became of the files of a folder that were to be copied."""

    folder: str  # absolute
    copied: tuple[tuple[str, str], ...] = ()  # photo, its copy
    present: tuple[tuple[str, str], ...] = ()  # photo, the same bytes that were there already
    companions: int = 0  # other files that were copied: sidecars, movies, RAWs, broken photos
    failed: tuple[Failure, ...] = ()
    bytes: int = 0  # copied
    seconds: float = 0.0
    others: tuple[tuple[str, str], ...] = ()  # each of the other files, its copy or the same bytes that were there

    def left(self, report: FolderReport) -> tuple[str, ...]:
        """The files of the folder compared that are still nowhere else."""
        copies = {path for path, _ in (*self.copied, *self.present, *self.others)}
        return tuple(path for path in report.only_here if path not in copies)


@dataclass(frozen=True, slots=True)
class TaxonMatch:
    """A label of an index, or a keyword that may be one, and what it means in AviList."""

    label: str
    photos: int  # that bear it
    rank: str | None  # "species", "genus", "family", "order"; None where it stays unresolved
    scientific: str | None  # of AviList, at that rank
    english: str | None  # None where there is none
    candidates: tuple[str, ...]  # scientific names that it may mean: one for a clear species
    method: str  # "exact", "synonym", "spelling", "guess", "override" (a correction), "unresolved"
    confidence: float  # 1 for an exact name or an override, 0 for what stays unresolved
    is_keyword: bool = False  # of photos without a label, which get it once somebody says what it means


@dataclass(frozen=True, slots=True)
class KnownName:
    """A name that a label may have."""

    name: str  # that of a label of the index as it is written there, else AviList's English one
    scientific: str | None  # the species that it means
    photos: int  # that have it as their label


@dataclass(frozen=True, slots=True)
class Cluster:
    """Photos that lie together."""

    id: int  # 0 is the largest
    photos: tuple[int, ...]  # ids
    medoids: tuple[int, ...]  # ids of the photos that stand for it, the most central first
    label: str | None  # the commonest label; None where no photo has one
    purity: float | None  # share of its labelled photos that have that label
    mixed: dict[str, int] = field(default_factory=dict)  # label -> photos, commonest first


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Which photos look alike, and how far that agrees with their labels."""

    clusters: tuple[Cluster, ...] = ()  # largest first
    outliers: tuple[int, ...] = ()  # ids of photos that are like no other, the strangest first
    agreement: dict[str, float] = field(default_factory=dict)  # ami, ari, homogeneity, purity; empty without labels
    method: str = ""  # in words, with its settings
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeciesCount:
    """How many species some labels mean, each counted once, and how many other labels there are."""

    species: int = 0  # a name that is matched by a guess counts as what it is guessed to be
    groups: int = 0  # genera, families, several species: "gull sp."
    no_birds: int = 0  # in no list of birds: "Blurry", a fox

    @property
    def words(self) -> str:
        """The words to show a person: "2 species, 2 other labels (1 group, 1 no bird)"."""
        kinds = [counted(self.groups, "group")] if self.groups else []
        kinds += [f"{self.no_birds:,} no bird"] if self.no_birds else []
        other = f", {counted(self.groups + self.no_birds, 'other label')} ({', '.join(kinds)})" if kinds else ""
        return f"{self.species:,} species{other}"


@dataclass(frozen=True, slots=True)
class SpeciesEntry:
    """One species as the photos of an index show it."""

    species: str
    photos: int
    cohesion: float | None  # mean score of two of its photos; None where there is one only
    nearest: str | None  # the other species that lies closest
    nearest_score: float | None
    overlap: float | None  # share of its photos whose nearest photo shows another species
    medoids: tuple[int, ...] = ()  # ids, the most central first
    boundary: tuple[int, ...] = ()  # ids, those nearest to another species first


@dataclass(frozen=True, slots=True)
class Confusion:
    """Two species whose photos get confused."""

    first: str
    second: str
    photos: int  # whose nearest photo of another individual shows the other species
    share: float  # of the photos of both
    examples: tuple[tuple[int, int], ...] = ()  # (photo of one, its nearest photo of the other)


@dataclass(frozen=True, slots=True)
class SpeciesReport:
    """Which species of an index look alike, and which get confused."""

    species: tuple[SpeciesEntry, ...] = ()  # by name
    confusions: tuple[Confusion, ...] = ()  # the most confusable first
    seconds: float = 0.0
    count: SpeciesCount = SpeciesCount()  # what the names of `species` mean


@dataclass(frozen=True, slots=True)
class Place:
    """A spot where photos were taken, and what lies within five kilometres of it."""

    latitude: float  # degrees, north positive
    longitude: float  # degrees, east positive
    photos: int
    species: int  # different ones

    @property
    def name(self) -> str:
        """The words to show a person: "52.520° N, 13.400° E"."""
        return place_text(self.latitude, self.longitude)


@dataclass(frozen=True, slots=True)
class LifeListEntry:
    """One species of a life list, or one month, year, place or photographer: what the photos of it show."""

    name: str | None  # None: the photos of which that is not known
    photos: int
    species: dict[str, int]  # by name -> photos
    first_seen: tuple[str, ...]  # those species of which no earlier photo is known
    first: str | None  # `Photo.taken_at` of the earliest photo with a time
    last: str | None
    best: int  # id: most stars, undamaged, most pixels, most typical of its species
    # ids: of a species the most typical photos, never two of one moment; else the best photo of each of its species
    examples: tuple[int, ...]
    months: tuple[int, ...]  # photos of each month of the year, January first
    places: tuple[int, ...]  # positions in `LifeList.places`, the most photographed first
    undated: int  # photos without a time
    unplaced: int  # photos without a position
    other: dict[str, int] = field(default_factory=dict)  # labels that mean no single species -> photos


@dataclass(frozen=True, slots=True)
class LifeList:
    """What was seen, when and where; every photo is in exactly one entry."""

    by: str  # "species", "month" (of the year), "year", "place" or "photographer"
    photos: int = 0
    # By name, species before other labels; the months in their order, of places the most photographed first.
    entries: tuple[LifeListEntry, ...] = ()
    places: tuple[Place, ...] = ()  # the most photographed first
    species: int = 0  # different ones
    unnamed: int = 0  # photos without a species or another label
    undated: int = 0
    unplaced: int = 0
    seconds: float = 0.0
    groups: int = 0  # labels that mean several species, or a rank above: "gull sp."
    no_birds: int = 0  # labels that are in no list of birds: "Blurry", a fox
    guesses: tuple[str, ...] = ()  # labels that count as a species by a guess

    @property
    def count(self) -> SpeciesCount:
        """What the labels mean."""
        return SpeciesCount(self.species, self.groups, self.no_birds)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that may be wrong."""

    photo: Photo
    label: str
    proposed: str | None
    doubt: float  # higher is more doubtful, 0 to 1
    reasons: tuple[str, ...]  # in words
    evidence: tuple[int, ...] = ()  # ids of the photos that speak against it


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Doubtful labels, worst first."""

    suspects: tuple[Suspect, ...] = ()
    photos: int = 0  # labelled ones that were judged
    seconds: float = 0.0
    confirmed: int = 0  # doubtful labels that a person gave or confirmed, left out
    lone: tuple[str, ...] = ()  # labels with photos of one moment: only their nearest photos could be asked


@dataclass(frozen=True, slots=True)
class SpeciesFigures:
    """How well the photos of one species are classified."""

    photos: int
    classified: int = 0  # those that could be: a photo of another moment has the same label
    recall: float | None = None  # share of these that were classified as this species
    precision: float | None = None  # share of the photos classified as this species that are of it
    recall_at_1: float | None = None  # share of these whose nearest photo is of this species
    taken_for: str | None = None  # the other species that they are classified as most often
    taken_for_photos: int = 0
    knn_accuracy: float | None = field(default=None, compare=False)  # `recall`, called as for all species together


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How accurate retrieval and classification are on the labelled photos of an index, leave-one-out."""

    photos: int = 0  # labelled ones that were classified
    recall_at_1: float | None = None  # None where no photo is answerable
    recall_at_5: float | None = None
    mean_average_precision: float | None = None
    knn_accuracy: float | None = None  # top-1 of the `neighbours` source, cross-fitted, or of predictions given
    knn_accuracy_top5: float | None = None
    calibration_error: float | None = None  # expected, of that source's probabilities
    per_species: dict[str, SpeciesFigures] = field(default_factory=dict)  # by label
    answers: dict[str, dict[str, int]] = field(default_factory=dict)  # label -> species it was classified as -> photos
    seconds: float = 0.0
    # Of the backbone's own classes, on photos whose label is one of them; None where it has none, or no such photo.
    backbone_photos: int | None = None  # that were classified
    backbone_accuracy: float | None = None  # top-1 among all its classes
    backbone_calibration_error: float | None = None  # expected, of its probabilities as they are
    backbone_calibration_error_scaled: float | None = None  # each fold at the temperature of the others
    temperature: float | None = None  # of all of them; above 1 the backbone is too sure of itself


@dataclass(frozen=True, slots=True)
class LeakageCheck:
    """One rule of a split, and whether it holds for every pair of photos that it ties."""

    rule: str  # "duplicates", "bursts", "one photographer's photos of one day"
    groups: int  # of two photos and more
    pairs: int  # that were checked: all pairs within those groups
    violations: int  # pairs that lie in two splits; 0
    not_compared: int = 0  # photos that the rule could not judge: their files are not here or cannot be read


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Which photos are for training, validation and test, and the check that nothing leaks between them."""

    splits: dict[int, str] = field(default_factory=dict)  # id -> "train", "validation" or "test"
    counts: dict[str, int] = field(default_factory=dict)  # split -> photos; all three splits are there
    per_species: dict[str, dict[str, int]] = field(default_factory=dict)  # label -> split (all three) -> photos
    leakage: tuple[LeakageCheck, ...] = ()
    groups: int = 0  # of photos that had to stay together, single ones included
    followed: int = 0  # photos that lie where their group lies, and would lie elsewhere alone
    for_training: int = 0  # photos that are in train because their species had none there
    species: dict[str, SpeciesCount] = field(default_factory=dict)  # split -> what its labels mean
    group_of: dict[int, str] = field(default_factory=dict)  # id -> its group: 12 hex digits, by its earliest photo


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Whether an index keeps every promise of its format, and each breach in words."""

    ok: bool
    problems: tuple[str, ...] = ()


PADDINGS = ("birder", "same")  # of the convolutions at stride 2: as birder does it, or as TensorFlow


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is run, beyond its weights: vectors of two recipes cannot be compared."""

    padding: str = "birder"  # of PADDINGS
    views: int = 1  # 2: what the network makes of the photo and of its mirror image is averaged

    def __post_init__(self) -> None:
        if self.padding not in PADDINGS or type(self.views) is not int or self.views not in (1, 2):
            raise ValueError(f"a recipe has the padding {' or '.join(PADDINGS)} and 1 or 2 views, not {self!r:.80}")

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "Recipe":
        """The recipe of an identity. Raises ValueError for one that this birdsearch does not know."""
        try:
            return cls(**(stored or {}))
        except TypeError as error:
            raise ValueError(f"its recipe is {stored!r:.80}") from error

    @property
    def stored(self) -> dict[str, Any] | None:
        """The recipe as an identity holds it: None for birder's padding and one view."""
        return None if self == AS_BIRDER else {"padding": self.padding, "views": self.views}


AS_BIRDER = Recipe()


@dataclass(frozen=True, slots=True)
class BackboneIdentity:
    """What decides whether two vectors may meet: equal identities, same space."""

    name: str
    dim: int
    weights_sha256: str | None = None
    preprocessing: dict[str, Any] | None = None  # size [height, width], mean, std, interpolation, crop
    recipe: dict[str, Any] | None = None  # padding, views; None for birder's padding and one view

    def __str__(self) -> str:
        how = ", ".join(f"{name} {value}" for name, value in (self.recipe or {}).items())
        return f"{self.name} ({how})" if how else self.name

    def told_from(self, other: "BackboneIdentity") -> str:
        """What this one is and another is not: its name, or what else differs, "another clip, of dim 4 and not 5"."""
        if str(self) != str(other):
            return str(self)
        mine, theirs = (
            {"dim": one.dim, "weights": one.weights_sha256, **(one.preprocessing or {})} for one in (self, other)
        )
        pairs = [(name, mine.get(name), theirs.get(name)) for name in mine | theirs]
        what = [f"{name} {_brief(one)} and not {_brief(two)}" for name, one, two in pairs if one != two]
        return f"another {self.name}, of {', '.join(what)}"


def _brief(value: Any) -> str:
    """A trait of a backbone in a message."""
    return "unknown" if value is None else f"{value:.12}…" if isinstance(value, str) and len(value) > 12 else str(value)


@dataclass(frozen=True, slots=True)
class Identity:
    """What index.json says of an index."""

    format: int
    id: str  # 32 hex digits, different for every index
    backbone: BackboneIdentity
    created: str  # ISO 8601, UTC
    source: str | None = None  # what load_backbone takes to load the backbone again; None for a user's object
    classifier_sha256: str | None = None  # of classifier.npz, where there is one
    catalog: str = "sqlite"  # which kind of catalog holds its photos


def several(values: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Texts or paths that a user gave, or the one text alone, which would else be taken apart into its letters."""
    given = (values,) if isinstance(values, str | os.PathLike) else values
    return tuple(os.fspath(value) for value in given)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` things: `for block in blocks(len(ids), 512): ids[block]`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`, as itertools has it from Python 3.12 on."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def as_json(record: Any) -> Any:
    """A record (or a list of records) as the plain dicts, lists and texts that `json.dumps` takes."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: as_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {as_json(key): as_json(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [as_json(value) for value in record]
    if hasattr(record, "tolist"):  # an array
        return record.tolist()
    return shown(record) if isinstance(record, str) else record


@dataclass(frozen=True, slots=True)
class ActionReport:
    """What became of the files of a plan, or of a run that was taken back."""

    run: str | None  # what `undo` calls it; None where nothing was to be done
    done: int  # photos; companions that went along are not counted
    skipped: tuple[tuple[str, str], ...] = ()  # path, reason
    bytes: int = 0  # that no longer lie in their place, or lie there again; for hard links the bytes freed
    seconds: float = 0.0
    failed: int = 0  # of the skipped files: those that were to be done; the others stay because they were asked to
    as_told: tuple[str, ...] = ()  # the reasons of those others


TAG_PLACES = ("auto", "sidecar", "file")  # where tags go: the usual sidecar, a sidecar, or the photo itself
TAG_FIELDS = ("species", "rating")
UNVERIFIED = ("birdsearch", "unverified")  # below these keywords stand guesses of a network, which are no labels


@dataclass(frozen=True, slots=True)
class TagChange:
    """What the file of one photo lacks."""

    photo_id: int
    path: str  # of the photo, absolute
    file: str  # that is written: a sidecar, or the photo itself
    added: dict[str, tuple[str, ...]]  # tag as ExifTool calls it, such as "XMP-dc:Subject" -> values
    sha256: str | None  # of the file when the plan was made; None: it is not there yet


@dataclass(frozen=True, slots=True)
class TagPlan:
    """What is to be written into the files of photos; nothing has been written yet."""

    changes: tuple[TagChange, ...] = ()
    complete: int = 0  # photos whose file has all of it already
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> photos of which nothing is to be written
    skipped: tuple[tuple[str, str], ...] = ()  # path of a photo, and why its file cannot be written
    unsure: tuple[str, ...] = ()  # labels that are not the sure name of a bird: written as they stand


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """One index that has a name, as `birdsearch indexes` shows it."""

    name: str
    path: str  # its folder; in a database its address, to which parts= is to be added
    photos: int | None = None  # None, as the next, where `problem` says why
    backbone: str | None = None
    bytes: int = 0  # in a database those of its catalog alone
    changed: str | None = None  # local time of the last change, ISO 8601
    problem: str | None = None  # why it cannot be opened


@dataclass(frozen=True, slots=True)
class TrashedRun:
    """What lies in the trash of one run of `apply`."""

    run: str
    at: str  # local time, ISO 8601
    photos: int
    companions: int  # that went with them
    bytes: int  # of all of them
    places: tuple[str, ...]  # folders
    only_here: int = 0  # files whose bytes are nowhere else, as far as is known: edited versions, sidecars


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of `apply` or `write_tags`, as `birdsearch undo --list` shows it."""

    run: str
    at: str  # local time, ISO 8601
    action: str  # "trash", "move:FOLDER", "hardlink" or "tags"
    photos: int  # how many it took away, or wrote tags of, and has not brought back
    bytes: int  # of these, with their companions
    state: str  # "done", "stopped" (killed half-way), "partly undone", "undone", "partly emptied", "emptied"


@dataclass(frozen=True, slots=True)
class Member:
    """One photo of one group of duplicates, and what becomes of it."""

    group: int  # from 1
    photo: Photo
    relation: str  # to the kept photo; of the kept photo itself the group's
    do: str  # "keep" (the first of a group), "remove" or "skip"
    reason: str  # why it is kept, or is not the one to keep, in words
    stays: str = ""  # why it is skipped, in words
    protected: bool = False
    pair: Pair | None = None  # with the kept photo, where they were compared with each other


@dataclass(frozen=True, slots=True)
class DuplicatePage:
    """Some groups of a report of duplicates, one after the other."""

    groups: tuple[
        tuple[Member, ...], ...
    ] = ()  # the photos of each, the kept one first; groups without any are left out
    next: int | None = None  # what to ask for `after` to get the next page; None after the last one
    total: int = 0  # groups of the report that were asked for


@dataclass(frozen=True, slots=True)
class Step:
    """One file of a plan, and what becomes of it."""

    group: int
    do: str  # of WORDS
    relation: str  # to the photo that was proposed to be kept; empty for that photo itself
    path: str  # absolute
    sha256: str  # of the bytes that were looked at when the plan was made
    size: int  # bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with the files of every group; nothing has been done yet."""

    steps: tuple[Step, ...] = ()
