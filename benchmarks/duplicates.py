"""Which files are the same picture, birdsearch beside other tools: `python -m benchmarks.duplicates [--seed N]`.

Everyone is given the same folder, made by `benchmarks.edits`: all photos untouched, and some of them in several edited
copies. Counted are all pairs of files of one picture, edited against edited included. birdsearch decides by itself; of
the others each gets the threshold at which its F1 on this very folder is highest, which no user can know.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import edits
from benchmarks.common import (
    SHARED_PHOTOS,
    ContestantError,
    Figures,
    cached,
    command_line,
    note,
    publish,
    table,
    versions,
    worker,
)
from benchmarks.edits import REENCODED, Truth

SEED = 11  # neither of those (0, 5) whose edits were looked at while birdsearch's thresholds were chosen
PICTURES = 300
QUICK_SPECIES, QUICK_PICTURES = 8, 12
LONGEST = 3600.0
SHOWN = 12  # wrong pairs that are named to who watches
BIRDSEARCH = "birdsearch"
Scores = npt.NDArray[np.float32]  # (m,), of every pair of files; -inf where a tool says nothing
Mask = npt.NDArray[np.bool_]  # (m,), of every pair of files


@dataclass(frozen=True, slots=True)
class Quality:
    """How the pairs that were found compare with the true ones."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one contestant found, and what it took."""

    name: str
    threshold: str  # in words; empty for who needs none
    found: Mask
    figures: Figures


class Pairs:
    """All pairs of the files of a made folder, each once, and which of them are the same picture."""

    def __init__(self, truth: Sequence[Truth]) -> None:
        self.truth = truth
        self.a, self.b = (ends.astype(np.int32) for ends in np.triu_indices(len(truth), 1))  # (m,)
        self.same = self._same([row.picture for row in truth])
        self.apart = self._same(_apart(truth))  # where photos that are crops of each other count as different
        self._rows = {row.file: number for number, row in enumerate(truth)}

    def _same(self, names: Sequence[str]) -> Mask:
        """Whether both files show one picture; `names` says which one each file shows."""
        _, pictures = np.unique(names, return_inverse=True)
        same: Mask = pictures[self.a] == pictures[self.b]
        return same

    def both(self, wanted: Callable[[Truth], bool]) -> Mask:
        """Whether both files are of the wanted kind."""
        kind = np.array([wanted(row) for row in self.truth])
        return np.asarray(kind[self.a] & kind[self.b])

    def untouched_and(self, wanted: Callable[[str], bool]) -> Mask:
        """Whether one file is an untouched photo and the other its copy in a wanted edit."""
        untouched = np.array([row.edit == "none" for row in self.truth])
        kind = np.array([row.edit != "none" and wanted(row.edit) for row in self.truth])
        one, other = untouched[self.a] & kind[self.b], kind[self.a] & untouched[self.b]
        return np.asarray((one | other) & self.same)

    def scores(self, path: Path) -> Scores:
        """What a worker wrote, as one score for every pair: of its pairs, or by its hashes or vectors."""
        with np.load(path) as written:
            rows = np.array([self._rows[file] for file in written["files"].tolist()])
            square = np.full((len(self.truth),) * 2, -np.inf, dtype=np.float32)
            if "hashes" in written:
                hashes = written["hashes"]
                square[np.ix_(rows, rows)] = -np.bitwise_count(hashes[:, None] ^ hashes).astype(np.float32)
            elif "vectors" in written:
                square[np.ix_(rows, rows)] = written["vectors"] @ written["vectors"].T
            else:
                a, b = rows[written["a"]], rows[written["b"]]
                np.maximum.at(square, (a, b), written["scores"])
                np.maximum.at(square, (b, a), written["scores"])
        return square[self.a, self.b]

    def named(self, place: int) -> str:
        """The two files of a pair and what was done to them."""
        one, other = self.truth[self.a[place]], self.truth[self.b[place]]
        return f"{one.file} ({one.edit} {one.strength}) and {other.file} ({other.edit} {other.strength})"


def _apart(truth: Sequence[Truth]) -> list[str]:
    """The picture of each file before `edits.SAME` joined some of them: the name of the photo it was made from."""
    parted = {name.removesuffix(".jpg") for pair in edits.SAME for name in pair}
    sources = [row.file.split(" edit ")[0].removesuffix(".jpg") for row in truth]
    return [source if source in parted else row.picture for row, source in zip(truth, sources, strict=True)]


def quality(found: Mask, same: Mask, among: Mask | None = None) -> Quality:
    """Precision and recall of the pairs found (m,), where `among` says of which pairs to speak."""
    if among is not None:
        found, same = found & among, same & among
    right = int((found & same).sum())
    return Quality(right / max(1, int(found.sum())), right / max(1, int(same.sum())))


def best_threshold(scores: Scores, same: Mask) -> float:
    """The score from which on taking pairs gives the highest F1."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    right = np.cumsum(same[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + same.sum())
    f1[~np.isfinite(ordered)] = 0
    f1[:-1][ordered[:-1] == ordered[1:]] = 0  # pairs of one score are taken together
    return float(ordered[int(f1.argmax())])


# The folder and the contestants ---------------------------------------------------------------------------------------


def made(photos: Path, seed: int, pictures: int, species: int | None) -> Path:
    """The folder of edited copies, made at the first call; `species` takes the first so many folders only."""
    folder = cached(f"edits-{photos.name}-{seed}-{pictures}" + (f"-{species}" if species else ""))
    if folder.is_dir():
        return folder
    note(f"making {folder}")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        if species is not None:
            few = Path(temporary) / "few"
            for name in sorted(path for path in photos.iterdir() if path.is_dir())[:species]:
                shutil.copytree(name, few / name.name)
            photos = few
        edits.make(Path(temporary) / "made", photos, pictures=pictures, seed=seed)
        os.replace(Path(temporary) / "made", folder)  # renamed when complete
    return folder


def everyone(folder: Path, out: Path) -> dict[str, Callable[[], Figures]]:
    """Who competes; each writes NAME.npz into `out`."""

    def by(name: str, environment: str | None, program: str, *options: str) -> Callable[[], Figures]:
        ask = partial(worker, environment, f"duplicates_{program}", timeout=LONGEST)
        return partial(ask, folder, out / f"{name}.npz", *options, BIRDSEARCH_CACHE=str(cached("birdsearch")))

    methods = ("PHash", "DHash", "WHash", "AHash")
    return {
        BIRDSEARCH: by(BIRDSEARCH, None, "birdsearch"),
        "ImageHash pHash": by("ImageHash pHash", None, "imagehash"),
        **{f"imagededup {name}": by(f"imagededup {name}", "imagededup", "imagededup", name) for name in methods},
        "fastdup": by("fastdup", "fastdup", "fastdup"),
    }


def answers(folder: Path, pairs: Pairs) -> list[Answer]:
    """Let everyone run once, one after the other; who fails is named and left out."""
    given = []
    with tempfile.TemporaryDirectory(dir=cached("")) as temporary:
        out = Path(temporary)
        for name, ask in everyone(folder, out).items():
            try:
                figures = ask()
            except ContestantError as error:
                if name == BIRDSEARCH:
                    raise
                note(f"{name} is left out: {error}")
                continue
            note(f"{name}: {figures}")
            given.append(_answer(name, pairs, pairs.scores(out / f"{name}.npz"), figures))
            if name == BIRDSEARCH:
                # Its vectors, without a look at the pixels.
                scores = pairs.scores(out / "cosine.npz")
                alone = {"reading": figures["reading"], "comparing": figures["cosine"]}
                given.append(_answer("embedding cosine alone", pairs, scores, alone))
    return given


def _answer(name: str, pairs: Pairs, scores: Scores, figures: Figures) -> Answer:
    if name == BIRDSEARCH:
        return Answer(name, "", np.isfinite(scores), figures)
    threshold = best_threshold(scores, pairs.same)
    hashed = threshold <= 0 and float(threshold).is_integer()
    words = f"{-threshold:.0f} bits" if hashed else f"{threshold:.3f}"
    return Answer(name, words, scores >= threshold, figures)


# What is told ---------------------------------------------------------------------------------------------------------


def compare(folder: Path) -> str:
    """The tables of one folder."""
    pairs = Pairs(edits.read_truth(folder))
    load = os.getloadavg()[0]
    given = answers(folder, pairs)
    ours, *others = given
    best = max(others, key=lambda answer: quality(answer.found, pairs.same).f1)
    _name_wrong(ours, pairs)
    return "\n\n".join(
        [_setting(pairs, ours, load), _by_contestant(given, pairs), _on_truth(pairs), _by_edit(ours, best, pairs)]
    )


def _by_contestant(given: Sequence[Answer], pairs: Pairs) -> str:
    head = ["", "threshold", "precision", "recall", "F1", "precision, apart", "recall, apart", "F1, apart"]
    head += ["reading, s", "pairs, s"]
    rows: list[list[object]] = []
    for answer in given:
        told: list[object] = [answer.name, answer.threshold]
        for same in (pairs.same, pairs.apart):
            reached = quality(answer.found, same)
            told += [f"{reached.precision:.4f}", f"{reached.recall:.4f}", f"{reached.f1:.4f}"]
        rows.append([*told, *(_seconds(answer.figures.get(key)) for key in ("reading", "comparing"))])
    return table(head, rows)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _setting(pairs: Pairs, ours: Answer, load: float) -> str:
    edited = sum(row.edit != "none" for row in pairs.truth)
    heic = sum(row.file.endswith(".heic") for row in pairs.truth)
    counts, seconds = ours.figures["counts"], ours.figures["comparing"]
    return (
        f"{len(pairs.truth):,} files: {len(pairs.truth) - edited:,} untouched photos and {edited:,} edited copies;"
        f" {int(pairs.same.sum()):,} pairs are one picture, of {len(pairs.same):,}. One run of everyone, one after"
        f" the other; the load of the machine was {load:.1f} before, and above 0.5 the seconds mean little.\n\n"
        f"birdsearch: {counts['candidates']:,} candidate pairs were compared by their pixels; `duplicates()` took"
        f" {seconds:.1f} s, which is {1000 * seconds / counts['photos']:.1f} ms for each photo or"
        f" {1000 * seconds / max(1, counts['candidates']):.2f} ms for each candidate pair. Reading is indexing, timed"
        " apart; the others decode and hash in that time, and fastdup's is its whole run."
        f" {versions('opencv-python-headless', 'faiss-gpu', 'faiss-cpu', 'ImageHash', 'pillow', 'numpy')}.\n\n"
        "birdsearch takes no threshold from this folder. Each of the others has the one at which its F1 here is"
        " highest, chosen on the truth itself: that favours them. On the other side birdsearch was developed on other"
        " edits (other seeds) of these same photos, which favours it. Turned and mirrored copies are beyond plain"
        f" hashes, and imagededup opens no HEIC ({heic} of the files)."
    )


def _on_truth(pairs: Pairs) -> str:
    more = int(pairs.same.sum() - pairs.apart.sum())
    files = {row.file for row in pairs.truth}
    joined = [" and ".join(name.removesuffix(".jpg") for name in pair) for pair in edits.SAME if files.issuperset(pair)]
    if not joined:
        return "No two of the untouched photos are known to be one picture, so `apart` says the same."
    return (
        "A photo collection holds pictures twice that no generator knows of. Here some untouched photos are crops of"
        f" one another ({'; '.join(joined)}): birdsearch reported them, and looking at them confirmed each. The truth"
        f" counts them and their copies as one picture; `apart` counts these {more} pairs as different, at the same"
        " thresholds, and so calls a right answer wrong. They were searched for among birdsearch's answers, so the"
        " first precision leans to birdsearch and `apart` against whoever finds them."
    )


def _by_edit(ours: Answer, best: Answer, pairs: Pairs) -> str:
    wanted: dict[str, Callable[[str], bool]] = {name: name.__eq__ for name in edits.EDITS}
    wanted["two edits in a chain"] = lambda edit: "+" in edit
    rows: list[list[object]] = []
    for name, is_wanted in wanted.items():
        among = pairs.untouched_and(is_wanted)
        if among.any():
            told = [f"{quality(answer.found, pairs.same, among).recall:.4f}" for answer in (ours, best)]
            rows.append([name, int(among.sum()), *told])
    stored = pairs.both(lambda row: row.edit in ("none", "resized", *REENCODED))
    figures = [quality(ours.found, same, stored) for same in (pairs.same, pairs.apart)]
    return "\n\n".join(
        [
            f"Recall of pairs of an untouched photo and its edited copy; {best.name} is the best of the others by F1.",
            table(["edit", "pairs", BIRDSEARCH, best.name], rows),
            "Among the files that are untouched, re-encoded or resized, each with each"
            f" ({int((pairs.same & stored).sum()):,} true pairs), birdsearch's precision is"
            f" {figures[0].precision:.4f} ({figures[1].precision:.4f} apart) and its recall {figures[0].recall:.4f}"
            f" ({figures[1].recall:.4f} apart).",
        ]
    )


def _name_wrong(ours: Answer, pairs: Pairs) -> None:
    for what, wrong in (("wrong", ours.found & ~pairs.same), ("missed", pairs.same & ~ours.found)):
        places = np.flatnonzero(wrong)
        note(f"{BIRDSEARCH}: {len(places)} pairs {what}")
        for place in places[:SHOWN].tolist():
            note(f"  {what}: {pairs.named(place)}")


def main() -> None:
    """Parse the command line, make the folder, let everyone run, publish."""
    parser = command_line("duplicates", __doc__)
    parser.add_argument("--photos", type=Path, default=SHARED_PHOTOS, help="folder of photos to take")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many of them are edited")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--print", action="store_true", help="write nothing into RESULTS.md")
    parser.add_argument("--quick", action="store_true", help=f"photos of {QUICK_SPECIES} species, nothing written")
    options: Any = parser.parse_args()
    species = QUICK_SPECIES if options.quick else None
    pictures = QUICK_PICTURES if options.quick else options.pictures
    folder = made(options.photos, options.seed, pictures, species)
    try:
        body = compare(folder)
    except ContestantError as error:
        raise SystemExit(f"birdsearch itself failed: {error}") from error
    command = f"python -m benchmarks.duplicates --seed {options.seed}{' --quick' if options.quick else ''}"
    if not options.quick and options.pictures != PICTURES:
        command += f" --pictures {options.pictures}"
    if options.photos != SHARED_PHOTOS:
        command += f" --photos {options.photos.name}"
    keep = not (options.print or options.quick)
    publish("Which files are the same picture", body, command=command, keep=keep)


if __name__ == "__main__":
    main()
