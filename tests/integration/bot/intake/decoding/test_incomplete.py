"""Files without their end: nearly whole JPEG files open, others are named incomplete."""

from __future__ import annotations

import functools
import io

import pytest
from PIL import Image

from bot.intake import BrokenPicture, IncompletePicture, Intake
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import BUDGET, FORMATS, encoded, quarters
from tests.support.pictures import photo

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = {
    "baseline": encoded(quarters(), "JPEG"),
    # The last scan of a flat picture has few bytes, that of a photograph has many.
    "progressive": encoded(photo(192, 128), "JPEG", progressive=True),
    "4:4:4": encoded(quarters(), "JPEG", subsampling=0),
    "optimized": encoded(quarters(), "JPEG", optimize=True),
    "with restart markers": encoded(quarters(), "JPEG", restart_marker_blocks=4),
    "large": encoded(quarters(size=(3000, 2000)), "JPEG"),
    "with a thumbnail": encoded(quarters(), "JPEG", exif=b"Exif\0\0" + encoded(quarters(), "JPEG")),
}
GREY = [(value,) * 3 for value in (20, 90, 160, 230)]


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 10, 20])
@pytest.mark.parametrize("kind", KINDS)
async def test_jpeg_files_with_a_few_bytes_missing_open(
    intake: Intake, kind: str, missing: int
) -> None:
    data = KINDS[kind]
    assert data.endswith(b"\xff\xd9")
    picture = await decoded(intake, data[:-missing])
    if missing <= 3 and kind != "progressive":
        assert_quarters(picture, tolerance=5)
    whole = await decoded(intake, data)
    # In these flat pictures, twenty bytes are the last rows.
    upper = len(whole.pixels) * 3 // 4
    assert len(picture.pixels) == len(whole.pixels)
    assert (
        max(abs(a - b) for a, b in zip(picture.pixels[:upper], whole.pixels[:upper], strict=True))
        <= 3
    )


@pytest.mark.parametrize("progressive", [False, True])
async def test_grey_and_cmyk_jpeg_files_without_end_open(intake: Intake, progressive: bool) -> None:
    grey = quarters([value[0] for value in GREY], "L")
    data = encoded(grey, "JPEG", progressive=progressive)
    assert_quarters(await decoded(intake, data[:-2]), GREY, tolerance=3)
    inks = [(0, 0, 0, 255 - value[0]) for value in GREY]
    data = encoded(quarters(inks, "CMYK"), "JPEG", progressive=progressive)
    assert_quarters(await decoded(intake, data[:-2]), GREY, tolerance=3)


@pytest.mark.parametrize("missing", [2, 100, 1000])
@pytest.mark.parametrize("quality", [50, 90])
async def test_what_is_there_of_a_photograph_is_unchanged(
    intake: Intake, quality: int, missing: int
) -> None:
    data = encoded(photo(1200, 800), "JPEG", quality=quality)
    whole, part = [
        Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
        for picture in (
            await intake.from_bytes(data, **BUDGET),
            await intake.from_bytes(data[:-missing], **BUDGET),
        )
    ]
    box = (0, 0, whole.width, whole.height * 5 // 6)
    assert whole.crop(box).tobytes() == part.crop(box).tobytes()


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("image", [quarters(size=(960, 640)), photo(1200, 800)])
async def test_jpeg_files_cut_in_the_middle_are_refused(
    intake: Intake, image: Image.Image, progressive: bool, share: float
) -> None:
    data = encoded(image, "JPEG", progressive=progressive, quality=80)
    with pytest.raises(IncompletePicture, match="its end is missing"):
        await decoded(intake, data[: int(len(data) * share)])


def scans(data: bytes) -> list[int]:
    """Where the scans of a progressive file begin."""
    return [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]


@pytest.mark.parametrize("kept", [1, 3, -1])
async def test_progressive_files_that_lack_whole_scans_are_refused(
    intake: Intake, kept: int
) -> None:
    data = encoded(photo(600, 400), "JPEG", progressive=True)
    starts = scans(data)
    assert len(starts) > 5
    with pytest.raises(IncompletePicture):
        await decoded(intake, data[: starts[kept]])


@functools.cache
def whole_files() -> dict[str, bytes]:
    image = quarters(size=(300, 200))
    kinds = {form: encoded(photo(300, 200), form) for form in FORMATS if form != "JPEG"}
    kinds["GIF, animated"] = encoded(
        image, "GIF", save_all=True, append_images=[Image.new("RGB", image.size)]
    )
    kinds["PNG, animated"] = encoded(
        image, "PNG", save_all=True, append_images=[Image.new("RGB", image.size)]
    )
    kinds["TIFF, LZW"] = encoded(photo(300, 200), "TIFF", compression="tiff_lzw")
    kinds["BMP, RLE"] = encoded(image.quantize(4), "BMP")
    return kinds


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("kind", whole_files())
async def test_cut_files_of_every_format_are_called_incomplete(
    intake: Intake, kind: str, share: float
) -> None:
    data = whole_files()[kind]
    cut = data[: int(len(data) * share)]
    if "animated" in kind and share > 0.5:
        # The first frame is whole.
        assert_quarters(await decoded(intake, cut), tolerance=8)
        return
    with pytest.raises(IncompletePicture):
        await decoded(intake, cut)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
async def test_damaged_files_of_full_length_are_called_damaged(intake: Intake, form: str) -> None:
    data = bytearray(encoded(photo(300, 200), form))
    # The header stays; nothing in it is true any more.
    data[{"PNG": 16, "JPEG": 4, "WEBP": 16, "GIF": 10, "BMP": 14}[form] : -20] = bytes(
        len(data) - 20 - {"PNG": 16, "JPEG": 4, "WEBP": 16, "GIF": 10, "BMP": 14}[form]
    )
    with pytest.raises(BrokenPicture, match="damaged"):
        await decoded(intake, bytes(data))


async def test_png_files_without_their_last_chunk_open(intake: Intake) -> None:
    data = encoded(quarters(), "PNG")
    for missing in (1, 4, 12):
        assert_quarters(await decoded(intake, data[:-missing]))
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (192, 128)
