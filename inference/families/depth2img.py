"""The model side of the loop for `StableDiffusionDepth2ImgPipeline`: prepare, predict, decode.

Each method does for many requests what the library's `__call__` does for one, with its own
functions wherever they can be called by themselves. The test
`tests/integration/inference/engine/test_exactness.py` compares the two.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache
from diffusers import StableDiffusionDepth2ImgPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from inference.engine import prompt_weights
from inference.engine.transfers import NonBlocking, PendingTransfer, to_device
from inference.errors import NonFiniteOutput
from inference.models import POCKET
from inference.pipelines.schedulers import new_scheduler
from inference.types import Img2ImgRequest, Preview

# What repeats is kept within this many bytes: at 512 × 512 one picture's latents and depth are
# 36 kB in half precision, one prompt's embedding 158 kB.
CACHE_BYTES = 64 * 2**20

# What every model's previews are fitted to, at this size: pictures, since what a VAE makes of noise
# says little of them.
SAMPLES = tuple((POCKET / "samples").glob("*.png"))
FITTED = (128, 128)


@dataclass(slots=True, kw_only=True)
class Denoising:
    """A request under way. Latents (1, C, h, w), depth (1, 1, h, w), text (rows, 77, D).

    `torn` while its scheduler takes a step: if that does not end, its state is worth nothing.
    """

    request: Img2ImgRequest
    latents: torch.Tensor
    depth: torch.Tensor
    text: torch.Tensor
    scheduler: Any
    timesteps: list[torch.Tensor]
    step_options: dict[str, Any]
    ignored_prompt: str
    step: int = 0
    partially_stepped: bool = False
    original: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        """Rows in a UNet call: two with guidance, one without."""
        return int(self.text.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Latent height and width; only equal ones share a UNet call."""
        return int(self.latents.shape[2]), int(self.latents.shape[3])

    @property
    def finished(self) -> bool:
        """Whether every step of its schedule has been taken."""
        return self.step == len(self.timesteps)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A picture seen by the VAE and the depth estimator: posterior mean and deviation, depth."""

    mean: torch.Tensor
    deviation: torch.Tensor
    depth: torch.Tensor


def _bytes_of(value: torch.Tensor | _Encoded) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return value.mean.nbytes + value.deviation.nbytes + value.depth.nbytes


class Depth2ImgModel:
    """One loaded pipeline on one device. Not thread-safe: one thread owns it.

    `cache_bytes` bounds what is kept of prompts and pictures seen lately.
    """

    def __init__(
        self, pipe: StableDiffusionDepth2ImgPipeline, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        # diffusers ships no types.
        self.pipe: Any = pipe
        self.device = self.pipe.device
        self.dtype = self.pipe.unet.dtype
        self._cache: LRUCache[str, torch.Tensor | _Encoded] = LRUCache(cache_bytes, _bytes_of)
        self._marks: deque[torch.cuda.Event] = deque()
        self._projection = self._fit_projection()
        self.unet_calls = 0

    @torch.no_grad()
    def prepare(self, request: Img2ImgRequest) -> Denoising:
        """Text, latents, depth and noise: everything before the first step.

        The generator lives on the CPU, so that a seed means the same picture on every device; it
        draws first the posterior sample, then the noise, as the library does.
        """
        with NonBlocking():
            return self._prepare(request)

    def _prepare(self, request: Img2ImgRequest) -> Denoising:
        encoded = self._encode(request)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        sample = self._randn(encoded.mean.shape, generator)
        clean = encoded.mean + encoded.deviation * sample
        clean = self.pipe.vae.config.scaling_factor * clean
        noise = self._randn(clean.shape, generator)
        scheduler = new_scheduler(self.pipe.scheduler, request.scheduler)
        # Kept on the CPU: schedulers look numbers up by timestep, which on a GPU would wait for it.
        scheduler.set_timesteps(request.steps, device="cpu")
        run = max(1, min(int(request.steps * request.strength), request.steps))
        begin = (request.steps - run) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        timesteps = scheduler.timesteps[begin:]
        accepted = inspect.signature(scheduler.step).parameters
        options: dict[str, Any] = {"eta": 0.0, "generator": generator}
        text = self._text(request.prompt)
        if request.guidance_scale > 1:
            text = torch.cat([self._text(request.negative_prompt), text])
        return Denoising(
            request=request,
            latents=_noised(scheduler, clean, noise, timesteps[:1]),
            depth=encoded.depth,
            text=text,
            scheduler=scheduler,
            timesteps=list(timesteps),
            step_options={name: value for name, value in options.items() if name in accepted},
            ignored_prompt=self._ignored(request.prompt),
        )

    @torch.no_grad()
    def predict(self, batch: Sequence[Denoising]) -> None:
        """One UNet call for all rows of the batch, then one step of every request's scheduler.

        All of the batch have one latent shape.
        """
        inputs, times = [], []
        for one in batch:
            now = one.timesteps[one.step]
            scaled = one.scheduler.scale_model_input(one.latents, now)
            inputs += [torch.cat([scaled, one.depth], dim=1)] * one.rows
            times += [now.to(torch.float32)] * one.rows
        text = torch.cat([one.text for one in batch])
        made = self._unet(torch.cat(inputs), torch.stack(times), text)
        ends = itertools.accumulate(one.rows for one in batch)
        for one, end in zip(batch, ends, strict=True):
            rows = made[end - one.rows : end]
            if one.rows == 2:
                unconditional, conditional = rows.chunk(2)
                scale = one.request.guidance_scale
                rows = unconditional + scale * (conditional - unconditional)
            one.partially_stepped = True
            with NonBlocking():
                out = one.scheduler.step(
                    rows, one.timesteps[one.step], one.latents, **one.step_options
                )
            one.latents = out.prev_sample
            if one.request.preview:
                one.original = _predicted_original(out, one.scheduler)
            one.partially_stepped = False
            one.step += 1
        self._pace()

    @torch.no_grad()
    def decode(self, one: Denoising) -> PendingTransfer[bytes]:
        """Latents to RGB bytes, row-major.

        A picture with values that are not numbers, or one all black, is decoded once more in
        float32 when it has arrived: half precision can overflow in the VAE.

        Raises:
            NotANumber: by `Arriving.get`: the latents themselves, or the second decoding, are not
                numbers.
        """
        return PendingTransfer(self._decoded(self._unscaled(one)), partial(self._pixels, one))

    @torch.no_grad()
    def preview(self, one: Denoising) -> PendingTransfer[Preview]:
        """The picture as it is expected to become, one pixel a latent, without decoding."""
        latents = one.latents if one.original is None else one.original
        weights, bias = self._projection
        rgb = torch.einsum("chw,cd->hwd", latents[0].float(), weights) + bias
        pixels = (rgb.nan_to_num().clamp(0, 1) * 255).round().byte()
        height, width = one.shape
        return PendingTransfer(
            pixels,
            lambda made: Preview(pixels=made.numpy().tobytes(), width=width, height=height),
        )

    @torch.no_grad()
    def depth_picture(self, one: Denoising) -> PendingTransfer[bytes]:
        """The depth map that steers the request: 8-bit grey of the request's size, near bright."""
        grey = ((one.depth[0, 0].float() + 1) * 127.5).round().clamp(0, 255).byte()
        size = (one.request.width, one.request.height)
        return PendingTransfer(
            grey,
            lambda made: (
                Image.fromarray(made.numpy(), "L").resize(size, Image.Resampling.BICUBIC).tobytes()
            ),
        )

    def _pace(self) -> None:
        """Wait for the step before the one just launched: the device always has the next step at
        hand, and the loop is never further ahead of it than that."""
        if self.device.type != "cuda":
            return
        mark = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        mark.record()
        self._marks.append(mark)
        if len(self._marks) > 1:
            self._marks.popleft().synchronize()

    def _unet(self, inputs: torch.Tensor, times: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        self.unet_calls += 1
        if self.device.type == "cuda":
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        times = to_device(times, self.device)
        made: torch.Tensor = self.pipe.unet(
            inputs, times, encoder_hidden_states=text, return_dict=False
        )[0]
        return made

    def _text(self, prompt: str) -> torch.Tensor:
        key = f"text {prompt}"
        found = self._cache.get(key)
        if isinstance(found, torch.Tensor):
            return found
        made: torch.Tensor
        if prompt_weights.is_weighted(prompt):
            made = prompt_weights.embed(self.pipe, prompt)
        else:
            made = self.pipe.encode_prompt(prompt, self.device, 1, False)[0]
        self._keep(key, made)
        return made

    def _encode(self, request: Img2ImgRequest) -> _Encoded:
        digest = hashlib.sha256(request.pixels).hexdigest()
        key = f"picture {digest} {request.width} {request.height}"
        found = self._cache.get(key)
        if isinstance(found, _Encoded):
            return found
        size = (request.width, request.height)
        image = Image.frombytes("RGB", size, request.pixels)
        depth = self.pipe.prepare_depth_map(image, None, 1, False, self.dtype, self.device)
        # A flat picture has a flat depth map, which the library's division turns into NaN; a map
        # without any relief says nothing, and nothing is zero.
        depth = torch.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
        pixels = self.pipe.image_processor.preprocess(image)
        posterior = self.pipe.vae.encode(pixels.to(self.device, self.dtype)).latent_dist
        made = _Encoded(posterior.mean, posterior.std, depth)
        self._keep(key, made)
        return made

    def _keep(self, key: str, value: torch.Tensor | _Encoded) -> None:
        if _bytes_of(value) <= self._cache.maxsize:
            self._cache[key] = value

    def _randn(self, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        made: torch.Tensor = randn_tensor(
            shape, generator=generator, device=self.device, dtype=self.dtype
        )
        return made

    def _ignored(self, prompt: str) -> str:
        """What the text encoder's window has no room for, as the end of the prompt itself."""
        tokenizer = self.pipe.tokenizer
        found = tokenizer(prompt, return_offsets_mapping=True, add_special_tokens=False)
        room = tokenizer.model_max_length - 2
        if len(found.input_ids) <= room:
            return ""
        return prompt[found["offset_mapping"][room][0] :].strip()

    def _unscaled(self, one: Denoising) -> torch.Tensor:
        return one.latents / float(self.pipe.vae.config.scaling_factor)

    def _pixels(self, one: Denoising, made: torch.Tensor) -> bytes:
        if not _is_valid(made) or float(made.max()) <= -1:
            lost = NonFiniteOutput("The model lost itself in this picture: try another seed.")
            if not _is_valid(one.latents):
                raise lost
            made = self._decoded_in_float32(self._unscaled(one)).cpu()
            if not _is_valid(made):
                raise lost
        pixels = self.pipe.image_processor.postprocess(made, output_type="np")[0]
        return bytes((pixels * 255).round().astype(np.uint8).tobytes())

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.pipe.vae.decode(latents, return_dict=False)[0]
        return made

    @torch.no_grad()
    def _decoded_in_float32(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipe.vae
        try:
            made: torch.Tensor = vae.to(torch.float32).decode(latents.float(), return_dict=False)[0]
        finally:
            vae.to(self.dtype)
        return made

    @torch.no_grad()
    def _fit_projection(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents to RGB in 0..1 by least squares over pocket's samples: (C, 3) and (3,)."""
        pictures = self.pipe.image_processor.preprocess(
            [Image.open(path).convert("RGB").resize(FITTED) for path in sorted(SAMPLES)]
        )
        mean = self.pipe.vae.encode(pictures.to(self.device, self.dtype)).latent_dist.mean
        latents = (
            (mean * self.pipe.vae.config.scaling_factor).float().cpu().movedim(1, -1).flatten(0, 2)
        )
        small = torch.nn.functional.avg_pool2d(pictures, self.pipe.vae_scale_factor)
        colours = (small / 2 + 0.5).movedim(1, -1).flatten(0, 2)
        # A little ridge keeps the fit sane where random weights make channels alike.
        design = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
        normal = design.T @ design + 1e-4 * torch.eye(design.shape[1])
        solution = torch.linalg.solve(normal, design.T @ colours)
        return solution[:-1].to(self.device), solution[-1].to(self.device)


def _noised(
    scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """What `scheduler.add_noise` gives: a sum whose two factors it looks up by indices, for which
    the host would wait if its tables were on the device. So it looks them up on the CPU."""
    one, none = torch.ones(1, dtype=clean.dtype), torch.zeros(1, dtype=clean.dtype)
    signal, deviation = scheduler.add_noise(one, none, time), scheduler.add_noise(none, one, time)
    return float(signal) * clean + float(deviation) * noise


def _is_valid(values: torch.Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _predicted_original(out: Any, scheduler: Any) -> torch.Tensor | None:
    """What the scheduler takes the finished latents to be, where it says so."""
    original: torch.Tensor | None = getattr(out, "pred_original_sample", None)
    if original is None and getattr(scheduler.config, "algorithm_type", "") == "dpmsolver++":
        original = scheduler.model_outputs[-1]
    if original is None and getattr(scheduler.config, "predict_x0", False):
        original = scheduler.model_outputs[-1]
    return original
