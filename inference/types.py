"""Requests, progress and results: frozen dataclasses of bytes and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scheduler = Literal["dpmpp_2m_karras", "ddim", "euler", "euler_trailing", "unipc", "pndm", "lcm"]
"""Names of the schedulers that a request may choose. `None` means the catalogue's scheduler for the
model, or the scheduler in the model's repository if the catalogue has none."""

Part = Literal["everything", "foreground", "background"]
"""The part of a picture that a request redraws, found in its depth map."""

Task = Literal["img2img", "text2img", "edit"]
"""What a model can do: redraw a picture, draw from text only, or edit by an instruction."""

Option = Literal["strength", "negative_prompt", "guidance", "mask", "part", "structure"]
"""Settings of a request that some models do not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """RGB, row-major, 3 bytes a pixel, `width * height * 3` bytes."""

    pixels: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """One image to make.

    `pixels` is RGB, row-major, 3 bytes a pixel, `width * height * 3` bytes; empty for
    text-to-image, where `width` and `height` are the size of the output. Both sides are multiples
    of the model's `multiple`, and the area is within the model's `pixels`; the caller resizes.
    `references` are further pictures for models that edit by instruction; each may have a size of
    its own. `strength` is in (0, 1]: the last `int(steps * strength)` steps run, at least one.
    `guidance_scale` above 1 turns on classifier-free guidance and the negative prompt.
    `seed` is in [0, 2**63). `deadline` is in seconds since the epoch; a request that has not been
    prepared by then fails with `DeadlineExceeded`. `model` is the name of one of the models that
    the service runs; empty is its default.

    `structure` is RGB of the same size, whose depth map steers the model; None is `pixels`.
    `control_scale` is the weight of a ControlNet's output (`controlnet_conditioning_scale` in
    diffusers); None is 1.

    `mask` is 8-bit grey, `width * height` bytes: white is redrawn, black keeps the picture's own
    pixels, grey blends the two. `part` redraws one part of the depth map, divided at
    `part_threshold` (0 is far, 1 is near; None chooses it by Otsu's method). With both, a pixel is
    redrawn as far as both allow. A request with `steps` 0 runs no step: its result has the
    picture's own pixels, and the extra outputs that it asks for.
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
    references: tuple[Picture, ...] = ()
    preview: bool = False
    return_depth: bool = False
    mask: bytes | None = None
    part: Part = "everything"
    part_threshold: float | None = None
    return_mask: bool = False
    deadline: float | None = None
    structure: bytes | None = None
    control_scale: float | None = None
    tile: tuple[int, int] | None = None
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A small RGB image of the current latents, `width * height * 3` bytes."""

    pixels: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`step` of `total` denoising steps are done; a step counts once for each tile. `preview` is
    None unless it was requested."""

    id: str
    step: int
    total: int
    preview: Preview | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds from submission to prepared, seconds of the steps, and seconds of the decode.

    Other requests run during this time, too. `device` is the time that the device worked for this
    request: its share, by rows, of the calls that it was part of.
    """

    prepare: float
    steps: float
    decode: float
    device: float = 0.0

    @property
    def total(self) -> float:
        """The sum, in seconds."""
        return self.prepare + self.steps + self.decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """The redrawn image: RGB, `width * height * 3` bytes, of the request's size.

    `depth` is the depth map that the model used, 8-bit grey, `width * height` bytes, near is
    bright; only if `return_depth` was set. `mask` has the same form and shows the part that the
    request redraws; only if `return_mask` was set. `steps_run` counts a step once for each tile.
    `ignored_prompt` is the end of the prompt
    beyond the text encoder's window (77 tokens for CLIP), empty if the whole prompt was used.
    """

    id: str
    pixels: bytes
    width: int
    height: int
    steps_run: int
    timings: Timings
    ignored_prompt: str = ""
    depth: bytes | None = None
    mask: bytes | None = None
