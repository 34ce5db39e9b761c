"""Encodes pictures as files that fit an upload limit, marked as made by a generative model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image, PngImagePlugin

from bot.errors import RequestError
from bot.images.picture import Picture

DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's term for media that generative AI made from other media, "Edited using Generative AI". The
vocabulary is at https://cv.iptc.org/newscodes/digitalsourcetype/."""

FROM_TEXT_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media that generative AI made from text alone."""

_XMP = (
    # A template: the digital source type is filled in.
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)

FILE_QUALITY = 95
"""The quality of files without a size limit (`python -m bot render`)."""

LARGE_QUALITY = 60
"""Below this quality a smaller picture shows more than a large one."""

SHRINK = 0.8
SMALLEST_SIDE = 64

_WEBP_MAX_SIDE = 16_383
"""WebP stores a side in 14 bits (https://developers.google.com/speed/webp/faq)."""


class DoesNotFit(RequestError):
    """Not even the lowest quality fits the upload limit."""

    text = "The picture does not fit into the {mebibytes:.2g} MiB that may be uploaded here."


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file: its bytes, its extension without the dot, and its media type."""

    data: bytes
    extension: Literal["png", "webp", "jpg"]
    content_type: str


def describe_settings(
    *,
    prompt: str,
    negative_prompt: str,
    steps: int,
    guidance_scale: float | None,
    strength: float | None,
    seed: int,
    width: int,
    height: int,
    model: str,
    sampler: str | None = None,
) -> str:
    """The settings in the format of AUTOMATIC1111's web UI for the PNG text `parameters`, which
    other programs read: the prompt, the negative prompt, then one line of `name: value` pairs.

    https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#png-info
    """
    fields = {
        "Steps": steps,
        "Sampler": sampler,
        "CFG scale": guidance_scale,
        "Seed": seed,
        "Size": f"{width}x{height}",
        "Model": model,
        "Denoising strength": strength,
    }
    pairs = ", ".join(
        f"{name}: {_quoted(str(value))}" for name, value in fields.items() if value is not None
    )
    negative = [f"Negative prompt: {negative_prompt}"] if negative_prompt else []
    return "\n".join([prompt, *negative, pairs])


def encode(
    picture: Picture,
    *,
    limit_bytes: int,
    settings_text: str | None = None,
    from_text: bool = False,
) -> Encoded:
    """`picture` as PNG if that has at most `limit_bytes`, else as the best WebP that fits, or as
    the best JPEG if a side is too long for WebP.

    `settings_text` is written into PNG only, where other programs look for it. `from_text` says
    that the picture was made from text alone. Takes up to a
    second for a picture of some megapixels; `encode_all` runs in a thread.

    Raises:
        DoesNotFit: no quality is small enough.
    """
    xmp = xmp_packet(from_text=from_text)
    png = _png(picture, settings_text, xmp)
    return png if len(png.data) <= limit_bytes else _lossy(picture, limit_bytes, xmp)


def encode_largest(
    picture: Picture, *, limit_bytes: int, from_text: bool = False
) -> tuple[Encoded, Picture]:
    """The picture's file as `encode` makes it, and the picture in it.

    The picture is made smaller where it would need a quality below `LARGE_QUALITY` to fit.

    Raises:
        DoesNotFit: not even a small one fits.
    """
    xmp = xmp_packet(from_text=from_text)
    png = _png(picture, None, xmp)
    if len(png.data) <= limit_bytes:
        return png, picture
    while True:
        try:
            return _lossy(picture, limit_bytes, xmp, lowest=LARGE_QUALITY), picture
        except DoesNotFit:
            if min(picture.width, picture.height) <= SMALLEST_SIDE:
                raise
        size = (round(picture.width * SHRINK), round(picture.height * SHRINK))
        smaller = _image(picture).resize(size, Image.Resampling.LANCZOS)
        picture = Picture(smaller.tobytes(), *size)


SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
"""The file names' endings that `save_as` knows, in lower case."""


def save_as(picture: Picture, suffix: str, *, from_text: bool = False) -> bytes:
    """`picture` in the format of a file name's `suffix`, one of `SUFFIXES`. `from_text` is as for
    `encode`.

    Raises:
        ValueError: any other suffix.
    """
    xmp = xmp_packet(from_text=from_text)
    match suffix.lower():
        case ".png":
            return _png(picture, None, xmp).data
        case ".webp":
            return _webp(_image(picture), FILE_QUALITY, xmp).data
        case ".jpg" | ".jpeg":
            return _jpeg(_image(picture), FILE_QUALITY, xmp).data
    raise ValueError(f"{suffix!r} is none of {', '.join(SUFFIXES)}")


async def encode_all(
    pictures: Sequence[tuple[Picture, str | None]],
    *,
    limit_bytes: int,
    request_bytes: int,
    from_text: bool = False,
) -> list[Encoded]:
    """Every (picture, settings text), each within `limit_bytes` and all within `request_bytes`.
    `from_text` is as for `encode`.

    Runs in a thread. Pictures that need less than an equal share leave the rest to the others.

    Raises:
        DoesNotFit: a picture does not fit into its share.
    """
    xmp = xmp_packet(from_text=from_text)
    return await asyncio.to_thread(_encode_all, pictures, limit_bytes, request_bytes, xmp)


def xmp_packet(*, from_text: bool = False) -> str:
    """The XMP metadata of a picture that the model made; `from_text` is as for `encode`."""
    return _XMP.format(source_type=FROM_TEXT_SOURCE_TYPE if from_text else DIGITAL_SOURCE_TYPE)


def _encode_all(
    pictures: Sequence[tuple[Picture, str | None]], limit_bytes: int, request_bytes: int, xmp: str
) -> list[Encoded]:
    files = [_png(picture, settings_text, xmp) for picture, settings_text in pictures]
    left = request_bytes
    by_size = sorted(range(len(files)), key=lambda index: len(files[index].data))
    for done, index in enumerate(by_size):
        share = min(limit_bytes, left // (len(files) - done))
        if len(files[index].data) > share:
            files[index] = _lossy(pictures[index][0], share, xmp)
        left -= len(files[index].data)
    return files


def _png(picture: Picture, settings_text: str | None, xmp: str) -> Encoded:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", xmp)
    if settings_text is not None:
        texts.add_text("parameters", settings_text)
    file = BytesIO()
    _image(picture).save(file, "PNG", pnginfo=texts)
    return Encoded(file.getvalue(), "png", "image/png")


def _lossy(picture: Picture, limit_bytes: int, xmp: str, lowest: int = 1) -> Encoded:
    image = _image(picture)
    make = _webp if max(image.size) <= _WEBP_MAX_SIDE else _jpeg
    best = None
    low, high = lowest, 100
    while low <= high:
        quality = (low + high) // 2
        file = make(image, quality, xmp)
        if len(file.data) <= limit_bytes:
            best = file
            low = quality + 1
        else:
            high = quality - 1
    if best is None:
        raise DoesNotFit(mebibytes=limit_bytes / 2**20)
    return best


def _webp(image: Image.Image, quality: int, xmp: str) -> Encoded:
    file = BytesIO()
    image.save(file, "WEBP", quality=quality, xmp=xmp.encode())
    return Encoded(file.getvalue(), "webp", "image/webp")


def _jpeg(image: Image.Image, quality: int, xmp: str) -> Encoded:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality, xmp=xmp.encode())
    return Encoded(file.getvalue(), "jpg", "image/jpeg")


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ",:\n") else value
