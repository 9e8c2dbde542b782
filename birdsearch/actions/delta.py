"""What a file held that its newer version does not: with both together the older bytes are made again."""

import base64
import zlib
from collections.abc import Sequence

Piece = Sequence[int] | str  # (start, length) of what the newer version has too, or other bytes: base64 of zlib
_ANCHOR = 64  # bytes by which a place is found again
_BLOCK = 2**20  # bytes that are compared at once


def difference(old: bytes, new: bytes) -> tuple[Piece, ...]:
    """The older bytes as pieces of the newer ones, and what lies between: little where a program only moved them."""
    pieces: list[Piece] = []
    at, rest, step, shift = 0, 0, _ANCHOR, 0  # `rest`: from here on nothing was found yet
    while at < len(old):
        start, length = _found(old, at, new, (shift, len(new) - len(old)))
        if length < _ANCHOR:
            at, step = at + step, 2 * step
            continue
        back = _common_before(old[rest:at], new[:start])
        if at - back > rest:
            pieces.append(_packed(old[rest : at - back]))
        pieces.append((start - back, back + length))
        shift, step, at = start - at, _ANCHOR, at + length
        rest = at
    if rest < len(old):
        pieces.append(_packed(old[rest:]))
    return tuple(pieces)


def restored(pieces: Sequence[Piece], new: bytes) -> bytes:
    """The older bytes again."""
    return b"".join(_unpacked(one) if isinstance(one, str) else new[one[0] : one[0] + one[1]] for one in pieces)


def size(pieces: Sequence[Piece]) -> int:
    """How many bytes, in base64, lie in the newer version nowhere."""
    return sum(len(piece) for piece in pieces if isinstance(piece, str))


def kept(pieces: Sequence[Piece]) -> int:
    """How many of the older bytes the newer version has too."""
    return sum(piece[1] for piece in pieces if not isinstance(piece, str))


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def _unpacked(piece: str) -> bytes:
    return zlib.decompress(base64.b64decode(piece))


def _found(old: bytes, at: int, new: bytes, shifts: Sequence[int]) -> tuple[int, int]:
    """Where the newer version goes on as the older one does at a place, and for how many bytes."""
    places = {at + shift for shift in shifts if 0 <= at + shift < len(new)}
    places |= {new.find(old[at : at + _ANCHOR])} - {-1}
    return max(((place, _common(old, at, new, place)) for place in places), key=lambda one: one[1], default=(0, 0))


def _common(old: bytes, i: int, new: bytes, j: int) -> int:
    """How many bytes are the same from two places on."""
    length, step = 0, _BLOCK
    while step:
        block = old[i + length : i + length + step]
        if len(block) == step and block == new[j + length : j + length + step]:
            length += step
        else:
            step //= 2
    return length


def _common_before(old: bytes, new: bytes) -> int:
    """How many bytes are the same at two ends."""
    length, step = 0, _BLOCK
    while step:
        i, j = len(old) - length, len(new) - length
        if min(i, j) >= step and old[i - step : i] == new[j - step : j]:
            length += step
        else:
            step //= 2
    return length
