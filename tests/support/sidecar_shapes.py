"""Sidecars as nine programs write them: the same RDF in their several ways, with made-up values."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "darktable": "http://darktable.sf.net/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "apple-fi": "http://ns.apple.com/faceinfo/1.0/",
}


def _packet(body: str, *spaces: str) -> str:
    names = " ".join(f'xmlns:{name}="{_SPACES[name]}"' for name in spaces)
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="any">\n <rdf:RDF xmlns:rdf="{_RDF}" {names}>\n'
        f"{body}\n </rdf:RDF>\n</x:xmpmeta>"
    )


def _list(kind: str, *items: str) -> str:
    return f"<rdf:{kind}>" + "".join(f"\n   <rdf:li>{item}</rdf:li>" for item in items) + f"\n  </rdf:{kind}>"


_DEVELOP = " ".join(f'crs:Setting{number}="+{number}"' for number in range(120))
_LIGHTROOM = _packet(
    f'<rdf:Description rdf:about="" xmp:Rating="4" xmp:Label="Green" xmp:CreateDate="2024-05-17T06:07:08.05" '
    f'photoshop:DateCreated="2024-05-17T06:07:08.05" photoshop:SidecarForExtension="CR2" '
    f'exif:GPSLatitude="52,30.5N" exif:GPSLongitude="13,15.25E" tiff:Model="EOS R5" {_DEVELOP}>'
    f"<dc:subject>{_list('Bag', 'Birds', 'Paridae', 'Eurasian Blue Tit')}</dc:subject>"
    f"<lr:hierarchicalSubject>{_list('Bag', 'Birds|Paridae|Eurasian Blue Tit')}</lr:hierarchicalSubject>"
    f'<dc:creator>{_list("Seq", "Ana Núñez")}</dc:creator><dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
    'at the feeder</rdf:li></rdf:Alt></dc:description><crs:Look><rdf:Description crs:Name="Vivid"/></crs:Look>'
    "</rdf:Description>",
    *("dc", "xmp", "photoshop", "lr", "exif", "tiff", "crs"),
)  # fmt: skip
_DIGIKAM = _packet(
    '<rdf:Description rdf:about="" xmp:Rating="3" tiff:ImageDescription="" digiKam:PickLabel="0" '
    'exif:DateTimeOriginal="2023-04-01T10:00:00">'
    f"<digiKam:TagsList>{_list('Seq', 'Tiere/Vögel/Amsel', 'Orte/Berlin')}</digiKam:TagsList>"
    f"<lr:hierarchicalSubject>{_list('Bag', 'Tiere|Vögel|Amsel', 'Orte|Berlin')}</lr:hierarchicalSubject>"
    f"<MicrosoftPhoto:LastKeywordXMP>{_list('Bag', 'Tiere/Vögel/Amsel', 'Orte/Berlin')}"
    "</MicrosoftPhoto:LastKeywordXMP>"
    f"<mediapro:CatalogSets>{_list('Bag', 'Tiere|Vögel|Amsel', 'Orte|Berlin')}</mediapro:CatalogSets>"
    f"<dc:subject>{_list('Bag', 'Amsel', 'Berlin')}</dc:subject></rdf:Description>",
    *("dc", "xmp", "lr", "digiKam", "MicrosoftPhoto", "mediapro", "exif", "tiff"),
)  # fmt: skip
_APPLE = _packet(
    f'<rdf:Description rdf:about="" xmlns:dc="{_SPACES["dc"]}"><dc:subject>{_list("Seq", "Rotkehlchen", "Garten")}'
    f'</dc:subject></rdf:Description><rdf:Description rdf:about="" xmlns:photoshop="{_SPACES["photoshop"]}">'
    "<photoshop:DateCreated>2022-11-05T09:08:07+01:00</photoshop:DateCreated></rdf:Description>"
    f'<rdf:Description rdf:about="" xmlns:exif="{_SPACES["exif"]}"><exif:GPSLongitude>2,21.132W</exif:GPSLongitude>'
    "<exif:GPSLatitude>48,51.396N</exif:GPSLatitude></rdf:Description>",
)  # fmt: skip
_IPHONE = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + _packet(
    '<rdf:Description rdf:about=""><xmp:CreateDate>2021-06-07T08:09:10</xmp:CreateDate><dc:title><rdf:Alt>'
    '<rdf:li xml:lang="x-default">Merlin &amp; prey</rdf:li></rdf:Alt></dc:title>'
    "<exif:GPSLatitude>33,52.1S</exif:GPSLatitude><exif:GPSLongitude>151,12.5E</exif:GPSLongitude></rdf:Description>",
    *("dc", "xmp", "exif"),
) + "\n<?xpacket end='w'?>"  # fmt: skip
_FSTOP = _packet(
    '<rdf:Description rdf:about="" xmp:Rating="5"><dc:subject><rdf:Bag><rdf:li>House Sparrow</rdf:li><rdf:li/>'
    "<rdf:li>  balcony </rdf:li></rdf:Bag></dc:subject></rdf:Description>",
    *("dc", "xmp"),
)  # fmt: skip
_JPHOTOTAGGER = _packet(
    f'<rdf:Description rdf:about="" dc:rights="me"><dc:subject>{_list("Bag", "Vögel", "Kohlmeise")}</dc:subject>'
    f"<lr:hierarchicalSubject>{_list('Bag', 'Vögel|Meisen|Kohlmeise')}</lr:hierarchicalSubject>"
    f"<Iptc4xmpCore:Location>Garten</Iptc4xmpCore:Location><dc:creator>{_list('Seq', 'Eva', 'Jan')}</dc:creator>"
    "</rdf:Description>",
    *("dc", "lr", "Iptc4xmpCore"),
)  # fmt: skip
for _usual, _other in (("rdf:", "r:"), ("xmlns:rdf=", "xmlns:r="), ("dc:", "dublin:"), ("xmlns:dc", "xmlns:dublin")):
    _JPHOTOTAGGER = _JPHOTOTAGGER.replace(_usual, _other)  # a prefix may be any
_APHOTOMANAGER = _packet(
    f'<rdf:Description rdf:about="" xmp:Rating="2" photoshop:DateCreated="2020-02-03T04:05:06" '
    f'exif:GPSLatitude="0,0N" exif:GPSLongitude="0,0E"><dc:title>{_list("Alt", "at the lake")}</dc:title>'
    f"<dc:description>{_list('Alt', 'two of them')}</dc:description>"
    f"<dc:subject>{_list('Bag', 'Great Crested Grebe')}</dc:subject></rdf:Description>",
    *("dc", "xmp", "photoshop", "exif"),
)  # fmt: skip
_AGENCY = _packet(
    '<rdf:Description rdf:about="" photoshop:Credit="Agency"><dc:subject><rdf:Bag>'
    '<rdf:li rdf:parseType="Resource"><rdf:value>Peregrine Falcon</rdf:value></rdf:li><rdf:li>London</rdf:li>'
    "<rdf:li>taxonomy:binomial=Falco peregrinus</rdf:li></rdf:Bag></dc:subject>"
    f"<dc:creator>{_list('Seq', 'A. Photographer')}</dc:creator>"
    "<photoshop:DateCreated>2019-08-09</photoshop:DateCreated>"
    "</rdf:Description>",
    *("dc", "photoshop"),
)  # fmt: skip
_DARKTABLE = '<?xml version="1.0" encoding="UTF-8"?>\n' + _packet(
    '<rdf:Description rdf:about="" exif:DateTimeOriginal="2018:03:04 05:06:07.000" xmp:Rating="1" '
    'darktable:xmp_version="5" darktable:history_end="2">'
    f"<dc:subject>{_list('Bag', 'Eurasian Wren', 'darktable|format|nef')}</dc:subject>"
    f"<lr:hierarchicalSubject>{_list('Bag', 'birds|Eurasian Wren', 'darktable|format|nef')}</lr:hierarchicalSubject>"
    '<darktable:masks_history><rdf:Seq/></darktable:masks_history><darktable:history><rdf:Seq><rdf:li '
    'darktable:num="0" darktable:operation="rawprepare" darktable:params="0000"/></rdf:Seq></darktable:history>'
    "</rdf:Description>",
    *("dc", "xmp", "lr", "exif", "darktable"),
)  # fmt: skip

SHAPES = {
    "lightroom": _LIGHTROOM,
    "digikam": _DIGIKAM,
    "apple photos": _APPLE,
    "iphone": _IPHONE,
    "f-stop": _FSTOP,
    "jphototagger": _JPHOTOTAGGER,
    "aphotomanager": _APHOTOMANAGER,
    "agency": _AGENCY,
    "darktable": _DARKTABLE,
}
