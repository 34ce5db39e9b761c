"""The compiled UNet: one compilation for all batches and sizes, and the same results."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_sd2, random_tiny
from inference.pipelines.compile import compile_unet
from tests.support.engines import LIBRARY_WARNINGS, mixed, prepare, relative

pytestmark = [LIBRARY_WARNINGS, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TINY_PIXELS = 64 * 64


@pytest.fixture(autouse=True)
def reset_compiler() -> Iterator[None]:
    """Each test starts and ends with nothing compiled."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch.compiler.set_stance("default")
    torch._dynamo.reset()


def graphs() -> int:
    """The number of compiled graphs."""
    return int(counters["stats"]["unique_graphs"])


def run(batch: list[Any], model: Depth2ImgModel) -> list[torch.Tensor]:
    """The final latents of requests of one size, stepped together."""
    while running := [one for one in batch if not one.finished]:
        model.predict(running)
    return [one.state.sample for one in batch]


@pytest.mark.slow
def test_stable_diffusion_2_is_compiled_once_for_every_batch_and_size() -> None:
    """The real architecture without weights: no graph breaks, and no compilation after the first
    calls. `make test` has the latter for the tiny architecture."""
    with torch.no_grad():
        pipe = random_sd2.build(torch.device("meta"), torch.float16)
        assert compile_unet(pipe, 512 * 512, backend="eager")
        # 4 transformer blocks and 12 ResNet blocks, for several rows and for a single one.
        assert graphs() == 32
        assert not counters["graph_break"]
        torch.compiler.set_stance("fail_on_recompile")
        for rows in (1, 3, 32):
            for height, width in ((64, 64), (80, 48), (56, 72), (40, 88)):
                options: Any = {"device": "meta", "dtype": torch.float16}
                pipe.unet(
                    torch.empty(rows, 5, height, width, **options),
                    torch.empty(rows, device="meta"),
                    encoder_hidden_states=torch.empty(rows, 77, 1024, **options),
                )


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++")
@pytest.mark.parametrize(
    ("backend", "resnets"),
    [
        ("aot_eager", False),
        pytest.param("aot_eager", True, marks=pytest.mark.slow),
        pytest.param("inductor", False, marks=pytest.mark.slow),
    ],
)
def test_compiled_results_equal_eager_results(backend: str, resnets: bool) -> None:
    """The ResNet blocks without code generation, which takes minutes on a CPU."""
    model = Depth2ImgModel(random_tiny.build())
    batches = {
        size: mixed(count, seed=count, sizes=[size])
        for size, count in {(64, 64): 1, (128, 64): 4, (64, 192): 2}.items()
    }
    eager = {
        size: run([prepare(model, r) for r in batch], model) for size, batch in batches.items()
    }
    assert compile_unet(model.pipe, TINY_PIXELS, backend=backend, resnets=resnets)
    assert graphs() > 0
    torch.compiler.set_stance("fail_on_recompile")
    for size, batch in batches.items():
        compiled = run([prepare(model, r) for r in batch], model)
        for got, wanted in zip(compiled, eager[size], strict=True):
            assert relative(got, wanted) <= 1e-4


@pytest.mark.parametrize(
    ("options", "compiled"),
    [({"backend": "no such compiler"}, False), ({"seconds": 0.0, "backend": "eager"}, True)],
)
def test_without_a_compiler_or_time_to_compile_the_model_runs_eagerly(
    options: dict[str, Any], compiled: bool
) -> None:
    model = Depth2ImgModel(random_tiny.build())
    wanted = mixed(2, seed=1)
    eager = run([prepare(model, one) for one in wanted], model)
    assert compile_unet(model.pipe, TINY_PIXELS, **options) is compiled
    late = run([prepare(model, one) for one in wanted], model)
    assert graphs() == 0
    assert all(torch.equal(a, b) for a, b in zip(eager, late, strict=True))
