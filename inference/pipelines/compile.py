"""Compiles the UNet's transformer and ResNet blocks once, for all batch and image sizes.

The benchmark's option; the worker does not compile, because CUDA graphs remove the launches' cost
and compiling was not shown to help beyond that (docs/benchmarks.md).
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D

log = logging.getLogger(__name__)

# No new compilation starts after this time; what is not compiled by then runs eagerly.
COMPILE_SECONDS = 180.0

MAX_COMPILATIONS = 64
"""torch's limit for one function; by default 8, beyond which a function runs eagerly for good. The
ResNet blocks of Stable Diffusion share a function and need a compilation for each combination of
channel numbers: 12, and as many for a single row."""


@torch.no_grad()
def compile_unet(
    pipe: Any,
    pixels: int,
    *,
    seconds: float = COMPILE_SECONDS,
    backend: str = "inductor",
    resnets: bool = True,
) -> bool:
    """Compile the pipeline's UNet within about `seconds`; return whether it is compiled.

    `pixels` is the usual image area; without `resnets`, only transformer blocks are compiled. Rows,
    height and width are dynamic in the compiled code: no batch is padded, and no request waits for
    a compilation, since inputs that would need another one run eagerly. A single row has a
    compilation of its own, because torch specialises on 1.
    """
    side = math.isqrt(pixels) // pipe.vae_scale_factor
    start = time.monotonic()
    try:
        compile_blocks(pipe.unet, backend, resnets=resnets)
        # torch takes sizes that are equal in the first call to be equal in all: 3 is no size of a
        # layer, whose sides are multiples of 2 or powers of 2.
        for rows, height, width in ((3, side, side // 2), (2, side, side), (1, side, side)):
            if time.monotonic() - start < seconds:
                _call(pipe, rows, height, width)
    except Exception:
        # No compiler on this machine, or an incompatible one: slower, but correct.
        log.warning("the UNet is not compiled", exc_info=True)
        torch.compiler.set_stance("force_eager")
        return False
    torch.compiler.set_stance("eager_on_recompile")
    log.info("compiled in %.0f s", time.monotonic() - start)
    return True


def compile_blocks(unet: Any, backend: str, *, resnets: bool = True) -> None:
    """Make the blocks compile when they are called next."""
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, MAX_COMPILATIONS)
    unet.compile_repeated_blocks(dynamic=True, backend=backend)
    if resnets:
        for module in unet.modules():
            if isinstance(module, ResnetBlock2D):
                module.compile(dynamic=True, backend=backend)


def _call(pipe: Any, rows: int, height: int, width: int) -> None:
    unet = pipe.unet
    options = {"device": unet.device, "dtype": unet.dtype}
    inputs = torch.zeros(rows, unet.config.in_channels, height, width, **options)
    tokens = pipe.tokenizer.model_max_length
    text = torch.zeros(rows, tokens, unet.config.cross_attention_dim, **options)
    times = torch.zeros(rows, device=unet.device)
    if unet.device.type == "cuda":
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    unet(inputs, times, encoder_hidden_states=text, return_dict=False)
