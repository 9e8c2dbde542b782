"""The text tower of an encoder, exported to OpenVINO once; needs the extra `text`, which brings open_clip."""

import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from birdsearch.backbones.backbone import Backbone
from birdsearch.backbones.classes import Projection
from birdsearch.backbones.openvino_runtime import painted, silent_openvino, unfinished_folder, write_sums
from birdsearch.backbones.registry import WORDS, tower_folder, words_advice
from birdsearch.backbones.text import INSTALL, TextTower, TowerRecord
from birdsearch.errors import BackboneMismatchError, BackboneUnavailableError
from birdsearch.records import Progress, Vectors

logger = logging.getLogger("birdsearch")

SAME_PHOTOS = 0.9999  # cosine of a picture as both photo towers see it, at least: rounding alone leaves 0.999999
SAME_TEXTS = 0.999999  # of a text by the export and by torch
_TRIAL = (
    "a photo of a bird.",
    "Troglodytes troglodytes",
    "two swans on a lake at dawn, and a heron with a fish",
    "wren",
)
_SOURCES = "hf-hub:ORG/NAME, local-dir:FOLDER, MODEL:TAG or MODEL:FILE, as open_clip has them"
_UNFIT = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, AssertionError, ImportError)


def pull(backbone: Backbone, source: str | None = None, progress: Progress | None = None) -> Path:
    """Export the text tower that belongs to a backbone of torch; returns the folder where it lies.

    `source` is what open_clip loads; left out, what is known for this backbone. Raises BackboneMismatchError for a
    tower of other photos, BackboneUnavailableError where there is none or it cannot be had.
    """
    if backbone.weights_sha256 is None:
        raise BackboneUnavailableError(f"{backbone.name} is a user's own object: give it embed_text(texts)")
    if source is None and backbone.name not in WORDS:
        raise BackboneUnavailableError(words_advice(backbone.name))
    wanted = source or WORDS[backbone.name].source
    if progress:
        progress("load", 0, None, wanted)
    clip = _loaded(wanted, backbone.input_size)
    projection = _belonging(backbone, clip, wanted)
    if progress:
        progress("prepare", 0, None, backbone.name)
    place = tower_folder(backbone.name, backbone.weights_sha256)
    try:
        folder = unfinished_folder(place.parent)
        try:
            record = _record(backbone, clip, wanted)
            _write(folder, clip, projection, record)
            _check_texts(folder, record, clip)
            write_sums(folder)
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise BackboneUnavailableError(f"no place for the text tower at {place} ({error})") from error
    return place


@dataclass(frozen=True, slots=True)
class _Clip:
    """A network of open_clip's and its tokenizer."""

    model: Any
    tokenizer: "_Tokenizer"
    scale: float


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """How a text becomes tokens."""

    text: str  # the JSON of a `tokenizers` file
    context: int  # tokens
    clean: str  # see TowerRecord


def _loaded(source: str, size: tuple[int, int]) -> _Clip:
    """What open_clip makes of a source, in 32 bits on the processor, for pictures of this size."""
    with _silent():
        try:
            import open_clip
        except ImportError as error:
            raise BackboneUnavailableError(f"pull-text needs the package open-clip-torch. {INSTALL}") from error
        schema, _ = open_clip.factory.parse_model_name(source)
        name, _, pretrained = (source, "", None) if schema else source.partition(":")
        try:
            config = open_clip.factory.get_model_config(name)
            if config is None and schema == "local-dir":
                file = Path(name.removeprefix("local-dir:"), "open_clip_config.json")
                config = json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
            if config is None:
                raise ValueError(f"open_clip knows no model {name!r}")
            if not schema and not pretrained:
                raise ValueError("it names no weights")
            other = {} if config["vision_cfg"].get("image_size", 224) in (size, size[0]) else {"force_image_size": size}
            model = open_clip.create_model(name, pretrained=pretrained or None, require_pretrained=True, **other).eval()
            tokenizer = _tokenizer(open_clip, name, schema, config["text_cfg"])
        except _UNFIT as error:
            reason = " ".join(str(error).split())[:300]
            raise BackboneUnavailableError(
                f"open_clip cannot load {source} ({type(error).__name__}: {reason}). Give --from {_SOURCES}"
            ) from error
        return _Clip(model, tokenizer, float(model.logit_scale.detach().exp().max()))


@contextmanager
def _silent() -> Iterator[None]:
    """open_clip and what it imports write to the root logger, and warn of what does not matter here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _belonging(backbone: Backbone, clip: _Clip, source: str) -> Projection | None:
    """The projection of the photos, where there is one; raises BackboneMismatchError for a tower of other photos.

    What belongs is what sees the same: both photo towers, run on painted pictures, must give the same vectors, which
    they do only where every weight, the projection among them, is the same.
    """
    pixels = painted(backbone.input_size)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        expected = _unit(clip.model.encode_image(batch).float().numpy())
    projection = backbone.projection or _own_projection(clip.model.visual, backbone.dim)
    embedded = backbone.embed_pixels(pixels)
    seen = embedded.vectors * embedded.norms[:, None]
    if projection is not None:
        seen = seen @ projection.weights.T + projection.bias
    same_length = seen.shape == expected.shape
    worst = float((_unit(seen) * expected).sum(axis=1).min()) if same_length else -1.0
    if not worst >= SAME_PHOTOS:
        how = f"cosine {worst:.4f}" if same_length else f"{expected.shape[1]} numbers, not {seen.shape[1]}"
        raise BackboneMismatchError(
            f"the text tower of {source} does not belong to {backbone.name}: its photo tower sees the same pictures "
            f"otherwise ({how}), so its words would mean nothing there"
        )
    return projection


def _own_projection(visual: Any, dim: int) -> Projection | None:
    """The projection that open_clip keeps apart from the backbone: a matrix `proj`, or a linear `head`."""
    matrix = getattr(visual, "proj", None)
    if isinstance(matrix, torch.Tensor) and matrix.shape[0] == dim:
        weights = matrix.detach().float().numpy().T
        return Projection(np.ascontiguousarray(weights), np.zeros(len(weights), np.float32))
    for layer in (matrix, *getattr(visual, "head", torch.nn.Sequential()).modules(), getattr(visual, "trunk", None)):
        layer = getattr(layer, "head", layer)
        if isinstance(layer, torch.nn.Linear) and layer.in_features == dim:
            bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
            return Projection(layer.weight.detach().float().numpy(), bias.detach().float().numpy())
    return None


def _record(backbone: Backbone, clip: _Clip, source: str) -> TowerRecord:
    state = {k: v for k, v in clip.model.state_dict().items() if not k.startswith("visual.")}
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].detach().float().numpy().tobytes())
    with torch.inference_mode():
        joint = clip.model.encode_text(torch.zeros(1, clip.tokenizer.context, dtype=torch.long)).shape[1]
    assert backbone.weights_sha256 is not None  # `pull` has looked
    return TowerRecord(
        backbone.name,
        backbone.weights_sha256,
        digest.hexdigest(),
        source,
        int(joint),
        clip.tokenizer.context,
        clip.tokenizer.clean,
        clip.scale,
    )


class _TextTower(torch.nn.Module):
    """All that is computed of tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, context) -> (n, joint)."""
        vectors: torch.Tensor = self.model.encode_text(tokens)
        return vectors


def _write(folder: Path, clip: _Clip, projection: Projection | None, record: TowerRecord) -> None:
    """network.xml, tokenizer.json, projection.npz and facts.json."""
    openvino = silent_openvino()
    onnx = folder / "network.onnx"
    with _silent(), torch.inference_mode():
        program = torch.onnx.export(
            _TextTower(clip.model).eval(),
            (torch.zeros(2, record.context, dtype=torch.long),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("texts", min=1, max=1024)},),
            input_names=["tokens"],
            output_names=["vectors"],
            verbose=False,
        )
        assert program is not None  # dynamo=True returns a program
        program.save(str(onnx))
    # All 32 bits are kept: half of them would be an error of every score.
    openvino.save_model(openvino.Core().read_model(str(onnx)), str(folder / "network.xml"), compress_to_fp16=False)
    for leftover in folder.glob("network.onnx*"):
        leftover.unlink()
    (folder / "tokenizer.json").write_text(clip.tokenizer.text, encoding="utf-8")
    arrays = {} if projection is None else {"projection": projection.weights, "projection_bias": projection.bias}
    np.savez(folder / "projection.npz", **arrays)  # type: ignore[arg-type]
    record.write(folder)


def _check_texts(folder: Path, record: TowerRecord, clip: _Clip) -> None:
    """Raises BackboneUnavailableError where the export does not say what torch says."""
    tower = TextTower(folder, record)
    with torch.inference_mode():
        expected = _unit(clip.model.encode_text(torch.from_numpy(tower.tokens(_TRIAL))).float().numpy())
    worst = float((tower.embed(_TRIAL) * expected).sum(axis=1).min())
    if not worst >= SAME_TEXTS:
        raise BackboneUnavailableError(
            f"the export of the text tower of {record.name} does not agree with torch ({worst})"
        )


def _unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


# Tokens --------------------------------------------------------------------------------------------------------------


def _tokenizer(open_clip: Any, name: str, schema: str | None, config: dict[str, Any]) -> _Tokenizer:
    """The tokenizer of a model of open_clip as one of the package tokenizers, which cuts and pads."""
    context = int(config.get("context_length", 77))
    options = config.get("tokenizer_kwargs", {})
    if hub := config.get("hf_tokenizer_name"):
        if config.get("tokenizer_mode") or options.get("strip_sep_token"):
            raise ValueError(f"its tokenizer {hub} is of a kind that is not known here")
        made, pad = _of_hub(Path(name.removeprefix("local-dir:")) if schema == "local-dir" else hub)
        made.enable_truncation(context)
        made.enable_padding(length=context, pad_id=made.token_to_id(pad) or 0, pad_token=pad)
        return _Tokenizer(made.to_str(), context, options.get("clean", "whitespace"))
    original = open_clip.get_tokenizer(name)
    made = byte_pairs(original)
    made.enable_truncation(context)
    made.enable_padding(length=context, pad_id=0, pad_token="!")  # open_clip pads with 0, which is the token "!"
    return _Tokenizer(made.to_str(), context, original.clean_fn.__name__.removeprefix("_clean_"))


def byte_pairs(original: Any) -> Any:
    """CLIP's own tokenizer (open_clip's SimpleTokenizer) as one of the package tokenizers."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    special = [token for token in original.encoder if original.encoder[token] in original.all_special_ids]
    merges = sorted(original.bpe_ranks, key=original.bpe_ranks.get)
    made = Tokenizer(models.BPE(vocab=original.encoder, merges=merges, end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.add_special_tokens(special)
    start, end = special[:2]
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(token, original.encoder[token]) for token in (start, end)]
    )
    return made


def _of_hub(source: Path | str) -> tuple[Any, str]:
    """The tokenizer of a folder, or of a name of the Hugging Face hub, and its token that fills up."""
    from tokenizers import Tokenizer

    def file(name: str) -> Path:
        if isinstance(source, Path):
            return source / name
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(source, name))

    config = json.loads(file("tokenizer_config.json").read_text(encoding="utf-8"))
    pad = config.get("pad_token") or "<pad>"
    return Tokenizer.from_file(str(file("tokenizer.json"))), pad["content"] if isinstance(pad, dict) else pad
