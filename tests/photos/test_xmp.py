"""XMP packets as programs write them, and what is no packet."""

import pytest

from birdsearch.photos.xmp import properties

HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" '
    'xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"'
)
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>"


def test_attributes_elements_and_lists_are_properties() -> None:
    packet = (
        f'{HEAD} xmp:CreatorTool="GIMP 2.10"><xmp:Rating> 3 </xmp:Rating><xmpMM:History><rdf:Seq>'
        '<rdf:li stEvt:action="saved" stEvt:softwareAgent="Photoshop"/>'
        '<rdf:li rdf:parseType="Resource"><stEvt:softwareAgent>Lightroom</stEvt:softwareAgent></rdf:li>'
        f'</rdf:Seq></xmpMM:History><xmpMM:DerivedFrom stRef:documentID="a"/>{TAIL}'
    )
    found = properties(b'<?xpacket begin="\xef\xbb\xbf"?>' + packet.encode() + b"<?xpacket end='w'?>" + b" " * 100)
    assert found["xmp:CreatorTool"] == ("GIMP 2.10",)
    assert found["xmp:Rating"] == ("3",)
    assert found["xmpMM:History/stEvt:softwareAgent"] == ("Photoshop", "Lightroom")
    assert found["xmpMM:DerivedFrom/stRef:documentID"] == ("a",)


def test_a_namespace_counts_and_not_its_prefix() -> None:
    packet = HEAD.replace("xmlns:xmp=", "xmlns:any=") + f' any:Rating="5" >{TAIL}'
    assert properties(packet.encode())["xmp:Rating"] == ("5",)
    assert properties(packet.encode("utf-16"))["xmp:Rating"] == ("5",)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"no XML",
        b"<x",
        b"<x/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        HEAD.encode() + b">",
        b"<a>" * 5000,
        b"<x/>" + b" " * 5_000_000,
    ],
)
def test_what_is_no_packet_holds_nothing(packet: bytes) -> None:
    assert properties(packet) == {}
