"""Steps requests of `Flux2KleinPipeline`: each method does for many requests what the library's
`__call__` does for one.

The test `tests/integration/inference/families/test_flux2_klein.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import Flux2KleinPipeline
from diffusers.utils.torch_utils import randn_tensor

from inference.engine.protocols import WithoutTiles
from inference.engine.transfers import NonBlocking, PendingTransfer, to_device
from inference.errors import InferenceError
from inference.families.denoising.decoding import PictureDecoder
from inference.families.flux2_klein.conditioning import (
    CACHE_BYTES,
    TEXT_TOKENS,
    KleinEncoder,
    PromptTokens,
    Reference,
    pictures_of,
)
from inference.families.flux2_klein.masking import KeptTokens
from inference.families.flux2_klein.schedule import FlowSchedule, new_schedule
from inference.families.latent_preview import LatentPreview
from inference.families.masking import RequestMask, compose, mask_output, request_mask
from inference.types import ImageRequest, Preview


@dataclass(frozen=True, slots=True, eq=False)
class KleinInputs:
    """A request with everything that the host computes of it.

    `noise`, (1, L, C), is the random tokens of its seed. A request with guidance has the empty
    prompt as its second one.
    """

    request: ImageRequest
    prompts: tuple[PromptTokens, ...]
    references: tuple[Reference, ...]
    schedule: FlowSchedule
    noise: torch.Tensor


@dataclass(slots=True, kw_only=True, eq=False)
class KleinRunning:
    """A running request.

    `latents`, (1, L, C) in float32, are the picture's tokens, `predicted_original` the estimate of
    the finished ones; `references`, (1, N, C), the tokens of all reference pictures, None without
    any; `text`, (rows, 512, D), the prompt's row before the empty prompt's. A request with a
    `mask` has the tokens that are `kept` outside of it.
    """

    request: ImageRequest
    schedule: FlowSchedule
    latents: torch.Tensor
    references: torch.Tensor | None
    text: torch.Tensor
    ignored_prompt: str
    predicted_original: torch.Tensor
    mask: RequestMask | None
    kept: KeptTokens | None
    step: int = 0
    must_restart: bool = False

    @property
    def rows(self) -> int:
        """Rows in a transformer call: two with guidance, one without."""
        return int(self.text.shape[0])

    @property
    def total_steps(self) -> int:
        """How many steps the schedule has."""
        return self.schedule.steps

    @property
    def finished(self) -> bool:
        """Whether every step of the schedule has been taken."""
        return self.step == self.total_steps


class Flux2KleinModel(WithoutTiles):
    """One loaded pipeline on one device. One thread owns it, except for `load_inputs`.

    `cache_bytes` bounds the memory of cached prompts and pictures.
    """

    def __init__(self, pipe: Flux2KleinPipeline, *, cache_bytes: int = CACHE_BYTES) -> None:
        # diffusers ships no types.
        self.pipe: Any = pipe
        self.device = self.pipe.device
        self.dtype = self.pipe.transformer.dtype
        self.encoder = KleinEncoder(pipe, cache_bytes=cache_bytes)
        self.decoder = PictureDecoder(pipe)
        self.previews = LatentPreview(pipe)
        self.denoiser_calls = 0

    def batch_key(self, request: ImageRequest) -> Hashable:
        """Requests share a call if their tokens have equal positions: the sizes of the picture
        and of its references, in their order. All prompts have the same number of tokens."""
        references = tuple(map(self.encoder.reference_size, pictures_of(request)))
        return (request.width, request.height), references

    def rows(self, request: ImageRequest) -> int:
        """Two rows with classifier-free guidance, which a distilled model does not have."""
        return 2 if request.guidance_scale > 1 and not self.pipe.config.is_distilled else 1

    def row_tokens(self, request: ImageRequest) -> int:
        """The tokens of the text, of the picture and of its references."""
        height, width = self._grid(request)
        return TEXT_TOKENS + height * width + sum(map(self.encoder.tokens, pictures_of(request)))

    @torch.no_grad()
    def load_inputs(self, request: ImageRequest) -> KleinInputs:
        """Tokens, pixels, the schedule, and the noise, which is the same on every device.

        Raises:
            InferenceError: the request has tiles, or redraws a part that is found by depth.
        """
        if request.tile is not None:
            raise InferenceError("This model cannot redraw a picture in tiles.")
        if request.part != "everything":
            raise InferenceError("This model has no depth map to find the foreground by.")
        height, width = self._grid(request)
        noise = randn_tensor(
            (1, self.pipe.transformer.config.in_channels, height, width),
            generator=torch.Generator("cpu").manual_seed(request.seed),
            device=torch.device("cpu"),
            dtype=self.dtype,
        )
        prompts = [request.prompt, ""][: self.rows(request)]
        return KleinInputs(
            request=request,
            prompts=tuple(map(self.encoder.tokenize, prompts)),
            references=self.encoder.load_references(request),
            schedule=new_schedule(self.pipe.scheduler, request.steps, height * width),
            noise=self.pipe._pack_latents(noise),
        )

    @torch.no_grad()
    def prepare(self, batch: Sequence[KleinInputs]) -> list[KleinRunning]:
        """Encode texts and reference pictures."""
        with NonBlocking():
            texts = self.encoder.encode_texts(
                [prompt for inputs in batch for prompt in inputs.prompts]
            )
            return [self._start(inputs, texts) for inputs in batch]

    def _start(self, inputs: KleinInputs, texts: dict[PromptTokens, torch.Tensor]) -> KleinRunning:
        references = [self.encoder.encode_reference(each) for each in inputs.references]
        latents = to_device(inputs.noise, self.device).float()
        request = inputs.request
        mask = kept = None
        if request.pixels:
            mask = request_mask(request, None, self.encoder.multiple, self.device)
            kept = KeptTokens.of(mask, references[0], latents) if mask else None
        return KleinRunning(
            request=request,
            schedule=inputs.schedule,
            latents=latents,
            references=torch.cat(references, dim=1) if references else None,
            text=torch.cat([texts[prompt] for prompt in inputs.prompts]),
            ignored_prompt=inputs.prompts[0].ignored,
            predicted_original=latents,
            mask=mask,
            kept=kept,
        )

    @torch.no_grad()
    def predict(self, batch: Sequence[KleinRunning], tiles: Sequence[int] = ()) -> None:
        """One transformer call for all rows of the batch, then one step of every request. The rows
        are those of the prompts, then of the empty prompts. No request has `tiles`."""
        # Guided requests first: row i of the second part belongs to row i of the first.
        batch = sorted(batch, key=lambda one: -one.rows)
        guided = sum(one.rows == 2 for one in batch)
        numbers = [
            (*one.schedule.numbers(one.step), one.request.guidance_scale if one.rows == 2 else 1.0)
            for one in batch
        ]
        values = to_device(torch.tensor(numbers, dtype=torch.float32), self.device)
        times, sigmas, changes, scales = values[:, :, None, None].unbind(1)
        latents = torch.cat([one.latents for one in batch])
        tokens = torch.cat([self._tokens(one) for one in batch])
        text = torch.cat([one.text[:1] for one in batch] + [one.text[1:] for one in batch])
        outputs = self._transformer(
            torch.cat([tokens, tokens[:guided]]),
            # As the library does, the timestep is rounded to the latents' precision.
            torch.cat([times, times[:guided]]).flatten().to(self.dtype) / 1000,
            text,
            self._positions(batch[0].request),
        )
        outputs = outputs[:, : latents.shape[1]].float()
        conditional = outputs[: len(batch)]
        unconditional = torch.cat([outputs[len(batch) :], conditional[guided:]])
        velocity = unconditional + scales * (conditional - unconditional)
        after, original = latents + changes * velocity, latents - sigmas * velocity
        for one, tokens_after, estimate in zip(batch, after, original, strict=True):
            if one.kept is not None:
                sigma = float(one.schedule.sigmas[one.step + 1])
                tokens_after.copy_(one.kept.blend(tokens_after, sigma)[0])
                estimate.copy_(one.kept.blend(estimate, 0.0)[0])
        # Last: after an error no request has taken a part of the step.
        for index, one in enumerate(batch):
            one.latents, one.predicted_original = after[index, None], original[index, None]
            one.step += 1

    def decode(self, one: KleinRunning) -> PendingTransfer[bytes]:
        """The finished picture as RGB bytes, row-major; see `PictureDecoder.decode`."""
        latents = self.vae_latents(one.request, one.latents)
        redrawn = self.decoder.decode(latents.to(self.dtype))
        return redrawn if one.mask is None else compose(redrawn, one.mask, one.request)

    def preview(self, one: KleinRunning) -> PendingTransfer[Preview]:
        """The picture as it is expected to become, one pixel a latent of the VAE."""
        return self.previews.render(self.vae_latents(one.request, one.predicted_original))

    def is_finite(self, one: KleinRunning) -> bool:
        """Whether a finished request's tokens, and the picture decoded once, are finite."""
        latents = self.vae_latents(one.request, one.latents)
        decoded = self.decoder.decode_values(latents.to(self.dtype))
        return bool(torch.isfinite(latents).all() and torch.isfinite(decoded).all())

    @torch.no_grad()
    def warm_up(self, request: ImageRequest, rows: int) -> None:
        """Call the transformer once for so many rows of such requests."""
        (one,) = self.prepare([self.load_inputs(request)])
        self._transformer(
            self._tokens(one).expand(rows, -1, -1),
            torch.ones(rows, device=self.device, dtype=self.dtype),
            one.text.expand(rows, -1, -1),
            self._positions(request),
        )

    def use_cuda_graphs(self) -> bool:
        """False: a call at this model's size is long enough to hide the launches of its kernels."""
        return False

    def extra_outputs(self, one: KleinRunning) -> dict[str, PendingTransfer[bytes]]:
        """`mask`, if the request asks for it. The model uses no depth map."""
        return {"mask": mask_output(one.mask, one.request)} if one.request.return_mask else {}

    @torch.no_grad()
    def vae_latents(self, request: ImageRequest, tokens: torch.Tensor) -> torch.Tensor:
        """The VAE's latents, (1, C, h, w), of a picture's normalised tokens."""
        height, width = self._grid(request)
        vae = self.pipe.vae
        latents = tokens.transpose(1, 2).reshape(1, -1, height, width)
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents.dtype)
        variance = vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps
        latents = latents * torch.sqrt(variance).to(latents.dtype) + mean
        unpatched: torch.Tensor = self.pipe._unpatchify_latents(latents)
        return unpatched

    def _grid(self, request: ImageRequest) -> tuple[int, int]:
        """Rows and columns of the picture's tokens."""
        return request.height // self.encoder.multiple, request.width // self.encoder.multiple

    def _positions(self, request: ImageRequest) -> torch.Tensor:
        """The positions of the picture's and the references' tokens, (1, N, 4)."""
        height, width = self._grid(request)
        positions = [self.pipe._prepare_latent_ids(torch.empty(1, 1, height, width))]
        sizes = [self.encoder.reference_size(picture) for picture in pictures_of(request)]
        if sizes:
            multiple = self.encoder.multiple
            shapes = [torch.empty(1, 1, h // multiple, w // multiple) for w, h in sizes]
            positions.append(self.pipe._prepare_image_ids(shapes))
        return to_device(torch.cat(positions, dim=1), self.device)

    def _tokens(self, one: KleinRunning) -> torch.Tensor:
        """The transformer's input: the picture's tokens, then those of the references."""
        latents = one.latents.to(self.dtype)
        return latents if one.references is None else torch.cat([latents, one.references], dim=1)

    def _transformer(
        self,
        tokens: torch.Tensor,
        times: torch.Tensor,
        text: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        self.denoiser_calls += 1
        text_positions = torch.zeros(1, TEXT_TOKENS, 4, dtype=positions.dtype)
        text_positions[0, :, 3] = torch.arange(TEXT_TOKENS)
        outputs: torch.Tensor = self.pipe.transformer(
            hidden_states=tokens,
            timestep=times,
            guidance=None,
            encoder_hidden_states=text,
            txt_ids=to_device(text_positions, self.device),
            img_ids=positions,
            return_dict=False,
        )[0]
        return outputs
