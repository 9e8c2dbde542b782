"""Encoders of pictures and texts with seeded random weights, in the files of open_clip and of birder: no hub.

The architectures, the saving and the loading are the real ones; the photo tower of both files is the same network.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from birdsearch.backbones.registry import birder_registry
from birdsearch.records import Pixels, Vectors
from tests.support import checkpoints

CLIP_STATS: Any = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
HALVES: Any = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
TINY_TEXT = {"width": 64, "heads": 2, "layers": 2}


@dataclass(frozen=True)
class Pair:
    """One network, as both packages know it."""

    checkpoint: Path  # birder's, of the photo tower
    source: str  # what open_clip loads
    model: Any  # of open_clip
    stats: Any

    def photos(self, pixels: Pixels) -> Vectors:
        """The network asked directly: (n, h, w, 3) uint8 -> (n, joint), rows of length 1."""
        import torch

        mean, std = (torch.tensor(self.stats[key]).view(3, 1, 1) for key in ("mean", "std"))
        with torch.inference_mode():
            batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std
            return np.asarray(self.model.encode_image(batch, normalize=True).numpy())

    def texts(self, tokens: Any) -> Vectors:
        """The network asked directly: (n, context) -> (n, joint), rows of length 1."""
        import torch

        with torch.inference_mode():
            return np.asarray(self.model.encode_text(torch.as_tensor(tokens), normalize=True).numpy())


def clip(folder: Path, tag: str = "mine", *, seed: int = 7, full: bool = False) -> Pair:
    """A CLIP, whose photos are projected into the space of texts; `full` is ViT-B/16 as OpenAI made it."""
    import open_clip
    import torch

    config = open_clip.get_model_config("ViT-B-16")
    vit: dict[str, Any] = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    if not full:
        config["embed_dim"] = 32
        config["vision_cfg"] |= {"image_size": 64, "layers": 2, "width": 64, "head_width": 32}
        config["text_cfg"] |= TINY_TEXT
        vit = {"num_layers": 2, "num_heads": 2, "hidden_dim": 64, "mlp_dim": 256}
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config).eval()
    tower = {name.removeprefix("visual."): value for name, value in model.state_dict().items() if "visual." in name}
    projection = tower.pop("proj")
    state = [*tower.values(), projection.T, torch.zeros(len(projection.T))]
    checkpoint = _checkpoint(folder, "vit_b16_pn", tag, state, len(projection.T), 224 if full else 64, vit, CLIP_STATS)
    return Pair(checkpoint, _saved(folder / f"clip-{tag}", model, config), model, CLIP_STATS)


def siglip(folder: Path, tag: str = "sig") -> Pair:
    """A SigLIP, whose photos lie in the space of texts as they are; its tokenizer knows a few words."""
    import open_clip
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    config = open_clip.get_model_config("ViT-B-16-SigLIP")
    config["text_cfg"] |= TINY_TEXT
    torch.manual_seed(7)
    model = open_clip.CustomTextCLIP(**{key: value for key, value in config.items() if key != "custom_text"}).eval()
    state = [value for name, value in model.state_dict().items() if name.startswith("visual.trunk.")]
    checkpoint = _checkpoint(folder, "vit_b16_ap", tag, state, 0, 224, None, HALVES)
    source = _saved(folder / f"clip-{tag}", model, config)
    words = "<pad> <unk> a photo of bird wren heron with fish two swans on lake at dawn blue tit the"
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words.split())}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / f"clip-{tag}/tokenizer.json"))
    (folder / f"clip-{tag}/tokenizer_config.json").write_text('{"pad_token": "<pad>"}')
    return Pair(checkpoint, source, model, HALVES)


class _NoTokenizer:
    def save_pretrained(self, folder: Any) -> None:
        """open_clip's own tokenizer is part of the package."""


def _saved(folder: Path, model: Any, config: dict[str, Any]) -> str:
    """The network in a folder as open_clip's own upload writes it."""
    from open_clip.push_to_hf_hub import save_for_hf

    model.visual.image_mean = model.visual.image_std = None
    save_for_hf(model, _NoTokenizer(), config, safe_serialization=True, save_directory=str(folder))
    assert json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    return f"local-dir:{folder}"


def _checkpoint(
    folder: Path, network: str, tag: str, state: list[Any], outputs: int, size: int, config: Any, stats: Any
) -> Path:
    """A birder checkpoint whose tensors are these, one after the other."""
    registry = birder_registry()
    net = registry.net_factory(network, outputs, config=config, size=(size, size))
    ours = net.state_dict()
    assert len(ours) == len(state), (len(ours), len(state))
    net.load_state_dict({name: value.reshape(ours[name].shape) for name, value in zip(ours, state, strict=True)})
    return checkpoints.save(folder, network, tag, net.eval(), size, outputs, config, stats)
