"""TIFF: an image class that keeps what libtiff says of damaged data, which would go to standard error."""

import ctypes
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import PIL
from PIL import TiffImagePlugin

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)  # function, words, their values
_PLACES = ("../pillow.libs/libtiff-*", ".dylibs/libtiff*")  # of libtiff in Pillow's wheels for Linux and macOS
_VALUE = re.compile(r"%[-#0-9.]*(?:hh|ll|[hlzjt])?[a-zA-Z]")


class _Said(threading.local):
    """What libtiff has said of the file that this thread decodes; None while it decodes none."""

    words: list[str] | None = None


_SAID = _Said()
_ONCE = threading.Lock()


class TiffImage(TiffImagePlugin.TiffImageFile):
    """A TIFF as Pillow reads it, with the first thing that was wrong with its data."""

    warning: str | None = None  # known once it is loaded

    def load(self) -> Any:
        """Decode; where libtiff goes on after an error, the error is kept."""
        if not self.tile:
            return super().load()
        with _ONCE:
            _listen()
        _SAID.words = []
        try:
            loaded = super().load()
            self.warning = next(iter(_SAID.words), None)
        finally:
            _SAID.words = None
        return loaded


@cache
def _listen() -> object:
    """Hand libtiff's errors to the thread that decodes; a Pillow that was built otherwise goes on as it is."""
    libtiff = _library()
    if libtiff is None:
        return None
    before: list[Callable[..., None]] = []

    def keep(function: bytes | None, words: bytes | None, values: int | None) -> None:
        if _SAID.words is not None:
            text = _VALUE.sub("…", (words or b"").decode("utf-8", "replace"))
            _SAID.words.append(f"{(function or b'TIFF').decode('utf-8', 'replace')}: {text}")
        elif before:
            before[0](function, words, values)

    handler = _Handler(keep)
    if (address := libtiff.TIFFSetErrorHandler(handler)) is not None:
        before.append(_Handler(address))
    return handler  # the cache keeps it, as libtiff keeps its address


def _library() -> ctypes.CDLL | None:
    """The libtiff of Pillow's wheel."""
    here = Path(PIL.__file__).parent
    for path in (path for place in _PLACES for path in here.glob(place)):
        try:
            libtiff = ctypes.CDLL(str(path))  # it is loaded already
            libtiff.TIFFSetErrorHandler.restype = ctypes.c_void_p
            libtiff.TIFFSetErrorHandler.argtypes = [_Handler]
        except (OSError, AttributeError):
            continue
        return libtiff
    return None
