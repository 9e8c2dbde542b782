"""Older bytes made again out of newer ones, and how little that takes."""

import random

import pytest

from birdsearch.actions import delta


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_was_changed_the_older_bytes_come_back(seed: int) -> None:
    rng = random.Random(seed)
    old = rng.randbytes(rng.choice((0, 10, 63, 64, 5000))) * rng.choice((1, 3))
    new = bytearray(old)
    for _ in range(rng.randint(0, 5)):
        at = rng.randint(0, len(new))
        new[at : at + rng.randint(0, 200)] = rng.randbytes(rng.randint(0, 300))
    assert delta.restored(delta.difference(old, bytes(new)), bytes(new)) == old


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (noise(1, 400_000), noise(1, 400_000)[:500] + noise(2, 3000) + noise(1, 400_000)[560:]),
        (noise(1, 400_000) + noise(2, 999), b"II*\0" + noise(2, 900) + noise(1, 400_000)[4:]),  # a TIFF: pages moved
        (b"\xff" * 400_000 + noise(2, 999), b"head" + noise(2, 900) + b"\xff" * 400_000),  # the same sign all over
    ],
)  # fmt: skip
def test_what_only_moved_is_not_kept(old: bytes, new: bytes) -> None:
    pieces = delta.difference(old, new)
    assert delta.restored(pieces, new) == old
    assert delta.size(pieces) < 2000
    assert len(pieces) < 10
