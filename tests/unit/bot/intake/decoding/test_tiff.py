"""The directory of a TIFF file."""

from __future__ import annotations

import struct

from bot.intake.decoding.tiff import BITS, STRIPS, read_directory


def test_the_first_one_of_equal_tags_counts() -> None:
    """As in libtiff. Reading thousands of equal tags with thousands of values took seconds."""
    tags = [(STRIPS, 4, 1, 200), (BITS, 3, 1, 8), (STRIPS, 4, 1, 300)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    assert read_directory(data) == {STRIPS: (200,), BITS: (8,)}
