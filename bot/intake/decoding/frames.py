"""Chooses the frame of an animation: the first one that is not fully transparent."""

from __future__ import annotations

from PIL import Image

MAX_FRAMES = 100
"""Frames that are examined. If all are transparent, the first one is used."""

_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")


def load_first_visible(image: Image.Image) -> Image.Image:
    """The first frame of `image` that shows something, loaded.

    An animated PNG begins with its animation; a default image before it is for programs that know
    no animations.
    """
    first = 1 if getattr(image, "default_image", False) and _seek(image, 1) else 0
    tile = next(iter(getattr(image, "tile", ())), None)
    image.load()
    if image.format == "GIF" and tile is not None:
        image = _with_clear_surroundings(image, tile.extents)
    if image.format not in _ANIMATED or not _is_transparent(image):
        return image
    for frame in range(first + 1, first + MAX_FRAMES):
        if not _seek(image, frame):
            break
        if not _is_transparent(image):
            return image
    image.seek(first)
    image.load()
    return image


def with_alpha_flag(data: bytes) -> bytes:
    """An animated WebP file whose header says that it has alpha.

    Encoders leave the flag out if every frame is opaque, also if the first one does not cover the
    canvas. Without the flag, the decoder shows black there and browsers show nothing.
    https://developers.google.com/speed/webp/docs/riff_container#extended_file_format
    """
    if data[12:16] == b"VP8X" and data[20:21] and data[20] & _WEBP_ANIMATION:
        return data[:20] + bytes((data[20] | _WEBP_ALPHA,)) + data[21:]
    return data


_WEBP_ANIMATION, _WEBP_ALPHA = 0x02, 0x10


def _with_clear_surroundings(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """`image`, transparent outside `box`, where Pillow shows the background colour."""
    if image.has_transparency_data or box == (0, 0, *image.size):
        return image
    opacity = Image.new("L", image.size)
    opacity.paste(255, box)
    shown = image.convert("RGB")
    shown.putalpha(opacity)
    return shown


def _seek(image: Image.Image, frame: int) -> bool:
    try:
        image.seek(frame)
        image.load()
    except (EOFError, OSError, SyntaxError, ValueError):
        # There is no such frame, or it is damaged.
        return False
    return True


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    shown = image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    return shown.getchannel("A").getextrema() == (0, 0)
