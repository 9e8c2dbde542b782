"""The two renames without a moment in which something could be overwritten, where the system has them."""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_HERE = -100  # AT_FDCWD of Linux: names that are not absolute count from the working folder
# Flag of Linux' renameat2, flag of macOS' renamex_np.
_NO_REPLACE, _EXCHANGE = (1, 4), (2, 2)


class UnsupportedError(Exception):
    """This system or this file system does not have the call."""


def rename_noreplace(source: str, target: str) -> None:
    """Give a file another name in one step. Raises FileExistsError where that is taken, UnsupportedError, OSError."""
    if os.name == "nt":
        os.rename(source, target)  # there it replaces nothing
        return
    _call(source, target, _NO_REPLACE)


def exchange(one: str, other: str) -> None:
    """Give each of two files the name of the other in one step. Raises UnsupportedError, OSError."""
    _call(one, other, _EXCHANGE)


def _call(source: str, target: str, flags: tuple[int, int]) -> None:
    call = _function()
    if call is None:
        raise UnsupportedError
    if call(os.fsencode(source), os.fsencode(target), *flags) == 0:
        return
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        raise UnsupportedError
    raise OSError(number, os.strerror(number), source, None, target)


@cache
def _function() -> Callable[[bytes, bytes, int, int], int] | None:
    """The system's own call, given the flags of Linux and of macOS; None where there is none."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        excl = getattr(library, "renamex_np", None)
        return excl and (lambda source, target, _, flag: excl(source, target, flag))
    at = getattr(library, "renameat2", None)
    return at and (lambda source, target, flag, _: at(_HERE, source, _HERE, target, flag))
