"""XMP packets -> the properties in them. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from birdsearch.records import bytes_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST = 4_000_000  # bytes of a packet that is read; depth maps and videos lie in larger ones
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PREFIXES = {  # namespace -> the usual prefix
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
    "http://ns.google.com/photos/1.0/camera/": "GCamera",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://ns.iview-multimedia.com/mediapro/1.0/": "mediapro",
    "http://ns.microsoft.com/photo/1.0": "MicrosoftPhoto",  # Windows writes it in both ways
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
}


def properties(packet: bytes) -> dict[str, tuple[str, ...]]:
    """Each property of a packet ("xmp:CreatorTool", "xmpMM:History/stEvt:softwareAgent") -> its texts, in order."""
    try:
        return read(packet)
    except ValueError:
        return {}


def read(packet: bytes) -> dict[str, tuple[str, ...]]:
    """The `properties` of a packet; ValueError, with the reason, for what is none."""
    from defusedxml.ElementTree import fromstring

    found: dict[str, list[str]] = defaultdict(list)
    if len(packet) > LARGEST:
        raise ValueError(f"it is longer than {bytes_text(LARGEST)}")
    if packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        packet = packet.decode("utf-16", "replace").encode()
    try:
        root = fromstring(packet[max(packet.find(b"<"), 0) :].rstrip(b"\0 \r\n\t"))
        for description in root.iter(f"{{{_RDF}}}RDF"):
            for name, text in _texts(description, ""):
                found[name].append(text)
    # A stranger's packet: beside what is no XML, or a bomb, there are encodings that Python does not know or forbids.
    except Exception as error:
        raise ValueError(f"it is not XMP ({' '.join(str(error).split()):.100})") from error
    return {name: tuple(texts) for name, texts in found.items()}


def _texts(element: "Element", path: str) -> Iterator[tuple[str, str]]:
    """The names and texts of an element, its attributes and all below it; lists and bags are no part of a name."""
    for attribute, value in element.attrib.items():
        if name := _name(attribute):
            yield _joined(path, name), value.strip()
    for child in element:
        below = _joined(path, _name(child.tag))
        if below and (text := (child.text or "").strip()):
            yield below, text
        yield from _texts(child, below)


def _joined(path: str, name: str) -> str:
    return "/".join(filter(None, (path, name)))


def _name(tag: str) -> str:
    """A tag with its prefix; empty for those of RDF and XML themselves."""
    namespace, _, name = tag.removeprefix("{").rpartition("}")
    if namespace == _RDF or namespace.startswith("http://www.w3.org/XML/"):
        return ""
    return f"{_PREFIXES.get(namespace, namespace)}:{name}"
