"""Encoded files: within the upload limit, marked as made by a model, without other metadata."""

import io
import random
from xml.etree import ElementTree

import pytest
from PIL import Image

from bot.images.encode import (
    DIGITAL_SOURCE_TYPE,
    DoesNotFit,
    describe_settings,
    encode,
    encode_all,
    encode_largest,
)
from bot.images.picture import Picture


def noise(width: int, height: int, seed: int = 0) -> Picture:
    return Picture(random.Random(seed).randbytes(width * height * 3), width, height)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def digital_source_type(image: Image.Image) -> str | None:
    packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    tree = ElementTree.fromstring(packet)
    return tree.findtext(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")


@pytest.mark.parametrize(
    ("picture", "limit", "extension"),
    [
        (noise(256, 192), 10_000_000, "png"),
        (noise(256, 192), 60_000, "webp"),
        (noise(16_400, 8), 200_000, "jpg"),
    ],
)
def test_every_file_fits_and_is_marked_as_made_by_a_model(
    picture: Picture, limit: int, extension: str
) -> None:
    file = encode(picture, limit_bytes=limit, settings_text="a cat")
    assert file.extension == extension
    assert len(file.data) <= limit
    image = opened(file.data)
    assert image.size == (picture.width, picture.height)
    assert Image.MIME[image.format or ""] == file.content_type
    assert digital_source_type(image) == DIGITAL_SOURCE_TYPE


def test_png_keeps_every_pixel_and_the_settings() -> None:
    picture = noise(64, 64)
    text = "a café 猫\nSteps: 5"
    image = opened(encode(picture, limit_bytes=10_000_000, settings_text=text).data)
    assert image.convert("RGB").tobytes() == picture.pixels
    assert image.info["parameters"] == text


def test_settings_are_left_out_if_the_operator_turns_them_off() -> None:
    image = opened(encode(noise(64, 64), limit_bytes=10_000_000).data)
    assert "parameters" not in image.info


def test_a_lossy_file_has_the_best_quality_that_fits() -> None:
    limits = (5_000, 9_000, 14_000)
    sizes = [len(encode(noise(128, 128), limit_bytes=limit).data) for limit in limits]
    assert all(0.8 * limit < size <= limit for size, limit in zip(sizes, limits, strict=True))


def test_a_picture_that_fits_at_no_quality_is_refused_with_a_sentence() -> None:
    with pytest.raises(DoesNotFit, match="does not fit"):
        encode(noise(512, 512), limit_bytes=300)


async def test_several_pictures_share_the_limit_of_the_whole_request() -> None:
    flat = Picture(bytes(256 * 256 * 3), 256, 256)
    pictures = [noise(256, 256, 1), flat, noise(256, 256, 2)]
    files = await encode_all(
        [(picture, None) for picture in pictures], limit_bytes=60_000, request_bytes=100_000
    )
    assert [file.extension for file in files] == ["webp", "png", "webp"]
    assert all(len(file.data) <= 60_000 for file in files)
    # Together within the limit; the others use what the flat picture does not need.
    assert 80_000 < sum(len(file.data) for file in files) <= 100_000


def test_settings_have_the_format_of_the_web_ui() -> None:
    text = describe_settings(
        prompt="a cat, oil",
        negative_prompt="blurry",
        steps=20,
        guidance_scale=7.5,
        strength=0.7,
        seed=42,
        width=576,
        height=448,
        model="sd2-depth",
        sampler="DPM++ 2M Karras",
    )
    assert text == (
        "a cat, oil\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 42, Size: 576x448, "
        "Model: sd2-depth, Denoising strength: 0.7"
    )


def test_a_large_picture_is_made_smaller_rather_than_coarse() -> None:
    picture = noise(256, 192)
    limit = 20_000
    file, fitting = encode_largest(picture, limit_bytes=limit)
    assert len(file.data) <= limit
    assert opened(file.data).size == (fitting.width, fitting.height)
    assert fitting.width < picture.width
    assert abs(fitting.width / fitting.height - picture.width / picture.height) < 0.02
    one_size_larger = noise(round(fitting.width / 0.8), round(fitting.height / 0.8))
    assert len(encode_largest(one_size_larger, limit_bytes=10**7)[0].data) > limit


def test_a_picture_that_fits_keeps_its_size_and_pixels() -> None:
    picture = noise(64, 64)
    file, fitting = encode_largest(picture, limit_bytes=10_000_000)
    assert fitting is picture
    assert opened(file.data).convert("RGB").tobytes() == picture.pixels
    with pytest.raises(DoesNotFit):
        encode_largest(picture, limit_bytes=300)
