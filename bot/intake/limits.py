"""The limits for links and pictures, with the operator's settings applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from bot.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """Sizes are in bytes and pixels, times in seconds of wall time.

    `allowed_hosts` may have addresses that are not public; the whole name must match.
    `denied_hosts` are refused with all subdomains and take precedence over `allowed_hosts`.
    `contact` is an address at which the operator can be found, for the servers of links.
    `background` (red, green, blue) is shown behind transparent pictures.
    """

    max_bytes: int = 20 * 2**20
    total_seconds: float = 15.0
    max_redirects: int = 5
    allowed_ports: tuple[int, ...] = (80, 443)
    allowed_hosts: tuple[str, ...] = ()
    denied_hosts: tuple[str, ...] = ()
    contact: str = ""

    # Phones take 8192 × 6144 pixels, which are 50.3 million. See also `decode.JPEG_FACTOR`.
    max_pixels: int = 52_000_000
    decode_seconds: float = 5.0
    decode_memory: int = 2**30
    decode_workers: int = 2
    background: tuple[int, int, int] = (255, 255, 255)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The limits with the operator's settings; all others keep their defaults."""
        red, green, blue = bytes.fromhex(settings.background.removeprefix("#"))
        return cls(
            allowed_ports=settings.allowed_ports,
            allowed_hosts=settings.allowed_hosts,
            denied_hosts=settings.denied_hosts,
            background=(red, green, blue),
            contact=settings.contact,
        )
