"""PDQ, a perceptual hash of 256 bits: equal pictures stay close after scaling and compression.

Written out in numpy because the `pdqhash` package has no wheels for Linux, so that it would need a
C++ compiler wherever the bot is installed. Its results are the reference in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bot.images.picture import Picture

# Two pictures whose hashes differ in at most this many bits are the same picture, and a hash of
# less than this quality says too little to be compared: the recommendations of "The TMK+PDQF
# Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019),
# https://github.com/facebook/ThreatExchange/blob/main/hashing/hashing.pdf
SAME_PICTURE_BITS = 31
MIN_QUALITY = 50

_BITS = 256
_SIDE = 64
_FREQUENCIES = 16
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Rows 1 to 16 of the 64-point DCT-II matrix.
_DCT = np.sqrt(2 / _SIDE) * np.cos(
    np.pi / (2 * _SIDE) * np.outer(np.arange(1, _FREQUENCIES + 1), 2 * np.arange(_SIDE) + 1)
)


@dataclass(frozen=True, slots=True)
class PictureHash:
    """`bits` is the hash of 32 bytes, `mirrored` that of the picture flipped left to right.

    `quality` from 0 to 100 says how much structure the picture has.
    """

    bits: bytes
    mirrored: bytes
    quality: int

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """The hash of a picture. Takes about 10 ms for a picture of 512 × 512 pixels."""
        pixels = np.frombuffer(picture.pixels, np.uint8)
        luma = pixels.astype(np.float32).reshape(picture.height, picture.width, 3) @ _LUMA
        if luma.shape == (_SIDE, _SIDE):
            small, flipped = luma, luma[:, ::-1]
        else:
            low = _shrunk(luma, 0)
            small, flipped = _shrunk(low, 1), _shrunk(low[:, ::-1], 1)
        return cls(_bits(small), _bits(flipped), _quality(small))

    @property
    def usable(self) -> bool:
        """Whether the picture has enough structure to be recognised by its hash."""
        return self.quality >= MIN_QUALITY

    def matches(self, other: bytes) -> bool:
        """Whether `other` is a hash of the same picture, mirrored or not."""
        return min(distance(self.bits, other), distance(self.mirrored, other)) <= SAME_PICTURE_BITS


def hashes_in(joined: bytes) -> list[bytes]:
    """The hashes of several pictures that were joined to one value."""
    size = _BITS // 8
    return [joined[at : at + size] for at in range(0, len(joined), size)]


def distance(one: bytes, other: bytes) -> int:
    """How many bits of two hashes differ."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _shrunk(luma: NDArray[Any], axis: int) -> NDArray[Any]:
    """One axis reduced to 64 samples: a box filter applied twice, then decimation.

    The reference alternates the axes; the filters are separable, so that the order is free.
    """
    length = luma.shape[axis]
    window = -(-length // (2 * _SIDE))
    luma = _box(_box(luma, axis, window), axis, window)
    centres = ((np.arange(_SIDE) + 0.5) * length / _SIDE).astype(int)
    shrunk: NDArray[Any] = luma.take(centres, axis)
    return shrunk


def _box(luma: NDArray[Any], axis: int, window: int) -> NDArray[Any]:
    """The mean over `window` neighbours, over fewer at the edges."""
    length = luma.shape[axis]
    ahead = (window + 2) // 2
    index = np.arange(length)
    start = np.maximum(index + ahead - window, 0)
    end = np.minimum(index + ahead, length)
    sums = np.concatenate(
        [np.zeros_like(luma.take([0], axis)), np.cumsum(luma, axis, np.float64)], axis
    )
    count = (end - start).reshape((-1, 1) if axis == 0 else (1, -1))
    mean: NDArray[Any] = (sums.take(end, axis) - sums.take(start, axis)) / count
    return mean


def _bits(small: NDArray[Any]) -> bytes:
    spectrum = _DCT @ small @ _DCT.T
    # The reference takes the lower of the two middle values.
    median = np.sort(spectrum, axis=None)[_BITS // 2 - 1]
    # Its most significant bit is that of the highest frequencies.
    return np.packbits((spectrum > median).ravel()[::-1]).tobytes()


def _quality(small: NDArray[Any]) -> int:
    steps = (np.trunc(np.diff(small, axis=axis) * 100 / 255) for axis in (0, 1))
    return min(100, int(sum(np.abs(step).sum() for step in steps)) // 90)
