"""Photos with what cameras write of time, place, owner and serial number, drawn for the formats of sightings."""

from pathlib import Path
from typing import Any

from tests.support.drawing import bird, exif, write

SERIAL, OWNER, NOTES = "SN0123456789", "Ana Nunez", "nest in the old oak"
KAKAPO = (-46.123456, 167.654321)  # where the rare one is
GARDEN = (52.520008, 13.404954)


def degrees(value: float) -> tuple[float, float, float]:
    """Degrees, minutes and seconds, as EXIF has them."""
    minutes = abs(value) * 60
    return float(int(minutes // 60)), float(int(minutes % 60)), round(minutes % 1 * 60, 6)


def photo(
    path: Path,
    place: tuple[float, float] | None = GARDEN,
    taken: str | None = "2024:05:17 06:07:08",
    offset: str | None = "+02:00",
    seed: int | None = None,
    camera: str = "Canon EOS R5",
) -> Path:
    """A photo of 80 x 60 with these facts, another picture for each path."""
    sub: dict[int, Any] = {0xA431: SERIAL} | ({0x9003: taken} if taken else {}) | ({0x9011: offset} if offset else {})
    gps = None
    if place is not None:
        north, east = place
        gps = {1: "S" if north < 0 else "N", 2: degrees(north), 3: "W" if east < 0 else "E", 4: degrees(east)}
    main = {0x010F: "Canon", 0x0110: camera, 0x013B: OWNER, 0x010E: NOTES}
    drawn = bird(sum(map(ord, str(path.name))) + 1000 * len(path.parent.name) if seed is None else seed, 80, 60)
    return write(path, drawn, exif=exif(main, sub, gps))
