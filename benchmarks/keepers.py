"""Which of two files of one picture is kept, and why: `python -m benchmarks.keepers [--seed N]`.

Every photo becomes what a camera writes: its coded pixels untouched, EXIF first, a maker's note. Of each, sixteen kinds
of copies are made that people have. For each kind the table says how often the right file is kept and for the right
reason, of pairs as they are; what is drawn by chance (strength, filter, whether a program tells the new size) is drawn
by the seed.
"""

import io
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageEnhance, ImageFilter

from benchmarks.common import SHARED_PHOTOS, command_line, note, publish, table
from birdsearch.duplicates import keeper
from birdsearch.duplicates.compared import Compared
from birdsearch.duplicates.evidence import FileEvidence
from birdsearch.duplicates.verification import PairVerifier
from birdsearch.photos import decode
from birdsearch.photos.scan import FoundFile, read
from birdsearch.records import Photo

Random = np.random.Generator
PICTURES = 300
CAMERAS = (
    ("Canon", "Canon EOS R5", "Firmware Version 1.8.1"),
    ("NIKON CORPORATION", "NIKON Z 8", "NIKON Z 8 Ver.02.01"),
    ("SONY", "ILCE-1", "ILCE-1 v1.31"),
    ("OM Digital Solutions", "OM-1", "Version 1.4"),
    ("Panasonic", "DC-G9", "Ver.2.4"),
)
PHONE = ("Apple", "iPhone 15 Pro", "17.4.1")
EDITORS = ("Adobe Photoshop Lightroom Classic 13.2 (Windows)", "GIMP 2.10.36", "darktable 4.6.1", "Snapseed 2.0")
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
TAKEN = "2024:05:17 07:25:00"


@dataclass(frozen=True, slots=True)
class Original:
    """A picture as a camera would have written it, in memory."""

    data: bytes
    image: Image.Image
    camera: tuple[str, str, str]
    number: int

    def exif(self, size: tuple[int, int] | None = None, **changed: str) -> Image.Exif:
        """Its EXIF, with what a program changed: the size, `software`, `modified`, `artist`."""
        return exif(self.camera, size or self.image.size, **changed)


@dataclass(frozen=True, slots=True)
class Case:
    """Two files: the right one and the other, and the criteria of which one is the right reason."""

    right: Path
    other: Path
    reasons: tuple[str, ...]
    label: str | None = None  # of the right one


def exif(
    camera: tuple[str, str, str],
    size: tuple[int, int],
    *,
    software: str | None = None,
    modified: str = TAKEN,
    artist: str | None = None,
) -> Image.Exif:
    """What a camera writes beside a picture of this size."""
    made = Image.Exif()
    made[0x010F], made[0x0110], made[0x0131], made[0x0132] = camera[0], camera[1], software or camera[2], modified
    if artist is not None:
        made[0x013B] = artist
    inner = made.get_ifd(0x8769)
    inner[0x9003] = inner[0x9004] = TAKEN
    inner[0xA002], inner[0xA003] = size
    inner[0x927C] = b"a maker's note of bytes that nobody reads"
    return made


def as_camera_jpeg(jpeg: bytes, tags: Image.Exif) -> bytes:
    """The same coded pixels with these tags first, and without the segments that programs put in front."""
    at = 2
    while jpeg[at + 1] in (*range(0xE0, 0xF0), 0xFE):
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    head = b"Exif\0\0" + tags.tobytes().removeprefix(b"Exif\0\0")
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(head) + 2) + head + jpeg[at:]


def jpeg(image: Image.Image, quality: int, tags: Image.Exif | None = None, **options: object) -> bytes:
    """A JPEG as Pillow writes it."""
    return stored(image, "JPEG", tags, quality=quality, **options)


def stored(image: Image.Image, format: str, tags: Image.Exif | None = None, **options: object) -> bytes:
    """The bytes of a file."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    image.save(buffer, format, **({"exif": tags} if tags is not None else {}), **options)
    return buffer.getvalue()


# The kinds of copies --------------------------------------------------------------------------------------------------


class Maker:
    """Writes the two files of a case into a folder."""

    def __init__(self, folder: Path, rng: Random) -> None:
        self._folder, self.rng = folder, rng

    def write(self, name: str, data: bytes) -> Path:
        """A file below the folder."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def case(self, original: Original, name: str, data: bytes, *reasons: str, right: bool = True) -> Case:
        """The original in a folder of photos, and a copy."""
        suffix = ".JPG" if original.data[:2] == b"\xff\xd8" else ".HEIC"
        paths = self.write(f"b/IMG_{original.number:04}{suffix}", original.data), self.write(name, data)
        return Case(paths[0], paths[1], reasons) if right else Case(paths[1], paths[0], reasons)

    def chance(self) -> bool:
        """Heads or tails."""
        return bool(self.rng.random() < 0.5)

    def quality(self, low: int = 60, high: int = 100) -> int:
        """A quality of JPEG."""
        return int(self.rng.integers(low, high + 1))


def _edited(original: Original, maker: Maker) -> Case:
    image = ImageEnhance.Contrast(original.image).enhance(maker.rng.uniform(1.05, 1.3))
    image = image.filter(ImageFilter.UnsharpMask(2, int(maker.rng.integers(50, 200))))
    told = {"software": str(maker.rng.choice(EDITORS))} if maker.chance() else {"modified": "2024:06:02 20:11:00"}
    tags = original.exif(None, **told)
    return maker.case(original, f"a/IMG_{original.number:04}.jpg", jpeg(image, maker.quality(90), tags), "original")


def _named_edit(original: Original, maker: Maker) -> Case:
    image = ImageEnhance.Brightness(original.image).enhance(maker.rng.uniform(1.05, 1.3))
    word = maker.rng.choice(("-edit", " (edited)", "_export", " bearbeitet", "-bright", "_v2"))
    name = f"a/IMG_{original.number:04}{word}.jpg"
    return maker.case(original, name, jpeg(image, maker.quality(90), original.exif()), "original")


def _saved_again(original: Original, maker: Maker) -> Case:
    data = jpeg(original.image, maker.quality(), original.exif())
    return maker.case(original, f"a/IMG_{original.number:04}.jpg", data, "original", "sharpness", "size")


def _saved_as_a_camera(original: Original, maker: Maker) -> Case:
    data = as_camera_jpeg(jpeg(original.image, maker.quality()), original.exif())
    return maker.case(original, f"a/IMG_{original.number:04}.jpg", data, "original", "sharpness", "size")


def _resized(original: Original, maker: Maker, low: float, high: float, *reasons: str) -> Case:
    factor = float(np.exp(maker.rng.uniform(np.log(low), np.log(high))))
    size = tuple(max(1, round(side * factor)) for side in original.image.size)
    how = FILTERS[int(maker.rng.integers(len(FILTERS)))]
    image = original.image.resize((size[0], size[1]), how)
    tags = original.exif(size=image.size) if maker.chance() else original.exif()
    data = jpeg(image, maker.quality(75, 97), tags)
    data = as_camera_jpeg(data, tags) if maker.chance() else data
    return maker.case(original, f"a/IMG_{original.number:04}.jpg", data, *reasons)


def _enlarged(original: Original, maker: Maker) -> Case:
    return _resized(original, maker, 1.3, 3, "original")


def _reduced(original: Original, maker: Maker) -> Case:
    return _resized(original, maker, 0.25, 0.9, "original", "resolution")


def _cropped(original: Original, maker: Maker) -> Case:
    width, height = original.image.size
    keep = maker.rng.uniform(0.6, 0.95)
    image = original.image.crop((0, 0, round(width * keep), round(height * keep)))
    tags = original.exif(size=image.size) if maker.chance() else original.exif()
    data = jpeg(image, maker.quality(85), tags)
    return maker.case(original, f"a/IMG_{original.number:04}.jpg", data, "original", "resolution")


def _converted(format: str, suffix: str) -> Callable[[Original, Maker], Case]:
    def make(original: Original, maker: Maker) -> Case:
        options = {} if format in ("PNG", "TIFF") else {"quality": maker.quality(70, 95)}
        data = stored(original.image, format, original.exif(), **options)
        return maker.case(original, f"a/IMG_{original.number:04}{suffix}", data, "original")

    return make


def _jpeg_of_a_phone(original: Original, maker: Maker) -> Case:
    phone = replace(original, camera=PHONE)
    heic = stored(original.image, "HEIF", phone.exif(), quality=90)
    with Image.open(io.BytesIO(heic)) as opened:
        image = opened.convert("RGB")
    phone = replace(phone, data=heic)
    return maker.case(phone, f"a/IMG_{original.number:04}.jpg", jpeg(image, maker.quality(), phone.exif()), "original")


def _messenger(original: Original, maker: Maker) -> Case:
    image = original.image.resize([max(1, round(side * maker.rng.uniform(0.4, 1))) for side in original.image.size])
    name = f"WhatsApp Images/IMG-20240517-WA{original.number:04}.jpg"
    return maker.case(original, name, jpeg(image, maker.quality(60, 85)), "original")


def _card(original: Original, maker: Maker) -> Case:
    """The card's copy, to which somebody added a field later, and the one in a labelled folder."""
    tags = original.exif(artist="Ana Núñez", modified="2024:06:02 20:11:00")
    data = as_camera_jpeg(original.data, tags)
    case = maker.case(original, f"a/DCIM/100CANON/IMG_{original.number:04}.JPG", data, "place")
    return replace(case, label="Wren")


def _damaged(original: Original, maker: Maker) -> Case:
    data = bytearray(original.data)
    at = int(len(data) * maker.rng.uniform(0.4, 0.9))
    hole = (64, 4096, len(data))[int(maker.rng.integers(3))]
    end = min(at + hole, len(data) - 2)
    data[at:end] = bytes(end - at)
    return maker.case(original, f"a/IMG_{original.number:04}.JPG", bytes(data), "safe")


def _without_profile(original: Original, maker: Maker) -> Case:
    profile = stored_profile()
    tags = original.exif()
    chunk = b"ICC_PROFILE\0\1\1" + profile
    tagged = as_camera_jpeg(original.data, tags)
    end = 4 + int.from_bytes(tagged[4:6], "big")
    tagged = tagged[:end] + b"\xff\xe2" + struct.pack(">H", len(chunk) + 2) + chunk + tagged[end:]
    return maker.case(replace(original, data=tagged), f"a/IMG_{original.number:04}.JPG", original.data, "contents")


def stored_profile() -> bytes:
    """Pillow's sRGB profile with the colorants of Display P3."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colorants = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for number in range(struct.unpack(">I", data[128:132])[0]):
        name, offset, _ = struct.unpack(">4sII", data[132 + 12 * number : 144 + 12 * number])
        if name in colorants:
            values = (struct.pack(">i", round(value * 65536)) for value in colorants[name])
            data[offset + 8 : offset + 20] = b"".join(values)
    return bytes(data)


def _companion(original: Original, maker: Maker) -> Case:
    case = maker.case(original, f"a/IMG_{original.number:04}.JPG", original.data, "companions")
    suffix = str(maker.rng.choice((".JPG.xmp", ".CR3", ".WAV", ".MOV", ".JPG.pp3")))
    maker.write(f"b/IMG_{original.number:04}{suffix}", b"beside it")
    return case


KINDS: dict[str, Callable[[Original, Maker], Case]] = {
    "edited, the program or the time of the edit told": _edited,
    "edited, only the name tells": _named_edit,
    "saved again, quality 60 to 100, EXIF kept": _saved_again,
    "the same, with a camera's file header": _saved_as_a_camera,
    "enlarged 1.3 to 3 times, EXIF kept, new size told or not": _enlarged,
    "reduced to 0.25 to 0.9, EXIF kept, new size told or not": _reduced,
    "cropped, EXIF kept, new size told or not": _cropped,
    "HEIC made from a camera's JPEG": _converted("HEIF", ".HEIC"),
    "JPEG made from a phone's HEIC": _jpeg_of_a_phone,
    "PNG, EXIF kept": _converted("PNG", ".png"),
    "WebP, EXIF kept": _converted("WEBP", ".webp"),
    "messenger, no EXIF": _messenger,
    "card copy with a field more, the other in a labelled folder": _card,
    "damaged: a hole, or zeros to the end": _damaged,
    "colour profile stripped": _without_profile,
    "the same file without its sidecar, RAW, movie or memo": _companion,
}


# The choice -----------------------------------------------------------------------------------------------------------


def choice(case: Case) -> tuple[bool, str]:
    """Whether the right file is kept, and why a file is kept, as `dedupe` would choose between the two."""
    photos = [_photo(number, path) for number, path in enumerate((case.right, case.other), start=1)]
    photos[0] = replace(photos[0], label=case.label)
    same = photos[0].sha256 == photos[1].sha256 or PairVerifier(lambda _: {}, Compared()).same_pixels(photos)
    chosen = keeper.best(photos, evidence=FileEvidence({}, Compared()), pictures=[1, 1] if same else [1, 2])
    return chosen.keep == 1, chosen.reason


def _photo(number: int, path: Path) -> Photo:
    file = read(FoundFile(str(path).encode()))
    return replace(decode.decode(file.data, file.photo, (64, 64), file.format).photo, id=number)


def originals(photos: Path, count: int, rng: Random) -> list[Original]:
    """So many photos as cameras would have written them; their coded pixels stay as they are."""
    sources = sorted(path for path in photos.rglob("*.jpg"))
    made = []
    for number in sorted(rng.permutation(len(sources))[:count].tolist()):
        data = sources[number].read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
        camera = CAMERAS[number % len(CAMERAS)]
        made.append(Original(as_camera_jpeg(data, exif(camera, image.size)), image, camera, number))
    return made


def judged(made: Sequence[Original], rng: Random, shown: int) -> list[list[object]]:
    """A row for each kind: how many kept right, for the right reason, and what decided."""
    rows: list[list[object]] = []
    for kind, make in KINDS.items():
        right = reasoned = 0
        decided: Counter[str] = Counter()
        for original in made:
            with tempfile.TemporaryDirectory() as folder:
                case = make(original, Maker(Path(folder), rng))
                kept, reason = choice(case)
            criterion = reason.split(":")[0]
            right += kept
            reasoned += kept and criterion in case.reasons
            decided[criterion] += 1
            if not kept and shown > 0:
                shown -= 1
                note(f"wrong: {kind}, IMG_{original.number:04}: {reason}")
        words = ", ".join(f"{criterion} {count}" for criterion, count in decided.most_common())
        rows.append([kind, len(made), right / len(made), reasoned / len(made), words])
        note(f"{kind}: {right} right, {reasoned} with the right reason; {words}")
    return rows


def main() -> None:
    """Make the files, choose, and say how often it was right."""
    parser = command_line("keepers", __doc__)
    parser.add_argument("--photos", type=Path, default=SHARED_PHOTOS, help="folder of photos to take")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--keep", action="store_true", help="write the table to RESULTS.md")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = judged(originals(options.photos, options.pictures, rng), rng, shown=30)
    total = [float(np.mean([row[column] for row in rows])) for column in (2, 3)]
    shares = [[*row[:2], f"{row[2]:.4f}", f"{row[3]:.4f}", row[4]] for row in rows]
    body = table(
        ("the copy", "pairs", "right file kept", "and for the right reason", "what decided"),
        [*shares, ["**all**", len(rows) * options.pictures, f"**{total[0]:.4f}**", f"**{total[1]:.4f}**", ""]],
    )
    command = f"python -m benchmarks.keepers --pictures {options.pictures} --seed {options.seed}"
    publish("Keepers", body, command=command, keep=options.keep)


if __name__ == "__main__":
    main()
