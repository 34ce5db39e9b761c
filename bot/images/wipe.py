"""A short animation that wipes from one picture to another, as animated WebP."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw

from bot.images.encode import DoesNotFit, Encoded, xmp_packet
from bot.images.picture import Picture

# A wipe of one second, with a pause on each picture, there and back.
STEPS, STEP_MS, HOLD_MS = 16, 60, 1200
# Larger pictures are reduced: an animation has many frames.
LONGEST_SIDE = 640
QUALITIES = (80, 60, 40, 20)
LINE_COLOUR = "#ffffff"


def wipe(before: Picture, after: Picture, *, limit_bytes: int) -> Encoded:
    """The animation as a file of at most `limit_bytes`. `after` is resized to fit `before`.

    Takes about a second; call it in a thread.

    Raises:
        DoesNotFit: no quality is small enough.
    """
    first = _image(before)
    first.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    second = _image(after).resize(first.size, Image.Resampling.LANCZOS)
    width = first.width
    there = [_frame(first, second, width * step // STEPS) for step in range(1, STEPS)]
    frames = [first, *there, second, *reversed(there)]
    durations = [STEP_MS] * len(frames)
    durations[0] = durations[STEPS] = HOLD_MS
    for quality in QUALITIES:
        file = BytesIO()
        frames[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
            quality=quality,
            method=2,
            xmp=xmp_packet().encode(),
        )
        if file.tell() <= limit_bytes:
            return Encoded(file.getvalue(), "webp", "image/webp")
    raise DoesNotFit(mebibytes=limit_bytes / 2**20)


def _frame(before: Image.Image, after: Image.Image, position: int) -> Image.Image:
    """The second picture left of `position`, the first one right of it, a line between them."""
    frame = before.copy()
    frame.paste(after.crop((0, 0, position, after.height)), (0, 0))
    line = max(2, before.width // 200)
    ImageDraw.Draw(frame).rectangle((position, 0, position + line, before.height), LINE_COLOUR)
    return frame


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
