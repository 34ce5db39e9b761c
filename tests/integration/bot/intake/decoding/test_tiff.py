"""TIFF files of many kinds show the right values; kinds that Pillow cannot read are named."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile

from bot.intake import IncompletePicture, Intake, UnsupportedFormat
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import QUARTERS, encoded
from tests.support.pictures import photo

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAN, INF = float("nan"), float("inf")
RARE = "TIFF (rare pixel format)"


def pixels(values: Any) -> np.ndarray:
    """Four flat rectangles, in the order of `QUARTERS`."""
    rows = np.array(values).reshape(2, 2, *np.array(values).shape[1:])
    return np.repeat(np.repeat(rows, 64, 0), 96, 1)


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def greys(*values: float) -> list[tuple[float, ...]]:
    return [(value,) * 3 for value in values]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<u2", ">u2"])
async def test_both_byte_orders_show_the_same(
    intake: Intake, dtype: str, compression: str | None
) -> None:
    scale = 1 if dtype[1] == "f" else 65535
    values = np.array((0, 0.2, 0.6, 1)) * scale
    samples = pixels(values).astype(dtype)
    data = tiff(
        samples,
        byteorder=dtype[0],
        bigtiff=dtype[0] == "<",
        compression=compression,
        photometric="minisblack",
    )
    assert_quarters(await decoded(intake, data), greys(0, 51, 153, 255), tolerance=1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((NAN, -3, -1, 1), (0, 0, 127.5, 255)),
        ((2, INF, 4, -INF), (0, 255, 255, 0)),
        ((NAN, INF, 10, 20), (0, 255, 0, 255)),
    ],
)
async def test_floats_of_any_size_span_their_finite_range(
    intake: Intake, values: Any, expected: Any, dtype: str, byteorder: str
) -> None:
    samples = pixels(values).astype(byteorder + dtype)
    data = tiff(samples, byteorder=byteorder, compression="zlib")
    assert_quarters(await decoded(intake, data), greys(*expected), tolerance=1)


@pytest.mark.parametrize(
    ("dtype", "top"), [("u1", 255), ("u2", 65535), (">u2", 65535), ("f4", None)]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
async def test_white_may_be_zero(
    intake: Intake, dtype: str, top: int | None, compression: str | None
) -> None:
    samples = pixels(np.array((0, 0.2, 0.6, 1)) * (top or 1)).astype(dtype)
    data = tiff(
        samples,
        photometric="miniswhite",
        byteorder=">" if dtype[0] == ">" else "<",
        compression=compression,
    )
    if dtype == ">u2":
        # Pillow cannot read it.
        with pytest.raises(UnsupportedFormat):
            await decoded(intake, data)
        return
    assert_quarters(await decoded(intake, data), greys(255, 204, 102, 0), tolerance=1)


async def test_channels_of_8_bits_may_be_stored_apart(intake: Intake) -> None:
    samples = np.moveaxis(pixels(QUARTERS).astype("u1"), 2, 0)
    data = tiff(samples, photometric="rgb", planarconfig="separate")
    assert_quarters(await decoded(intake, data))


COLOURS = pixels(QUARTERS) / 255
UNREADABLE = {
    "16 bits, channels apart": tiff(
        np.moveaxis(COLOURS * 65535, 2, 0).astype("u2"), photometric="rgb", planarconfig="separate"
    ),
    "floating-point colours": tiff(COLOURS.astype("f4"), photometric="rgb"),
    "half precision": tiff(COLOURS[..., 0].astype("f2")),
    "colours of 32 bits": tiff((COLOURS * 2**31).astype("u4"), photometric="rgb"),
    "big-endian BigTIFF": tiff(pixels(QUARTERS).astype("u1"), byteorder=">", bigtiff=True),
    "complex numbers": tiff(COLOURS[..., 0].astype("c8")),
}


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_what_pillow_cannot_read_is_named(intake: Intake, kind: str) -> None:
    with pytest.raises(UnsupportedFormat) as raised:
        await decoded(intake, UNREADABLE[kind])
    assert raised.value.params == {"format": RARE}


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["BigTIFF", "big-endian", "JPEG"])
async def test_cut_files_are_called_incomplete(intake: Intake, kind: str, share: float) -> None:
    image = photo(400, 300)
    data = {
        "BigTIFF": tiff(np.asarray(image), photometric="rgb", bigtiff=True),
        "big-endian": tiff(np.asarray(image), photometric="rgb", byteorder=">"),
        "JPEG": encoded(image, "TIFF", compression="jpeg", strip_size=4000),
    }[kind]
    with pytest.raises(IncompletePicture):
        await decoded(intake, data[: int(len(data) * share)])
