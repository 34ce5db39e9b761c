"""Converts every colour space to sRGB. Spaces that are named by numbers become ICC profiles."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from io import BytesIO

from PIL import Image, ImageCms

Matrix = tuple[tuple[float, float, float], ...]
Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue."""

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_BT709: Chromaticities = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_SMPTE170M: Chromaticities = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)

# ITU-T H.273, table 2.
_PRIMARIES: dict[int, Chromaticities] = {
    1: _BT709,
    2: _BT709,  # unspecified
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: _SMPTE170M,
    7: _SMPTE170M,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}

_REFERENCE_WHITE = 203.0
"""Luminance in cd/m² of diffuse white in HDR pictures (ITU-R BT.2408-7, table 1). It becomes the
white of sRGB; brighter light is clipped, each channel for itself."""


def _srgb(value: float) -> float:
    # IEC 61966-2-1
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _pq(value: float) -> float:
    # ITU-R BT.2100-2, table 4
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = value ** (1 / m2)
    return float(10_000 * (max(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) / _REFERENCE_WHITE)


def _hlg(value: float) -> float:
    # ITU-R BT.2100-2, table 5, for a display of 1,000 cd/m², whose system gamma is 1.2
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = value**2 / 3 if value <= 0.5 else (2.718281828459045 ** ((value - c) / a) + b) / 12
    return float(1000 * scene**1.2 / _REFERENCE_WHITE)


# ITU-T H.273, table 3. The curves of television (1, 6, 7, 14, 15) describe cameras; pictures that
# name them are made for the same displays as sRGB, and browsers show them so.
_TRANSFERS: dict[int, Callable[[float], float]] = {
    **dict.fromkeys((1, 2, 6, 7, 13, 14, 15), _srgb),
    4: lambda value: value**2.2,
    5: lambda value: value**2.8,
    8: lambda value: value,
    16: _pq,
    17: lambda value: value**2.6 * 52.37 / 48,
    18: _hlg,
}

_SRGB_PRIMARIES = (1, 2)
_GAMMA_TOLERANCE = 0.05
"""libpng ignores a gamma this close to the display's (PNG_GAMMA_THRESHOLD)."""


def profile_of_codes(primaries: int, transfer: int) -> bytes | None:
    """The ICC profile of a colour space named by ITU-T H.273; None for sRGB and unknown ones."""
    curve = _TRANSFERS.get(transfer)
    chromaticities = _PRIMARIES.get(primaries)
    if curve is None or chromaticities is None:
        return None
    if curve is _srgb and primaries in _SRGB_PRIMARIES:
        return None
    return _matrix_profile(chromaticities, curve)


def profile_of_gamma(gamma: float | None, chromaticities: Chromaticities | None) -> bytes | None:
    """The ICC profile of PNG's gAMA and cHRM; None where they mean sRGB or make no sense."""
    # The limits are those of libpng (png_colorspace_set_gamma).
    usual = gamma is None or abs(gamma * 2.2 - 1) <= _GAMMA_TOLERANCE
    if usual and chromaticities is None:
        return None
    exponent = 1 / gamma if gamma is not None and 0.00016 <= gamma <= 6250 else 0.0
    curve = _srgb if usual or not exponent else lambda value: float(value**exponent)
    try:
        return _matrix_profile(chromaticities or _BT709, curve)
    except (ZeroDivisionError, struct.error):
        return None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` (L, RGB or CMYK) as RGB. A profile that is damaged or for another mode is ignored,
    as in browsers."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            if space == "RGB" and image.mode == "L":
                image = image.convert("RGB")
            if {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space) == image.mode:
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                assert converted is not None
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image.convert("RGB")


_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)
"""ICC.1:2022, annex E: the adaptation of a white point to that of profiles, D50."""

_CURVE_POINTS = 4096


def _matrix_profile(chromaticities: Chromaticities, curve: Callable[[float], float]) -> bytes:
    """A display profile of three primaries and one tone curve (ICC.1:2022, section 8.4.3)."""
    white, *primaries = (_xyz(*chromaticities[at : at + 2]) for at in range(0, 8, 2))
    unscaled = _columns(primaries)
    scales = _times(_inverse(unscaled), white)
    adaptation = _adaptation(white)
    columns = [
        _times(adaptation, [part * scale for part in primary])
        for primary, scale in zip(primaries, scales, strict=True)
    ]
    points = [
        round(65535 * min(curve(index / (_CURVE_POINTS - 1)), 1.0))
        for index in range(_CURVE_POINTS)
    ]
    tone = b"curv" + bytes(4) + struct.pack(f">I{_CURVE_POINTS}H", _CURVE_POINTS, *points)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78),
        b"wtpt": _xyz_tag(_D50),
        **{
            name: _xyz_tag(column)
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone),
    }
    return _icc(tags)


def _icc(tags: dict[bytes, bytes]) -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += padded
    head = struct.pack(
        ">I4sI4s4s4s", offset + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(68, b"\0") + _xyz_tag(_D50)[8:]
    return head.ljust(128, b"\0") + table + body


def _xyz(x: float, y: float) -> list[float]:
    return [x / y, 1.0, (1 - x - y) / y]


def _xyz_tag(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _adaptation(white: Sequence[float]) -> Matrix:
    source, target = _times(_BRADFORD, white), _times(_BRADFORD, _D50)
    scaled = tuple(
        tuple(part * target[row] / source[row] for part in _BRADFORD[row]) for row in range(3)
    )
    inverse = _inverse(_BRADFORD)
    return _columns([_times(inverse, [row[at] for row in scaled]) for at in range(3)])


def _columns(columns: Sequence[Sequence[float]]) -> Matrix:
    return tuple(tuple(column[row] for column in columns) for row in range(3))  # type: ignore[misc]


def _times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    minors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * minors[0][0] + b * minors[1][0] + c * minors[2][0]
    return tuple(tuple(part / determinant for part in row) for row in minors)  # type: ignore[misc]
