"""The common part of the families that denoise the latents of a VAE, guided by CLIP's embeddings.

A family adds its text encoders, the denoiser's further inputs and the denoiser's call. Each method
does for many requests what the library's `__call__` does for one: the tests in
`tests/integration/inference/families` compare the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderTiny
from diffusers.utils.torch_utils import randn_tensor

from inference.engine.cuda_graphs import CudaGraphs
from inference.engine.sampling import SamplingPlan
from inference.engine.transfers import NonBlocking, PendingTransfer, QueuedSteps, to_device
from inference.families.conditioning import (
    ConditioningEncoder,
    Embeddings,
    EncodedPicture,
    HostInputs,
)
from inference.families.decoding import PictureDecoder, depth_picture
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
class DenoisingInputs:
    """A request with everything that the host computes of it.

    `sample` and `noise`, (1, C, h, w), are the random numbers of its seed. `sample` is None if the
    request has no source picture, or if the VAE gives no distribution to draw from.
    """

    request: ImageRequest
    host: HostInputs
    plan: SamplingPlan
    sample: torch.Tensor | None
    noise: torch.Tensor
    generator: torch.Generator


@dataclass(slots=True, kw_only=True, eq=False)
class Denoising:
    """A running request.

    `embeddings` are (rows, ...) each, the prompt's row before the negative prompt's. `conditions`
    are the denoiser's inputs that all rows of the request share, (1, ...) each.
    """

    request: ImageRequest
    encoded: EncodedPicture
    picture_key: Hashable
    embeddings: Embeddings
    conditions: tuple[torch.Tensor, ...]
    state: SamplingState
    mask: RequestMask | None
    ignored_prompt: str

    @property
    def rows(self) -> int:
        """Rows in a denoiser call: two with guidance, one without."""
        return int(self.embeddings[0].shape[0])

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
        """Whether no step is left."""
        return self.step == self.total_steps


class LatentDiffusionModel(ABC):
    """One loaded pipeline on one device. One thread owns it, except for `load_inputs`."""

    def __init__(self, pipe: Any, encoder: ConditioningEncoder) -> None:
        # diffusers ships no types.
        self.pipe: Any = pipe
        self.device = self.pipe.device
        self.dtype = self.pipe.unet.dtype
        self.encoder = encoder
        self.decoder = PictureDecoder(pipe)
        self.previews = LatentPreview(pipe)
        self.sampler = Sampler(self.pipe.scheduler, self.device, self.dtype)
        self.denoiser_calls = 0
        self.graphs: CudaGraphs | None = None
        self._queued_steps = QueuedSteps(self.device)

    @abstractmethod
    def _conditions(
        self, request: ImageRequest, encoded: EncodedPicture
    ) -> tuple[torch.Tensor, ...]:
        """The denoiser's inputs that all rows of a request share, (1, ...) each."""

    @abstractmethod
    def _call_denoiser(
        self, latents: torch.Tensor, times: torch.Tensor, *inputs: torch.Tensor
    ) -> torch.Tensor:
        """The denoiser's output, (rows, C, h, w).

        `latents` is (rows, C, h, w), `times` (rows,), and `inputs` are the embeddings and then the
        conditions, (rows, ...) each.
        """

    def batch_key(self, request: ImageRequest) -> Hashable:
        """Requests share a denoiser call if their latents have one shape, that is, one size."""
        return request.width, request.height

    def rows(self, request: ImageRequest) -> int:
        """Two rows with classifier-free guidance, one without."""
        return 2 if request.guidance_scale > 1 else 1

    def row_tokens(self, request: ImageRequest) -> int:
        """1: no picture is larger than those with which the row limit is measured."""
        return 1

    @torch.no_grad()
    def load_inputs(self, request: ImageRequest) -> DenoisingInputs:
        """Tokens, pixels, the schedule's plan and the noise.

        The generator lives on the CPU, so that a seed means the same picture on every device. It
        draws the posterior sample first and the noise second, as the library does.
        """
        pipe, factor = self.pipe, self.pipe.vae_scale_factor
        size = (request.height // factor, request.width // factor)
        shape = (1, pipe.vae.config.latent_channels, *size)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        # The latents of a tiny autoencoder are no distribution: nothing is drawn from it.
        samples = bool(request.pixels) and not isinstance(pipe.vae, AutoencoderTiny)
        draws = [
            randn_tensor(shape, generator=generator, device=torch.device("cpu"), dtype=self.dtype)
            for _ in range(1 + samples)
        ]
        plan = self.sampler.plan(request)
        host = self.encoder.load_inputs(request)
        sample = draws[0] if samples else None
        return DenoisingInputs(request, host, plan, sample, draws[-1], generator)

    @torch.no_grad()
    def prepare(self, batch: Sequence[DenoisingInputs]) -> list[Denoising]:
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
        self, inputs: DenoisingInputs, texts: Sequence[Embeddings], encoded: EncodedPicture
    ) -> Denoising:
        request = inputs.request
        noise = to_device(inputs.noise, self.device)
        latents = inputs.plan.deviation * noise
        mask = kept = None
        if (clean := self._clean_latents(inputs, encoded)) is not None:
            latents = inputs.plan.signal * clean + latents
            mask = request_mask(request, encoded.relief, self.pipe.vae_scale_factor, self.device)
            kept = KeptLatents(mask.latent, clean.float(), noise.float()) if mask else None
        return Denoising(
            request=request,
            encoded=encoded,
            picture_key=inputs.host.picture_key,
            embeddings=tuple(torch.cat(rows) for rows in zip(*texts, strict=True)),
            conditions=self._conditions(request, encoded),
            state=self.sampler.start(request, inputs.plan, latents, inputs.generator, kept),
            mask=mask,
            ignored_prompt=inputs.host.prompts[0].ignored,
        )

    def _clean_latents(
        self, inputs: DenoisingInputs, encoded: EncodedPicture
    ) -> torch.Tensor | None:
        """Scaled latents of the source picture, (1, C, h, w); None without one."""
        clean = encoded.mean
        if clean is None:
            return None
        if encoded.deviation is not None and inputs.sample is not None:
            clean = clean + encoded.deviation * to_device(inputs.sample, self.device)
        scaled: torch.Tensor = self.pipe.vae.config.scaling_factor * clean
        return scaled

    @torch.no_grad()
    def predict(self, batch: Sequence[Denoising]) -> None:
        """One denoiser call for all rows of the batch, then one step of every request's schedule.

        All requests have the same batch key. The rows are those of the prompts, followed by those
        of the negative prompts.
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
        shared = [step.inputs, step.timesteps]
        shared += [torch.cat(parts) for parts in zip(*(o.conditions for o in batch), strict=True)]
        latents, times, *conditions = (torch.cat([part, part[:guided]]) for part in shared)
        embeddings = [
            torch.cat([part[:1] for part in parts] + [part[1:] for part in parts])
            for parts in zip(*(one.embeddings for one in batch), strict=True)
        ]
        predictions = self._denoise(latents, times, *embeddings, *conditions)
        with NonBlocking():
            self.sampler.finish(step, predictions)
        self._queued_steps.limit()

    def decode(self, one: Denoising) -> PendingTransfer[bytes]:
        """The finished picture as RGB bytes."""
        if not one.total_steps:
            own = torch.frombuffer(bytearray(one.request.pixels), dtype=torch.uint8)
            return PendingTransfer(own, lambda values: values.numpy().tobytes())
        redrawn = self.decoder.decode(one.state.sample.to(self.dtype))
        redrawn = self.encoder.checked(redrawn, one.encoded, one.picture_key)
        return redrawn if one.mask is None else compose(redrawn, one.mask, one.request)

    def preview(self, one: Denoising) -> PendingTransfer[Preview]:
        """The picture as it is expected to become, one pixel a latent."""
        return self.previews.render(one.state.predicted_original)

    def extra_outputs(self, one: Denoising) -> dict[str, PendingTransfer[bytes]]:
        """`depth` and `mask`, if the request asks for them: 8-bit grey of the request's size.

        In a depth map near is bright; a model without one gives none.
        """
        outputs = {}
        if one.request.return_depth and one.encoded.depth is not None:
            outputs["depth"] = self._depth_picture(one)
        if one.request.return_mask:
            outputs["mask"] = mask_output(one.mask, one.request)
        return outputs

    def _depth_picture(self, one: Denoising) -> PendingTransfer[bytes]:
        assert one.encoded.depth is not None
        return depth_picture(one.encoded.depth, (one.request.width, one.request.height))

    def _denoise(self, latents: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        self.denoiser_calls += 1
        call = self._call_denoiser if self.graphs is None else self.graphs
        return call(latents, *inputs)

    @torch.no_grad()
    def warm_up(self, request: ImageRequest, rows: int) -> None:
        """Call the denoiser once for so many rows of such requests."""
        (one,) = self.prepare([self.load_inputs(request)])
        inputs = (one.state.sample.to(self.dtype), *one.embeddings, *one.conditions)
        latents, *rest = (part.expand(rows, *part.shape[1:]) for part in inputs)
        self._denoise(latents, torch.zeros(rows, device=self.device), *rest)

    @torch.no_grad()
    def is_finite(self, one: Denoising) -> bool:
        """Whether a finished request's latents, and the picture decoded once, are finite."""
        latents = one.state.sample
        decoded = self.decoder.decode_values(latents.to(self.dtype))
        return bool(torch.isfinite(latents).all() and torch.isfinite(decoded).all())

    def use_cuda_graphs(self) -> bool:
        """Replay small denoiser calls as CUDA graphs from now on."""
        self.graphs = CudaGraphs(self._call_denoiser)
        return True
