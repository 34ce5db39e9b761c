"""Text embeddings, latents and depth maps of requests, batched, with a cache of recent ones."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from cachetools import LRUCache
from PIL import Image

from inference.engine.transfers import PendingTransfer, to_device
from inference.errors import InferenceError, NonFiniteOutput
from inference.pipelines.depth import DepthEstimator, relative_depth
from inference.types import ImageRequest

CACHE_BYTES = 64 * 2**20
"""At 512 × 512 in half precision one picture's latents and depth map take 36 kB, one prompt's
embedding 158 kB."""

Embeddings = tuple[torch.Tensor, ...]


class Prompt(Protocol):
    """A prompt as its encoder reads it: a hashable value."""

    def __hash__(self) -> int: ...

    @property
    def ignored(self) -> str:
        """The end of the prompt that is beyond the text encoder's window."""
        ...


class PromptEncoder(Protocol):
    """The text encoders of a pipeline."""

    def tokenize(self, prompt: str, *, negative: bool) -> Prompt:
        """The host's part."""
        ...

    def embed(self, prompts: Sequence[Any]) -> list[Embeddings]:
        """For each prompt the tensors that the denoiser needs of it, (1, ...) each."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HostInputs:
    """The host's results for a request's picture and prompts, without the device.

    `pixels` is the VAE's input, (1, 3, H, W), None without a source picture; `depth_pixels` the
    depth estimator's, None if the model needs no depth map. `size` is (H, W). `keep_relief` asks
    for the depth map at the estimator's own resolution.
    """

    prompts: tuple[Prompt, ...]
    picture_key: Hashable
    size: tuple[int, int]
    pixels: torch.Tensor | None
    depth_pixels: torch.Tensor | None
    keep_relief: bool


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPicture:
    """The VAE's posterior, mean and deviation (1, C, h, w), and the depth map in -1..1.

    Without a source picture both are None; a VAE without a distribution, such as `AutoencoderTiny`,
    has no deviation. The depth map is None if the model needs none. `relief`, (1, 1, H, W) in
    float32, is the depth map as the estimator returned it, only for requests that redraw a part.
    `depth_is_finite` arrives after the depth map has been used: the host does not wait for it.
    """

    mean: torch.Tensor | None = None
    deviation: torch.Tensor | None = None
    depth: torch.Tensor | None = None
    relief: torch.Tensor | None = None
    depth_is_finite: PendingTransfer[bool] | None = None


def _bytes_of(value: Embeddings | EncodedPicture) -> int:
    if isinstance(value, EncodedPicture):
        parts = (value.mean, value.deviation, value.depth, value.relief)
        return sum(part.nbytes for part in parts if part is not None)
    return sum(part.nbytes for part in value)


def encode_pixels(vae: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Mean and deviation of the posterior of pictures (N, 3, H, W) in -1..1, unscaled.

    The deviation is None for a VAE that gives latents instead of a distribution.
    """
    encoded = vae.encode(pixels.to(vae.dtype))
    if hasattr(encoded, "latents"):
        return encoded.latents, None
    return encoded.latent_dist.mean, encoded.latent_dist.std


class ConditioningEncoder:
    """Runs the text encoders, the VAE's encoder and the depth estimator of a pipeline.

    A depth map has one value for each `depth_scale` × `depth_scale` pixels. `cache_bytes` bounds
    the memory of results kept for repeated prompts and pictures.
    """

    def __init__(
        self,
        pipe: Any,
        prompts: PromptEncoder,
        depth: DepthEstimator | None = None,
        *,
        depth_scale: int = 1,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.pipe = pipe
        self.prompts = prompts
        self.depth = depth
        self.cache: LRUCache[Hashable, Embeddings | EncodedPicture] = LRUCache(
            cache_bytes, _bytes_of
        )
        self._depth_scale = depth_scale

    def load_inputs(self, request: ImageRequest) -> HostInputs:
        """The host's part: hashing, tokenizing, decoding and scaling pixels.

        Raises:
            InferenceError: the request redraws a part that is found by depth, without a depth map.
        """
        prompts = [self.prompts.tokenize(request.prompt, negative=False)]
        if request.guidance_scale > 1:
            prompts.append(self.prompts.tokenize(request.negative_prompt, negative=True))
        size = (request.width, request.height)
        structure = request.structure or request.pixels
        pixels = depth_pixels = None
        if request.pixels:
            image = Image.frombytes("RGB", size, request.pixels)
            pixels = self.pipe.image_processor.preprocess(image)
        if self.depth is not None and structure:
            depth_pixels = self.depth.load_pixels(Image.frombytes("RGB", size, structure))
        keep_relief = request.part != "everything"
        if keep_relief and depth_pixels is None:
            raise InferenceError("This model has no depth map to find the foreground by.")
        digests = [hashlib.sha256(part).digest() for part in (request.pixels, structure)]
        return HostInputs(
            prompts=tuple(prompts),
            picture_key=(*digests, size, keep_relief),
            size=(request.height, request.width),
            pixels=pixels,
            depth_pixels=depth_pixels,
            keep_relief=keep_relief,
        )

    def encode_texts(self, batch: Sequence[HostInputs]) -> list[list[Embeddings]]:
        """For each request the embeddings of its prompts."""
        unique = dict.fromkeys(prompt for inputs in batch for prompt in inputs.prompts)
        found = self._cached(unique.keys())
        if missing := [prompt for prompt in unique if prompt not in found]:
            embeddings = self.prompts.embed(missing)
            found |= dict(zip(missing, embeddings, strict=True))
            self._keep(zip(missing, embeddings, strict=True))
        return [[found[prompt] for prompt in inputs.prompts] for inputs in batch]

    def encode_pictures(self, batch: Sequence[HostInputs]) -> list[EncodedPicture]:
        """For each request the latent distribution and the depth map of its pictures."""
        unique = {inputs.picture_key: inputs for inputs in batch}
        found = self._cached(unique)
        by_kind: dict[Hashable, dict[Hashable, HostInputs]] = {}
        for key, inputs in unique.items():
            if key not in found:
                kind = (inputs.size, inputs.pixels is None, inputs.depth_pixels is None)
                by_kind.setdefault(kind, {})[key] = inputs
        for missing in by_kind.values():
            encoded = self._encode(list(missing.values()))
            found |= dict(zip(missing, encoded, strict=True))
            self._keep(zip(missing, encoded, strict=True))
        return [found[inputs.picture_key] for inputs in batch]

    def check_depth(self, encoded: EncodedPicture, key: Hashable, *, wait: bool = False) -> None:
        """Look whether a depth map has non-finite values, if that is known by now or with `wait`.

        Raises:
            NonFiniteOutput: it has.
        """
        finite = encoded.depth_is_finite
        if finite is not None and (wait or finite.ready) and not finite.result():
            self.cache.pop(key, None)
            raise NonFiniteOutput("The depth estimator's output was not valid for this picture.")

    def checked(
        self, picture: PendingTransfer[bytes], parts: Sequence[tuple[EncodedPicture, Hashable]]
    ) -> PendingTransfer[bytes]:
        """The same picture. Its result raises `NonFiniteOutput` if the depth map of a part has
        non-finite values: after one step only, `check_depth` may not have known it.

        `parts` are the encoded tiles, or the whole picture, and their keys.
        """

        def check(pixels: bytes) -> bytes:
            for encoded, key in parts:
                self.check_depth(encoded, key, wait=True)
            return pixels

        return picture.then(check)

    def _encode(self, batch: Sequence[HostInputs]) -> list[EncodedPicture]:
        """Pictures of one size, all with a source or none, all with a depth map or none."""
        relief, depths = self._depth_maps(batch)
        mean, deviation = self._posteriors(batch)
        # Not the sum of a map: in half precision the sum of a large one is infinite.
        finite = None if depths is None else torch.isfinite(depths).flatten(1).all(dim=1)
        return [
            EncodedPicture(
                _row(mean, index),
                _row(deviation, index),
                _row(depths, index),
                _row(relief, index) if inputs.keep_relief else None,
                None if finite is None else PendingTransfer(finite[index], bool),
            )
            for index, inputs in enumerate(batch)
        ]

    def _posteriors(
        self, batch: Sequence[HostInputs]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if batch[0].pixels is None:
            return None, None
        pipe = self.pipe
        pixels = to_device(
            torch.cat([inputs.pixels for inputs in batch if inputs.pixels is not None]),
            pipe.device,
        )
        mean, deviation = encode_pixels(pipe.vae, pixels)
        dtype = pipe.unet.dtype
        return mean.to(dtype), None if deviation is None else deviation.to(dtype)

    def _depth_maps(
        self, batch: Sequence[HostInputs]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The estimator's output, and relative depth in -1..1 of the size that the model needs."""
        if self.depth is None or batch[0].depth_pixels is None:
            return None, None
        values = to_device(
            torch.cat([inputs.depth_pixels for inputs in batch if inputs.depth_pixels is not None]),
            self.pipe.device,
        )
        height, width = (side // self._depth_scale for side in batch[0].size)
        relief = self.depth.estimate(values)
        return relief, relative_depth(relief, height, width).to(self.pipe.unet.dtype)

    def _cached(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        return {key: value for key in keys if (value := self.cache.get(key)) is not None}

    def _keep(self, values: Iterable[tuple[Hashable, Embeddings | EncodedPicture]]) -> None:
        for key, value in values:
            if _bytes_of(value) <= self.cache.maxsize:
                self.cache[key] = value


def _row(values: torch.Tensor | None, index: int) -> torch.Tensor | None:
    return None if values is None else values[index : index + 1].clone()
