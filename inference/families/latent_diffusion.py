"""The common part of the families that denoise the latents of a VAE, guided by CLIP's embeddings.

A family adds its text encoders, the denoiser's further inputs and the denoiser's call. Each method
does for many requests what the library's `__call__` does for one: the tests in
`tests/integration/inference/families` compare the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderTiny
from diffusers.utils.torch_utils import randn_tensor

from inference.engine.cuda_graphs import CudaGraphs
from inference.engine.transfers import NonBlocking, PendingTransfer, to_device
from inference.families.conditioning import ConditioningEncoder, Embeddings, EncodedPicture
from inference.families.denoising.call import DenoiserCall
from inference.families.denoising.decoding import PictureDecoder, TiledPicture, depth_picture
from inference.families.denoising.state import Denoising, DenoisingInputs, Tile, TileEncoding
from inference.families.denoising.surroundings import Surroundings
from inference.families.denoising.tiles import EVERYTHING, TileLayout, tile_requests
from inference.families.latent_preview import LatentPreview
from inference.families.masking import KeptLatents, compose, mask_output, request_mask
from inference.families.sampling_state import Sampler
from inference.tile_grid import call_size
from inference.types import ImageRequest, Preview


class LatentDiffusionModel(ABC):
    """One loaded pipeline on one device. One thread owns it, except for `load_inputs`."""

    def __init__(self, pipe: Any, encoder: ConditioningEncoder) -> None:
        # diffusers ships no types.
        self.pipe: Any = pipe
        self.device = self.pipe.device
        self.dtype = self.pipe.unet.dtype
        self.encoder = encoder
        self.decoder = PictureDecoder(pipe)
        self.surroundings = Surroundings(pipe, self.decoder)
        self.previews = LatentPreview(pipe)
        self.sampler = Sampler(self.pipe.scheduler, self.device, self.dtype)
        self.denoiser_calls = 0
        self.graphs: CudaGraphs | None = None

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
        """Requests share a denoiser call if the latents of their rows have one shape, that is, if
        their pictures or tiles have one size."""
        return call_size(request)

    def rows(self, request: ImageRequest) -> int:
        """Two rows with classifier-free guidance, one without."""
        return 2 if request.guidance_scale > 1 else 1

    def row_tokens(self, request: ImageRequest) -> int:
        """1: no picture is larger than those with which the row limit is measured."""
        return 1

    @torch.no_grad()
    def load_inputs(self, request: ImageRequest) -> DenoisingInputs:
        """Tokens, pixels, the schedule's plan and the noise.

        Of the tiles of a request only the first one is loaded here: `encode_tiles` loads one at a
        time, so that their pixels as floating-point numbers are not all in memory.

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
        tiles = self._tiles_of(request)
        host = self.encoder.load_inputs(tiles.requests[0] if tiles else request)
        sample = draws[0] if samples else None
        return DenoisingInputs(request, host, plan, sample, draws[-1], generator, tiles)

    def _tiles_of(self, request: ImageRequest) -> TileEncoding | None:
        """The tiles of a request; None if one tile is the whole picture."""
        if request.tile is None:
            return None
        requests = tile_requests(request)
        return TileEncoding(requests) if len(requests) > 1 else None

    @torch.no_grad()
    def encode_tiles(self, inputs: DenoisingInputs, number: int) -> int:
        """Encode up to so many further tiles; return how many are left."""
        tiles, request = inputs.tiles, inputs.request
        if tiles is None:
            return 0
        assert request.tile is not None
        with NonBlocking():
            if tiles.layout is None:
                size, device = (request.width, request.height), torch.device(self.device)
                factor = self.pipe.vae_scale_factor
                tiles.layout = TileLayout.of(size, request.tile, factor, device)
            for index in range(len(tiles.tiles), len(tiles.tiles) + min(number, tiles.left)):
                tile = tiles.requests[index]
                host = self.encoder.load_inputs(tile)
                (encoded,) = self.encoder.encode_pictures([host])
                kept = replace(encoded, mean=None, deviation=None)
                conditions = self._conditions(tile, kept)
                place = tiles.layout.places[index]
                assert encoded.mean is not None
                tiles.add(
                    Tile(place, kept, host.picture_key, conditions), encoded.mean, encoded.deviation
                )
        return tiles.left

    @torch.no_grad()
    def prepare(self, batch: Sequence[DenoisingInputs]) -> list[Denoising]:
        """Encode texts and pictures and add the noise."""
        with NonBlocking():
            hosts = [inputs.host for inputs in batch]
            texts = self.encoder.encode_texts(hosts)
            whole = [inputs.host for inputs in batch if not inputs.tiles]
            pictures = iter(self.encoder.encode_pictures(whole))
            return [
                self._start_tiled(inputs, inputs.tiles, text)
                if inputs.tiles
                else self._start_whole(inputs, text, next(pictures))
                for inputs, text in zip(batch, texts, strict=True)
            ]

    def _start_whole(
        self, inputs: DenoisingInputs, texts: Sequence[Embeddings], encoded: EncodedPicture
    ) -> Denoising:
        conditions = self._conditions(inputs.request, encoded)
        tile = Tile(EVERYTHING, encoded, inputs.host.picture_key, conditions)
        return self._start(inputs, texts, encoded, [tile], None)

    def _start_tiled(
        self, inputs: DenoisingInputs, encoding: TileEncoding, texts: Sequence[Embeddings]
    ) -> Denoising:
        """Encode the tiles that are left, and start from the blended latents of all."""
        self.encode_tiles(inputs, encoding.left)
        blended = encoding.blended(self.dtype)
        return self._start(inputs, texts, blended, encoding.tiles, encoding.layout)

    def _start(
        self,
        inputs: DenoisingInputs,
        texts: Sequence[Embeddings],
        encoded: EncodedPicture,
        tiles: Sequence[Tile],
        layout: TileLayout | None,
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
            tiles=tiles,
            layout=layout,
            embeddings=tuple(torch.cat(rows) for rows in zip(*texts, strict=True)),
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
    def predict(self, batch: Sequence[Denoising], tiles: Sequence[int] = ()) -> None:
        """One denoiser call for all rows of the batch, then one step of every request's schedule.

        All requests have the same batch key. See `StepModel.predict`.
        """
        for one in batch:
            self.surroundings.renew(one)
        call = DenoiserCall(self.sampler, batch, tiles)
        for view in call.views:
            self.encoder.check_depth(view.tile.encoded, view.tile.picture_key)
            if view.one.mask is not None:
                view.one.mask.check()
        predictions = self._denoise(*call.inputs())
        with NonBlocking():
            call.finish(predictions)

    @torch.no_grad()
    def decode_tiles(self, one: Denoising, number: int) -> int:
        """Decode up to so many further tiles; return how many are left. All are left again if the
        picture must be decoded in float32."""
        if one.layout is None or not one.total_steps:
            return 0
        if one.decoding is None:
            one.decoding = self._begin_decoding(one)
        return one.decoding.decode(number)

    def decode(self, one: Denoising) -> PendingTransfer[bytes]:
        """The finished picture as RGB bytes."""
        if not one.total_steps:
            own = torch.frombuffer(bytearray(one.request.pixels), dtype=torch.uint8)
            return PendingTransfer(own, lambda values: values.numpy().tobytes())
        if one.layout is None:
            redrawn = self.decoder.decode(one.state.sample.to(self.dtype))
        else:
            begun, one.decoding = one.decoding, None
            redrawn = (begun or self._begin_decoding(one)).picture()
        redrawn = self.encoder.checked(
            redrawn, [(part.encoded, part.picture_key) for part in one.tiles]
        )
        return redrawn if one.mask is None else compose(redrawn, one.mask, one.request)

    def _begin_decoding(self, one: Denoising) -> TiledPicture:
        assert one.request.tile is not None
        return self.decoder.begin(one.state.sample.to(self.dtype), one.request.tile)

    def preview(self, one: Denoising) -> PendingTransfer[Preview]:
        """The picture as it is expected to become, one pixel a latent."""
        return self.previews.render(one.state.predicted_original)

    def extra_outputs(self, one: Denoising) -> dict[str, PendingTransfer[bytes]]:
        """`depth` and `mask`, if the request asks for them: 8-bit grey of the request's size.

        In a depth map near is bright. A model without one, and a request in tiles, give none.
        """
        outputs = {}
        has_depth = one.layout is None and one.tiles[0].encoded.depth is not None
        if one.request.return_depth and has_depth:
            outputs["depth"] = self._depth_picture(one)
        if one.request.return_mask:
            outputs["mask"] = mask_output(one.mask, one.request)
        return outputs

    def _depth_picture(self, one: Denoising) -> PendingTransfer[bytes]:
        depth = one.tiles[0].encoded.depth
        assert depth is not None
        return depth_picture(depth, (one.request.width, one.request.height))

    def _denoise(self, latents: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        self.denoiser_calls += 1
        call = self._call_denoiser if self.graphs is None else self.graphs
        return call(latents, *inputs)

    @torch.no_grad()
    def warm_up(self, request: ImageRequest, rows: int) -> None:
        """Call the denoiser once for so many rows of such requests."""
        (one,) = self.prepare([self.load_inputs(request)])
        inputs = (one.state.sample.to(self.dtype), *one.embeddings, *one.tiles[0].conditions)
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
