"""The family of `StableDiffusionDepth2ImgPipeline`: Stable Diffusion steered by a depth map.

Each method does for many requests what the library's `__call__` does for one. The test
`tests/integration/inference/engine/test_exactness.py` compares the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionDepth2ImgPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from inference.engine.cuda_graphs import CudaGraphs
from inference.engine.sampling import SamplingPlan
from inference.engine.transfers import NonBlocking, PendingTransfer, to_device
from inference.families.conditioning import (
    CACHE_BYTES,
    ConditioningEncoder,
    EncodedPicture,
    HostInputs,
)
from inference.families.decoding import PictureDecoder
from inference.families.latent_preview import LatentPreview
from inference.families.masking import (
    KeptLatents,
    RequestMask,
    compose,
    mask_output,
    request_mask,
)
from inference.families.sampling_state import Sampler, SamplingState
from inference.types import ImageRequest, Preview


@dataclass(frozen=True, slots=True, eq=False)
class Depth2ImgInputs:
    """A request with everything that the host computes of it.

    `sample` and `noise`, (1, C, h, w), are the random numbers of its seed.
    """

    request: ImageRequest
    host: HostInputs
    plan: SamplingPlan
    sample: torch.Tensor
    noise: torch.Tensor
    generator: torch.Generator


@dataclass(slots=True, kw_only=True, eq=False)
class Denoising:
    """A running request. Text is (rows, 77, D), the prompt's row before the negative prompt's."""

    request: ImageRequest
    encoded: EncodedPicture
    picture_key: Hashable
    text: torch.Tensor
    state: SamplingState
    mask: RequestMask | None
    ignored_prompt: str

    @property
    def rows(self) -> int:
        """Rows in a UNet call: two with guidance, one without."""
        return int(self.text.shape[0])

    @property
    def step(self) -> int:
        """How many steps have been taken."""
        return self.state.step

    @property
    def total_steps(self) -> int:
        """How many steps the schedule has."""
        return self.state.plan.steps

    @property
    def must_restart(self) -> bool:
        """Whether an error left the scheduler's state unusable."""
        return self.state.must_restart

    @property
    def finished(self) -> bool:
        """Whether every step of the schedule has been taken."""
        return self.step == self.total_steps


class Depth2ImgModel:
    """One loaded pipeline on one device. One thread owns it, except for `load_inputs`.

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
        self.sampler = Sampler(self.pipe.scheduler, self.device, self.dtype)
        self.unet_calls = 0
        self.graphs: CudaGraphs | None = None
        self._step_events: deque[torch.cuda.Event] = deque()

    def batch_key(self, request: ImageRequest) -> Hashable:
        """Requests share a UNet call if their latents have one shape, that is, one size."""
        return request.width, request.height

    def rows(self, request: ImageRequest) -> int:
        """Two rows with classifier-free guidance, one without."""
        return 2 if request.guidance_scale > 1 else 1

    @torch.no_grad()
    def load_inputs(self, request: ImageRequest) -> Depth2ImgInputs:
        """Tokens, pixels, the schedule's plan and the noise.

        The generator lives on the CPU, so that a seed means the same picture on every device. It
        draws the posterior sample first and the noise second, as the library does.
        """
        factor = self.pipe.vae_scale_factor
        channels = self.pipe.vae.config.latent_channels
        shape = (1, channels, request.height // factor, request.width // factor)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        sample, noise = (
            randn_tensor(shape, generator=generator, device=torch.device("cpu"), dtype=self.dtype)
            for _ in range(2)
        )
        plan = self.sampler.plan(request)
        host = self.encoder.load_inputs(request)
        return Depth2ImgInputs(request, host, plan, sample, noise, generator)

    @torch.no_grad()
    def prepare(self, batch: Sequence[Depth2ImgInputs]) -> list[Denoising]:
        """Encode texts and pictures and add the noise."""
        with NonBlocking():
            hosts = [inputs.host for inputs in batch]
            texts = self.encoder.encode_texts(hosts)
            pictures = self.encoder.encode_pictures(hosts)
            return [
                self._start(inputs, text, picture)
                for inputs, text, picture in zip(batch, texts, pictures, strict=True)
            ]

    def _start(
        self, inputs: Depth2ImgInputs, text: Sequence[torch.Tensor], encoded: EncodedPicture
    ) -> Denoising:
        sample = to_device(inputs.sample, self.device)
        noise = to_device(inputs.noise, self.device)
        clean = encoded.mean + encoded.deviation * sample
        clean = self.pipe.vae.config.scaling_factor * clean
        latents = inputs.plan.signal * clean + inputs.plan.deviation * noise
        request = inputs.request
        mask = request_mask(request, encoded.relief, self.pipe.vae_scale_factor, self.device)
        kept = KeptLatents(mask.latent, clean.float(), noise.float()) if mask else None
        return Denoising(
            request=request,
            encoded=encoded,
            picture_key=inputs.host.picture_key,
            text=torch.cat(list(text)),
            state=self.sampler.start(request, inputs.plan, latents, inputs.generator, kept),
            mask=mask,
            ignored_prompt=inputs.host.prompts[0].ignored,
        )

    @torch.no_grad()
    def predict(self, batch: Sequence[Denoising]) -> None:
        """One UNet call for all rows of the batch, then one step of every request's schedule.

        All requests have the same latent shape. The rows are those of the prompts, followed by
        those of the negative prompts.
        """
        for one in batch:
            self.encoder.check_depth(one.encoded, one.picture_key)
            if one.mask is not None:
                one.mask.check()
        # Guided requests first: row i of the second part belongs to row i of the first.
        batch = sorted(batch, key=lambda one: -one.rows)
        guided = sum(one.rows == 2 for one in batch)
        states = [one.state for one in batch]
        scales = [one.request.guidance_scale if one.rows == 2 else 1.0 for one in batch]
        step = self.sampler.begin(states, scales)
        depth = torch.cat([one.encoded.depth for one in batch])
        inputs = torch.cat([step.inputs, depth], dim=1)
        text = torch.cat([one.text[:1] for one in batch] + [one.text[1:] for one in batch])
        predictions = self._unet(
            torch.cat([inputs, inputs[:guided]]),
            torch.cat([step.timesteps, step.timesteps[:guided]]),
            text,
        )
        with NonBlocking():
            self.sampler.finish(step, predictions)
        self._limit_queued_steps()

    def decode(self, one: Denoising) -> PendingTransfer[bytes]:
        """The finished picture as RGB bytes, row-major; see `PictureDecoder.decode`."""
        if not one.total_steps:
            own = torch.frombuffer(bytearray(one.request.pixels), dtype=torch.uint8)
            return PendingTransfer(own, lambda values: values.numpy().tobytes())
        redrawn = self.decoder.decode(one.state.sample.to(self.dtype))
        return redrawn if one.mask is None else compose(redrawn, one.mask, one.request)

    def preview(self, one: Denoising) -> PendingTransfer[Preview]:
        """The picture as it is expected to become, one pixel a latent."""
        return self.previews.render(one.state.predicted_original)

    def extra_outputs(self, one: Denoising) -> dict[str, PendingTransfer[bytes]]:
        """`depth` and `mask`, if the request asks for them: 8-bit grey of the request's size."""
        outputs = {}
        if one.request.return_depth:
            outputs["depth"] = self._depth_picture(one)
        if one.request.return_mask:
            outputs["mask"] = mask_output(one.mask, one.request)
        return outputs

    @torch.no_grad()
    def _depth_picture(self, one: Denoising) -> PendingTransfer[bytes]:
        grey = ((one.encoded.depth[0, 0].float() + 1) * 127.5).round().clamp(0, 255).byte()
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
        call = self._call_unet if self.graphs is None else self.graphs
        return call(inputs, times, text)

    def _call_unet(
        self, inputs: torch.Tensor, times: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        predictions: torch.Tensor = self.pipe.unet(
            inputs, times, encoder_hidden_states=text, return_dict=False
        )[0]
        return predictions

    @torch.no_grad()
    def warm_up(self, width: int, height: int, rows: int) -> None:
        """Call the UNet once for this size and number of rows."""
        unet, factor = self.pipe.unet, self.pipe.vae_scale_factor
        options = {"device": self.device, "dtype": self.dtype}
        tokens = self.pipe.tokenizer.model_max_length
        self._unet(
            torch.zeros(
                rows, unet.config.in_channels, height // factor, width // factor, **options
            ),
            torch.zeros(rows, device=self.device),
            torch.zeros(rows, tokens, unet.config.cross_attention_dim, **options),
        )

    def use_cuda_graphs(self) -> None:
        """Replay small UNet calls as CUDA graphs from now on."""
        self.graphs = CudaGraphs(self._call_unet)
