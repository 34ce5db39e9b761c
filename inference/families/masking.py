"""Masks: the part of a picture that a request redraws, for families that denoise latents.

After each step the latents outside the mask are replaced by those of the source with noise, as in
diffusers' inpaint pipelines and in Avrahami et al. 2023, "Blended Latent Diffusion". The finished
picture is composed with the source pixel for pixel. `denoising/surroundings.py` encodes the source
of a part again in the middle of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from inference.engine.sampling import ORIGINAL, SAMPLE
from inference.engine.transfers import PendingTransfer, to_device
from inference.errors import FlatDepthMap
from inference.types import ImageRequest

BINS = 256
"""Bins of the depth histogram, as for the 8-bit pictures that Otsu's method was made for."""

FLAT_RANGE = 0.01
"""A depth map is flat if its range is smaller than this share of its largest value."""

FEATHER = 32
"""The soft edge of a part is as wide as the picture's shorter side, divided by this number."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestMask:
    """The mask of one request.

    1, or white, is redrawn. `pixels` is 8-bit grey, (H, W). `latent`, (1, 1, h, w) in 0..1, is the
    mean of these pixels over each latent; with a part, the largest mean of the latent and its eight
    neighbours. `part`, (1, 1, H, W) in 0..1, is `pixels` on the device; None without a part.
    `is_flat` tells whether the depth map is flat, so that it has no parts; None without a part.
    """

    latent: torch.Tensor
    pixels: PendingTransfer[np.ndarray[Any, Any]]
    part: torch.Tensor | None
    is_flat: PendingTransfer[bool] | None

    def check(self, *, wait: bool = False) -> None:
        """Raise the error of a flat depth map, if it is known by now.

        Raises:
            FlatDepthMap: the depth map cannot be divided into two parts.
        """
        if self.is_flat is not None and (wait or self.is_flat.ready) and self.is_flat.result():
            raise FlatDepthMap("The picture's depth map is flat: it has no foreground.")


@dataclass(frozen=True, slots=True, eq=False)
class KeptLatents:
    """The latents that replace those outside a mask.

    `mask` is (1, 1, h, w); `clean` and `noise` are (1, C, h, w).
    """

    mask: torch.Tensor
    clean: torch.Tensor
    noise: torch.Tensor

    def blend(self, tensors: torch.Tensor, signal: float, deviation: float) -> torch.Tensor:
        """A sampling state (SLOTS, C, h, w) whose sample and estimate are blended.

        `signal` and `deviation` are the factors of the clean latents and of the noise at the
        level that the sample has after the step.
        """
        noised = signal * self.clean + deviation * self.noise
        blended = tensors.clone()
        blended[SAMPLE] = torch.lerp(noised[0], tensors[SAMPLE], self.mask[0])
        blended[ORIGINAL] = torch.lerp(self.clean[0], tensors[ORIGINAL], self.mask[0])
        return blended


def needs_mask(request: ImageRequest) -> bool:
    """Whether the request redraws only a part of its picture."""
    return request.mask is not None or request.part != "everything"


def request_mask(
    request: ImageRequest, depth: torch.Tensor | None, factor: int, device: torch.device
) -> RequestMask | None:
    """The mask of a request; None if it redraws everything.

    `depth`, (1, 1, h, w), is the relative depth of any size, near is large; it is needed for a
    `part`. `factor` is the side of a latent in pixels.
    """
    if not needs_mask(request):
        return None
    size = (request.height, request.width)
    values: torch.Tensor | None = None
    is_flat: PendingTransfer[bool] | None = None
    if request.mask is not None:
        grey = torch.frombuffer(bytearray(request.mask), dtype=torch.uint8).view(1, 1, *size)
        values = to_device(grey, device).float() / 255
    if request.part != "everything":
        assert depth is not None
        near, flat = foreground(depth.float(), size, request.part_threshold)
        part = near if request.part == "foreground" else 1 - near
        values = part if values is None else values * part
        is_flat = PendingTransfer(flat, bool)
    assert values is not None
    # The latents are blended with the mask that is composed later, which has 8 bits.
    rounded = (values * 255).round()
    latent = avg_pool2d(rounded / 255, factor)
    is_part = request.part != "everything"
    if is_part:
        # The latents beside a part influence its colours: they are redrawn, too. The pixels outside
        # the part are those of the source in the composed picture.
        latent = max_pool2d(latent, 3, stride=1, padding=1)
    return RequestMask(
        latent=latent,
        pixels=PendingTransfer(rounded[0, 0].byte(), lambda grey: np.asarray(grey.numpy())),
        part=rounded / 255 if is_part else None,
        is_flat=is_flat,
    )


def foreground(
    depth: torch.Tensor, size: tuple[int, int], threshold: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The near part of a depth map (1, 1, h, w) as a mask (1, 1, H, W) in 0..1, with soft edges.

    `threshold` is in 0..1 of the map's range; None is Otsu's. The second tensor is True if the map
    is flat. Does not wait for the device.
    """
    low, high = depth.amin(), depth.amax()
    span = high - low
    flat = ~(span > FLAT_RANGE * torch.maximum(low.abs(), high.abs()))
    normalised = torch.where(flat, torch.zeros_like(depth), (depth - low) / span)
    limit = otsu_threshold(normalised) if threshold is None else threshold
    near = interpolate(normalised, size, mode="bicubic", align_corners=False) > limit
    radius = max(1, min(size) // FEATHER // 4)
    mask = near.float()
    # Two box blurs make the edge a smooth ramp of four radii.
    for _ in range(2):
        padded = pad(mask, (radius,) * 4, mode="replicate")
        mask = avg_pool2d(padded, 2 * radius + 1, stride=1)
    return mask, flat


def otsu_threshold(values: torch.Tensor) -> torch.Tensor:
    """The threshold of values in 0..1 that separates two classes best.

    Maximises the variance between the classes (Otsu 1979, "A threshold selection method from
    gray-level histograms"). Values above the threshold are the upper class.
    """
    indices = (values.flatten() * BINS).long().clamp(0, BINS - 1)
    counts = torch.zeros(BINS, device=values.device)
    counts.index_add_(0, indices, torch.ones_like(indices, dtype=counts.dtype))
    levels = torch.arange(BINS, device=values.device, dtype=counts.dtype)
    below, sums = counts.cumsum(0), (counts * levels).cumsum(0)
    total, whole = below[-1], sums[-1]
    between = (whole * below - total * sums) ** 2 / (below * (total - below)).clamp(min=1)
    # The variance is the same at each level of an empty gap: the middle of the gap is taken.
    best = (between >= between.amax() * (1 - 1e-6)).float()
    return ((best * levels).sum() / best.sum() + 1) / BINS


def compose(
    redrawn: PendingTransfer[bytes], mask: RequestMask, request: ImageRequest
) -> PendingTransfer[bytes]:
    """The redrawn picture inside the mask, the request's own pixels outside.

    The result raises `FlatDepthMap`, and what `redrawn` raises.
    """

    def blend(made: bytes) -> bytes:
        mask.check(wait=True)
        shape = (request.height, request.width, 3)
        share = mask.pixels.result()[..., None].astype(np.uint32)
        new = np.frombuffer(made, np.uint8).reshape(shape)
        own = np.frombuffer(request.pixels, np.uint8).reshape(shape)
        mixed = (share * new + (255 - share) * own + 127) // 255
        return mixed.astype(np.uint8).tobytes()

    return redrawn.then(blend)


def mask_output(mask: RequestMask | None, request: ImageRequest) -> PendingTransfer[bytes]:
    """The mask as 8-bit grey, row-major; white everywhere if the request redraws everything."""
    if mask is None:
        white = torch.full((request.height, request.width), 255, dtype=torch.uint8)
        return PendingTransfer(white, lambda grey: grey.numpy().tobytes())

    def finish(grey: np.ndarray[Any, Any]) -> bytes:
        mask.check(wait=True)
        return grey.tobytes()

    return mask.pixels.then(finish)
