"""The family of `StableDiffusionDepth2ImgPipeline`: Stable Diffusion steered by a depth map.

Each method does for many requests what the library's `__call__` does for one, with the library's
own functions wherever they can be called separately. The test
`tests/integration/inference/engine/test_exactness.py` compares the two.
"""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionDepth2ImgPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from inference.engine.transfers import NonBlocking, PendingTransfer, to_device
from inference.families.conditioning import CACHE_BYTES, ConditioningEncoder
from inference.families.decoding import PictureDecoder
from inference.families.latent_preview import LatentPreview
from inference.pipelines.schedulers import new_scheduler
from inference.types import Img2ImgRequest, Preview


@dataclass(slots=True, kw_only=True)
class Denoising:
    """A running request. Latents (1, C, h, w), depth (1, 1, h, w), text (rows, 77, D).

    `must_restart` is set while the scheduler takes a step: if the step raises, its state is lost.
    `predicted_original` is the scheduler's estimate of the finished latents, where it makes one.
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
    must_restart: bool = False
    predicted_original: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        """Rows in a UNet call: two with guidance, one without."""
        return int(self.text.shape[0])

    @property
    def total_steps(self) -> int:
        """How many steps the schedule has."""
        return len(self.timesteps)

    @property
    def finished(self) -> bool:
        """Whether every step of the schedule has been taken."""
        return self.step == self.total_steps


class Depth2ImgModel:
    """One loaded pipeline on one device. Not thread-safe: one thread owns it.

    `cache_bytes` bounds the memory of cached prompts and pictures.
    """

    def __init__(
        self, pipe: StableDiffusionDepth2ImgPipeline, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        # diffusers ships no types.
        self.pipe: Any = pipe
        self.device = self.pipe.device
        self.dtype = self.pipe.unet.dtype
        self.encoder = ConditioningEncoder(pipe, cache_bytes=cache_bytes)
        self.decoder = PictureDecoder(pipe)
        self.previews = LatentPreview(pipe)
        self.unet_calls = 0
        self._step_events: deque[torch.cuda.Event] = deque()

    def batch_key(self, request: Img2ImgRequest) -> Hashable:
        """Requests share a UNet call if their latents have one shape, that is, one size."""
        return request.width, request.height

    def rows(self, request: Img2ImgRequest) -> int:
        """Two rows with classifier-free guidance, one without."""
        return 2 if request.guidance_scale > 1 else 1

    @torch.no_grad()
    def prepare(self, request: Img2ImgRequest) -> Denoising:
        """Compute text embeddings, latents, depth map and noise.

        The generator lives on the CPU, so that a seed means the same picture on every device. It
        draws the posterior sample first and the noise second, as the library does.
        """
        with NonBlocking():
            return self._prepare(request)

    def _prepare(self, request: Img2ImgRequest) -> Denoising:
        encoded = self.encoder.encode_picture(request)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        sample = self._randn(encoded.mean.shape, generator)
        clean = encoded.mean + encoded.deviation * sample
        clean = self.pipe.vae.config.scaling_factor * clean
        noise = self._randn(clean.shape, generator)
        scheduler = new_scheduler(self.pipe.scheduler, request.scheduler)
        # Kept on the CPU: schedulers look numbers up by timestep, which on a GPU would wait for it.
        scheduler.set_timesteps(request.steps, device="cpu")
        steps = max(1, min(int(request.steps * request.strength), request.steps))
        begin = (request.steps - steps) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        timesteps = scheduler.timesteps[begin:]
        accepted = inspect.signature(scheduler.step).parameters
        options: dict[str, Any] = {"eta": 0.0, "generator": generator}
        text = self.encoder.encode_text(request.prompt)
        if request.guidance_scale > 1:
            text = torch.cat([self.encoder.encode_text(request.negative_prompt), text])
        return Denoising(
            request=request,
            latents=_add_noise(scheduler, clean, noise, timesteps[:1]),
            depth=encoded.depth,
            text=text,
            scheduler=scheduler,
            timesteps=list(timesteps),
            step_options={name: value for name, value in options.items() if name in accepted},
            ignored_prompt=self.encoder.ignored_prompt(request.prompt),
        )

    @torch.no_grad()
    def predict(self, batch: Sequence[Denoising]) -> None:
        """One UNet call for all rows of the batch, then one step of each request's scheduler.

        All requests have the same latent shape.
        """
        inputs, times = [], []
        for one in batch:
            now = one.timesteps[one.step]
            scaled = one.scheduler.scale_model_input(one.latents, now)
            inputs += [torch.cat([scaled, one.depth], dim=1)] * one.rows
            times += [now.to(torch.float32)] * one.rows
        text = torch.cat([one.text for one in batch])
        predictions = self._unet(torch.cat(inputs), torch.stack(times), text)
        ends = itertools.accumulate(one.rows for one in batch)
        for one, end in zip(batch, ends, strict=True):
            self._step(one, predictions[end - one.rows : end])
        self._limit_queued_steps()

    def _step(self, one: Denoising, rows: torch.Tensor) -> None:
        if one.rows == 2:
            unconditional, conditional = rows.chunk(2)
            scale = one.request.guidance_scale
            rows = unconditional + scale * (conditional - unconditional)
        one.must_restart = True
        with NonBlocking():
            out = one.scheduler.step(rows, one.timesteps[one.step], one.latents, **one.step_options)
        one.latents = out.prev_sample
        if one.request.preview:
            one.predicted_original = _predicted_original(out, one.scheduler)
        one.must_restart = False
        one.step += 1

    def decode(self, one: Denoising) -> PendingTransfer[bytes]:
        """The finished picture as RGB bytes, row-major; see `PictureDecoder.decode`."""
        return self.decoder.decode(one.latents)

    def preview(self, one: Denoising) -> PendingTransfer[Preview]:
        """The picture as it is expected to become, one pixel a latent."""
        original = one.predicted_original
        return self.previews.render(one.latents if original is None else original)

    def extra_outputs(self, one: Denoising) -> dict[str, PendingTransfer[bytes]]:
        """`depth`, if the request asks for it: 8-bit grey of the request's size, near is bright."""
        return {"depth": self._depth_picture(one)} if one.request.return_depth else {}

    @torch.no_grad()
    def _depth_picture(self, one: Denoising) -> PendingTransfer[bytes]:
        grey = ((one.depth[0, 0].float() + 1) * 127.5).round().clamp(0, 255).byte()
        size = (one.request.width, one.request.height)

        def resize(values: torch.Tensor) -> bytes:
            small = Image.fromarray(values.numpy(), "L")
            return small.resize(size, Image.Resampling.BICUBIC).tobytes()

        return PendingTransfer(grey, resize)

    def _limit_queued_steps(self) -> None:
        """Wait for the step before the one just launched: the device always has the next step
        queued, and the host is never further ahead than that."""
        if self.device.type != "cuda":
            return
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        self._step_events.append(event)
        if len(self._step_events) > 1:
            self._step_events.popleft().synchronize()

    def _unet(self, inputs: torch.Tensor, times: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        self.unet_calls += 1
        if self.device.type == "cuda":
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        times = to_device(times, self.device)
        predictions: torch.Tensor = self.pipe.unet(
            inputs, times, encoder_hidden_states=text, return_dict=False
        )[0]
        return predictions

    def _randn(self, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        noise: torch.Tensor = randn_tensor(
            shape, generator=generator, device=self.device, dtype=self.dtype
        )
        return noise


def _add_noise(
    scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """The result of `scheduler.add_noise`, a weighted sum, without a wait for the device.

    The library looks the two weights up in a table by index, which on a device makes the host wait.
    Here they are read off on the CPU by adding noise to scalars.
    """
    one, zero = torch.ones(1, dtype=clean.dtype), torch.zeros(1, dtype=clean.dtype)
    signal, deviation = scheduler.add_noise(one, zero, time), scheduler.add_noise(zero, one, time)
    return float(signal) * clean + float(deviation) * noise


def _predicted_original(out: Any, scheduler: Any) -> torch.Tensor | None:
    """The scheduler's estimate of the finished latents, where it makes one."""
    original: torch.Tensor | None = getattr(out, "pred_original_sample", None)
    if original is None and getattr(scheduler.config, "algorithm_type", "") == "dpmsolver++":
        original = scheduler.model_outputs[-1]
    if original is None and getattr(scheduler.config, "predict_x0", False):
        original = scheduler.model_outputs[-1]
    return original
