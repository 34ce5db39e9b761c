"""PDQ: equal to the reference implementation, stable under what people do to a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from bot.images.picture import Picture
from bot.moderation.detectors.picture_hash import SAME_PICTURE_BITS, PictureHash, distance
from tests.support.pictures import photo

# Made with pdqhash 0.2.8 (the bindings of Facebook's C++ code): size, seed, quality, the hash, and
# the hash of the mirrored picture. That code adds up in single precision.
REFERENCE = [
    (
        (200, 150),
        0,
        61,
        "6cd3261b6e8daca9b8b3d266cdc0d55233566b6c29adacb36693ac9c26923332",
        "3086e20e32d8f9e0cde6873399979007460b3e3978f0f9e433c6f1c973c76647",
    ),
    (
        (640, 384),
        2,
        81,
        "38c6b18c9cc68ec66386cdcecdce1cc6239ce31cce4ee646e3c6cd9972037721",
        "6d93e4d9c9939b9336d3989b989b499336c9b6499313b313b69398cc27562274",
    ),
    (
        (48, 64),
        3,
        30,
        "a5e6c386d798d698f2e4a7ca279a2458f678c3a4d7b63e1e024902493e0f7c3d",
        "f0b396d382cd83cda791f29f72cf710da12d86f182636b4b571c571c695a0968",
    ),
    (
        (1024, 576),
        4,
        90,
        "23bebf11da83c0e7217eb3189e5352c7e307a5f8acd4bec6830b40097df44556",
        "66ebea448fd6b5b264abe2cdcb862792b45270adf989eb93d65e155c28ab0003",
    ),
]
ROUNDING_BITS = 4


def picture_of(image: Image.Image) -> Picture:
    return Picture(image.convert("RGB").tobytes(), *image.size)


def hash_of(image: Image.Image) -> PictureHash:
    return PictureHash.of(picture_of(image))


@pytest.mark.parametrize(("size", "seed", "quality", "bits", "mirrored"), REFERENCE)
def test_it_agrees_with_the_reference_implementation(
    size: tuple[int, int], seed: int, quality: int, bits: str, mirrored: str
) -> None:
    got = hash_of(photo(*size, seed=seed))
    assert distance(got.bits, bytes.fromhex(bits)) <= ROUNDING_BITS
    assert distance(got.mirrored, bytes.fromhex(mirrored)) <= ROUNDING_BITS
    assert abs(got.quality - quality) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_a_compressed_scaled_brighter_or_mirrored_copy_is_the_same_picture(seed: int) -> None:
    original = photo(384, 256, seed=seed)
    known = hash_of(original)
    file = io.BytesIO()
    original.save(file, "JPEG", quality=30)
    brighter = Image.fromarray(np.asarray(original) // 2 + 100)
    for copy in (
        Image.open(file),
        original.resize((192, 128), Image.Resampling.LANCZOS),
        brighter,
        ImageOps.mirror(original),
        ImageOps.mirror(original.resize((192, 128))),
    ):
        assert hash_of(copy).matches(known.bits)


def test_other_pictures_are_far_away() -> None:
    hashes = [hash_of(photo(256, 192, seed=seed)) for seed in range(12)]
    nearest = min(
        distance(one.bits, other.bits)
        for index, one in enumerate(hashes)
        for other in hashes[:index]
    )
    assert nearest > SAME_PICTURE_BITS


def test_a_plain_picture_cannot_be_recognised() -> None:
    assert not hash_of(Image.new("RGB", (256, 256), "red")).usable
    assert hash_of(photo(256, 256)).usable


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (64, 64), (3000, 2)])
def test_every_size_can_be_hashed(size: tuple[int, int]) -> None:
    assert len(hash_of(photo(*size)).bits) == 32
