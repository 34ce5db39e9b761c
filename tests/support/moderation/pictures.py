"""Pictures for tests of moderation. None of them shows anything explicit."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFilter

from bot.images.picture import Picture

# Ellipses (centre, radii, colour) that a random search found to be taken for explicit content by
# Open NSFW, with a score of 0.94: an abstract drawing that stands for pictures to refuse.
_BACKGROUND = (141, 83, 42)
_ELLIPSES = (
    (22, 47, 88, 10, (187, 170, 128)),
    (79, 20, 62, 35, (219, 141, 125)),
    (192, -19, 62, 47, (231, 225, 123)),
    (274, 116, 86, 44, (159, 150, 162)),
    (66, 239, 75, 35, (251, 163, 135)),
    (171, 41, 50, 28, (224, 175, 118)),
    (283, 23, 6, 79, (245, 195, 108)),
    (172, 209, 73, 123, (230, 133, 158)),
    (139, 251, 65, 38, (201, 127, 124)),
    (136, 98, 74, 113, (166, 134, 134)),
)


def suspicious() -> Image.Image:
    """256 × 256 pixels that Open NSFW takes for explicit."""
    image = Image.new("RGB", (256, 256), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    for x, y, across, down, colour in _ELLIPSES:
        draw.ellipse((x - across, y - down, x + across, y + down), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(2))


def as_picture(image: Image.Image) -> Picture:
    """The picture as the bot holds it."""
    return Picture(image.convert("RGB").tobytes(), *image.size)
