"""The files that a run is to read, in their order, however many they are."""

from birdsearch.files import FileState
from birdsearch.indexing.listing import Listed, Listing
from birdsearch.photos.scan import FoundFile
from birdsearch.records import Failure
from birdsearch.storage.catalog.catalog import KnownFile


def test_files_come_back_as_they_were_and_in_their_order() -> None:
    known = [None, KnownFile(7, FileState(1, 2, 3, 4), missing=True), KnownFile(None, FileState(), failure=_FAILED)]
    files = [
        Listed(FoundFile(b"/a \xff/%d.jpg" % number, FileState(number, 2)), known[number % 3]) for number in range(2500)
    ]
    listing = Listing(files[:10])
    for one in files[10:]:
        listing.add([one])
    assert len(listing) == 2500
    assert list(listing) == files
    assert next(iter(listing)) == files[0]
    assert list(listing) == files


def test_an_empty_listing_is_nothing_to_read() -> None:
    assert not Listing()
    assert list(Listing()) == []


_FAILED = Failure("/a/2.jpg", "decode", "broken")
