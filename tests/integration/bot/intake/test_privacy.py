"""Metadata of the source never reaches the result, which is marked as made by a model."""

from __future__ import annotations

import io
import random
from typing import Any
from xml.etree import ElementTree

from PIL import ExifTags, Image, PngImagePlugin

from bot.images.encode import DIGITAL_SOURCE_TYPE, encode
from bot.images.picture import Picture
from bot.intake import Intake, IntakeLimits
from tests.support.intake.pictures import FORMATS, QUARTERS, encoded, quarters, rgb_profile

# Each format with each of the three limits, twice.
PICTURES_PER_FORMAT = 6


def canary(number: int) -> str:
    return f"canary{number:04d}text"


def with_metadata(form: str, number: int) -> bytes:
    """A picture with `canary(number)` in every metadata field of its format and after its end."""
    word = canary(number)
    exif = Image.Exif()
    for tag in (ExifTags.Base.Make, ExifTags.Base.Artist, ExifTags.Base.ImageDescription):
        exif[tag] = word
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = word.encode()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + word.encode()
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="{word}"/></rdf:RDF></x:xmpmeta>'
    ).encode()
    colours = [tuple((part + number) % 256 for part in colour) for colour in QUARTERS]
    image = quarters(colours, size=(48, 32))
    profile = rgb_profile()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", word)
    texts.add_itxt("XML:com.adobe.xmp", packet.decode())
    options: dict[str, dict[str, Any]] = {
        "PNG": {"exif": exif, "pnginfo": texts, "icc_profile": profile},
        "JPEG": {"exif": exif, "comment": word, "icc_profile": profile, "xmp": packet},
        "WEBP": {"exif": exif.tobytes(), "icc_profile": profile, "xmp": packet},
        "AVIF": {"exif": exif, "icc_profile": profile, "xmp": packet},
        "HEIF": {"exif": exif.tobytes(), "icc_profile": profile, "xmp": packet},
        "GIF": {"comment": word},
        "TIFF": {"exif": exif, "icc_profile": profile, "description": word, "artist": word},
        "BMP": {},
    }
    return encoded(image, form, **options[form]) + word.encode()


def with_grain(picture: Picture) -> Picture:
    """`picture` with noise, so that PNG is not the smallest format for it."""
    grain = random.Random(1).randbytes(len(picture.pixels))
    pixels = bytes(a ^ b & 15 for a, b in zip(picture.pixels, grain, strict=True))
    return Picture(pixels, picture.width, picture.height)


def is_marked_as_generated(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    path = ".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    return ElementTree.fromstring(packet).findtext(path) == DIGITAL_SOURCE_TYPE


def metadata(data: bytes) -> set[str]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return {str(name) for name in image.info} | {f"exif {tag}" for tag in image.getexif()}


async def test_results_carry_no_source_metadata_and_are_marked_as_generated() -> None:
    number = 0
    async with Intake(IntakeLimits(decode_seconds=60)) as intake:
        for form in FORMATS:
            for _ in range(PICTURES_PER_FORMAT):
                number += 1
                data = with_metadata(form, number)
                assert canary(number).encode() in data
                picture = await intake.from_bytes(data, pixels=128 * 128, multiple=64)
                drawn = with_grain(picture)
                long = Picture(drawn.pixels * 8, 16_384, 8)
                # The limits select PNG, WebP and JPEG (for very long pictures) in turn.
                source, limit = [(drawn, 10**7), (drawn, 15_000), (long, 20_000)][number % 3]
                file = encode(source, limit_bytes=limit, settings_text="a cat\nSteps: 5")
                assert file.extension == ("png", "webp", "jpg")[number % 3]
                assert canary(number).encode() not in file.data
                assert is_marked_as_generated(file.data)
    assert number == 48


async def test_results_carry_only_their_own_metadata() -> None:
    async with Intake(IntakeLimits(decode_seconds=60)) as intake:
        picture = await intake.from_bytes(with_metadata("JPEG", 1), pixels=128 * 128, multiple=64)
    drawn = with_grain(picture)
    assert metadata(encode(drawn, limit_bytes=10**7).data) == {"XML:com.adobe.xmp", "xmp"}
    assert metadata(encode(drawn, limit_bytes=15_000).data) == {
        "xmp",
        *("background", "duration", "loop", "timestamp"),  # fields of WebP's single frame
    }
