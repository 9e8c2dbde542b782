"""The same bytes are found as the files are now."""

import os
from pathlib import Path

import pytest

from birdsearch.duplicates.same_bytes import look_for
from birdsearch.records import OtherFile


def test_a_search_that_was_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    card, place = tmp_path / "card" / "1.CR3", tmp_path / "photos" / "1.CR3"
    for path, content in ((card, b"one"), (place, b"two")):
        path.parent.mkdir()
        path.write_bytes(content)
    folders, compared = [os.fsencode(place.parent)], str(card.parent)
    files = [OtherFile(str(card), "camera RAW", 3)]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_for(files, folders, compared, stop)
    place.write_bytes(b"one")
    assert [one.there for one in look_for(files, folders, compared)] == [str(place)]
