"""Decodes a picture with ImageMagick or libvips: upright, in sRGB, on white."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

from PIL import Image, ImageCms

# ImageMagick 6 as Debian names it, since others may provide a `convert`.
MAGICK = shutil.which("convert-im6.q16")
VIPS = shutil.which("vips")


def srgb_profile(folder: Path) -> Path:
    """A file with Little CMS's sRGB profile."""
    path = folder / "srgb.icc"
    path.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return path


def with_magick(source: Path, profile: Path) -> Image.Image | None:
    """ImageMagick's first frame, or None where it cannot read the file."""
    assert MAGICK is not None
    done = subprocess.run(
        [
            *(MAGICK, f"{source}[0]", "-auto-orient", "-profile", profile, "-colorspace", "sRGB"),
            *("-background", "white", "-alpha", "remove", "-alpha", "off"),
            *("-type", "TrueColor", "-depth", "8", "-strip", "png:-"),
        ],
        capture_output=True,
        check=False,
    )
    if not done.stdout:
        return None
    return Image.open(io.BytesIO(done.stdout)).convert("RGB")


def with_vips(source: Path, profile: Path) -> Image.Image | None:
    """libvips's first frame, or None where it cannot read the file."""
    folder = source.with_suffix("")
    folder.mkdir()
    upright, converted, result = (folder / name for name in ("upright.v", "srgb.v", "result.png"))
    if not _vips("autorot", source, upright):
        return None
    has_profile = subprocess.run(
        ["vipsheader", "-f", "icc-profile-data", upright], capture_output=True, check=False
    )
    if has_profile.returncode == 0:
        options = ("--embedded", "--intent", "perceptual")
        ok = _vips("icc_transform", upright, converted, profile, *options)
    else:
        ok = _vips("colourspace", upright, converted, "srgb")
    if not ok or not _vips("cast", converted, result, "uchar"):
        return None
    with Image.open(result) as image:
        shown = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")


def _vips(*arguments: str | Path) -> bool:
    assert VIPS is not None
    return subprocess.run([VIPS, *arguments], capture_output=True, check=False).returncode == 0
