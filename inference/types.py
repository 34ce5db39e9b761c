"""What crosses the process boundary: frozen dataclasses of bytes and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scheduler = Literal["dpmpp_2m_karras", "ddim", "euler", "unipc", "pndm"]
"""Names of the diffusers schedulers that a request may choose; `None` means the catalogue's choice
for the model, or else the one that comes with its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Img2ImgRequest:
    """One picture to redraw.

    `pixels` is RGB, row-major, 3 bytes a pixel, `width * height * 3` bytes long; both sides are
    multiples of 64 and the area is within the model's pixel budget (the caller resizes).
    `strength` is in (0, 1]: `int(steps * strength)` of the last steps run, at least one.
    `guidance_scale` above 1 turns classifier-free guidance (and the negative prompt) on.
    `seed` is in [0, 2**63). `deadline` is in seconds since the epoch; a request that has not been
    prepared by then fails with `DeadlineExceeded`.
    """

    id: str
    pixels: bytes
    width: int
    height: int
    prompt: str
    negative_prompt: str = ""
    strength: float
    steps: int
    guidance_scale: float
    seed: int
    scheduler: Scheduler | None = None
    preview: bool = False
    return_depth: bool = False
    deadline: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A small RGB picture of the latents as they are: `width * height * 3` bytes."""

    pixels: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`step` of `total` denoising steps are done; `preview` only if it was asked for."""

    id: str
    step: int
    total: int
    preview: Preview | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds from being accepted by the engine to prepared, the steps, and the decode."""

    prepare: float
    steps: float
    decode: float

    @property
    def total(self) -> float:
        """All of it, in seconds."""
        return self.prepare + self.steps + self.decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Img2ImgResult:
    """The redrawn picture: RGB, `width * height * 3` bytes, of the request's size.

    `depth` is the depth map that steered it, 8-bit grey, `width * height` bytes, near is bright;
    only if `return_depth` was set. `ignored_prompt` is the end of the prompt that the text
    encoder's window (77 tokens for CLIP) had no room for, empty if all of it counted.
    """

    id: str
    pixels: bytes
    width: int
    height: int
    steps_run: int
    timings: Timings
    ignored_prompt: str = ""
    depth: bytes | None = None
