"""Words become vectors in the space of photos: by the text tower of an encoder, or by a user's own backbone.

A tower is exported once (`text_export`) and asked without torch. The last layer of an encoder of pictures and texts is
linear, so the vectors that an index keeps are projected into the space of texts without a network (`Projection`).
"""

import html
import json
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from birdsearch.backbones.classes import Projection
from birdsearch.backbones.openvino_runtime import UNREADABLE, OpenVinoNetwork, problem_in
from birdsearch.backbones.registry import PULL_TEXT, tower_folder, words_advice
from birdsearch.errors import BackboneError, BackboneUnavailableError
from birdsearch.files import read_arrays
from birdsearch.records import Vectors, blocks

INSTALL = "Install it with: pip install 'birdsearch[text]'"
VERSION = 1  # counts up when what is kept of a tower, or how, changes
BATCH = 64  # texts that are embedded at a time
_SCALE = 100.0  # that CLIP's networks reach; of a user's own backbone that names no `text_scale`
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Texts(Protocol):
    """What makes vectors of texts for one backbone."""

    scale: float  # the logits of texts for a photo are the cosines times this

    @property
    def key(self) -> str | None:
        """What the vectors of texts depend on, as the name of a file; None where that is not known."""

    @property
    def projection(self) -> Projection | None:
        """Of photos into the space of texts; None where their vectors lie in it, or the index keeps it."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, joint), rows of length 1."""


def texts_of(name: str, weights_sha256: str | None, own: Any = None) -> Texts:
    """What makes vectors of texts for a backbone, of which `own` is the user's object where it is one.

    Raises BackboneUnavailableError, which says what would, where nothing does.
    """
    if own is not None:
        return OwnTexts(own)
    folder = tower_folder(name, weights_sha256 or "")
    if not folder.exists():
        raise BackboneUnavailableError(words_advice(name))
    try:
        if (problem := problem_in(folder)) is None:
            record = TowerRecord.read(folder)
            if (record.name, record.weights_sha256) == (name, weights_sha256):
                return TextTower(folder, record)
            problem = f"{folder} is of other weights"
    except UNREADABLE as error:
        problem = f"{folder} cannot be read ({error})"
    raise BackboneUnavailableError(f"{problem}: make it again with {PULL_TEXT} {name}")


class OwnTexts:
    """The method `embed_text` of a user's backbone, whose answers are checked."""

    key = None
    projection = None

    def __init__(self, user_object: Any) -> None:
        if not callable(getattr(user_object, "embed_text", None)):
            raise BackboneUnavailableError(
                f"the backbone {user_object.name} is a user's own object without embed_text(texts), so it knows no "
                "words. Give it that method: (n, dim) numbers for a list of n texts, in the space of its vectors"
            )
        self.user_object = user_object
        self.scale = float(getattr(user_object, "text_scale", _SCALE))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dim), rows of length 1."""
        checked = _checked(texts)
        name, expected = self.user_object.name, (len(checked), int(self.user_object.dim))
        try:
            vectors = np.asarray(self.user_object.embed_text(checked), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BackboneError(
                f"embed_text of the backbone {name} failed or gave no array of numbers: {error}"
            ) from error
        if vectors.shape != expected:
            raise BackboneError(
                f"embed_text of the backbone {name} gave an array of shape {vectors.shape} for {len(checked)} texts, "
                f"expected {expected}: one row of `dim` numbers per text"
            )
        return _unit(vectors, name)


@dataclass(frozen=True, slots=True)
class TowerRecord:
    """What facts.json says of a text tower."""

    name: str  # of the backbone whose photos it answers for
    weights_sha256: str  # of that backbone
    text_sha256: str  # of the tensors of the tower
    source: str  # what open_clip loaded
    joint: int  # length of a vector
    context: int  # tokens of a text, at most
    clean: str  # how a text is cleaned: one of open_clip's words "lower", "whitespace" and "canonicalize"
    scale: float
    version: int = VERSION

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises one of UNREADABLE for what `write` did not write."""
        record = cls(**json.loads((folder / "facts.json").read_text(encoding="utf-8")))
        if record.version != VERSION:
            raise ValueError(f"it is of version {record.version}")
        return record

    def write(self, folder: Path) -> None:
        """As JSON."""
        (folder / "facts.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


class TextTower:
    """An exported text tower: network.xml, tokenizer.json and projection.npz in a folder of the cache."""

    def __init__(self, folder: Path, record: TowerRecord) -> None:
        self.record = record
        self.key = folder.name
        self.scale = record.scale
        self._folder = folder
        # 32 bits: one text costs little, and its rounding would be an error of every score.
        self._network = OpenVinoNetwork(folder, "fp32")

    @cached_property
    def projection(self) -> Projection | None:
        """Of the photos, as the source of the tower has it; None where it has none."""
        arrays = read_arrays(self._folder / "projection.npz")
        return Projection(arrays["projection"], arrays["projection_bias"]) if arrays else None

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise BackboneUnavailableError(f"words need the package tokenizers. {INSTALL}") from error
        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    def tokens(self, texts: Sequence[str]) -> Any:  # (n, context) int64
        """The tokens of texts, equal to open_clip's."""
        cleaned = [clean(text, self.record.clean) for text in _checked(texts)]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(cleaned)]
        return np.array(rows, dtype=np.int64).reshape(-1, self.record.context)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, joint), rows of length 1."""
        tokens = self.tokens(texts)
        rows = [self._network.run(tokens[block]).embeddings for block in blocks(len(tokens), BATCH)]
        return _unit(np.concatenate([np.empty((0, self.record.joint), np.float32), *rows]), self.record.name)


def clean(text: str, how: str) -> str:
    """A text as open_clip cleans it before it looks for tokens: mojibake, curly quotes and entities put right."""
    try:
        import ftfy
    except ImportError as error:
        raise BackboneUnavailableError(f"words need the package ftfy. {INSTALL}") from error
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    if how == "canonicalize":
        text = text.replace("_", " ").translate(_PUNCTUATION)
    return " ".join((text if how == "whitespace" else text.lower()).split())


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("embed_text takes a list of texts; for one text write embed_text([text])")
    checked = list(texts)
    for text in checked:
        if not isinstance(text, str):
            raise TypeError(f"a text is a str, not a {type(text).__name__}")
        if not text.strip():
            raise ValueError("a text is empty: it must have a word")
    return checked


def _unit(vectors: Vectors, name: str) -> Vectors:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise BackboneError(f"the backbone {name} gave no usable vector for a text (not finite, or all zero)")
    return np.asarray(wide / lengths, dtype=np.float32)
