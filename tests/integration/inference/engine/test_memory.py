"""Out of memory in each phase of a request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inference.engine.transfers import PendingTransfer
from inference.errors import OutOfMemory
from inference.families.depth2img import Depth2ImgModel
from inference.worker.messages import Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    OUT_OF_MEMORY,
    array,
    failing,
    finish,
    new_engine,
    picture_of,
    relative,
    run_alone,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS


def test_out_of_memory_in_a_step_requeues_the_youngest_request(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n, scheduler="dpmpp_2m_karras") for n in range(6)]
    alone = {one.id: run_alone(model, one) for one in wanted}
    latents: dict[str, torch.Tensor] = {}
    decode = model.decode

    def keep(one: Any) -> PendingTransfer[bytes]:
        latents[one.request.id] = one.latents
        return decode(one)

    model.decode = keep  # type: ignore[method-assign]
    model._unet = failing(  # type: ignore[method-assign]
        model._unet, OUT_OF_MEMORY, lambda inputs, *_: len(inputs) > 6
    )
    engine, recorder = new_engine(model, row_limit=12)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, alone)
    assert not recorder.failures
    assert engine.policy.row_limit == 6
    assert all(relative(latents[id_], alone[id_]) <= 1e-4 for id_ in alone)


def test_out_of_memory_inside_a_scheduler_step_restarts_that_request(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n, scheduler="dpmpp_2m_karras") for n in range(3)]
    alone = {one.id: picture_of(model, one) for one in wanted}
    engine, recorder = new_engine(model, row_limit=6)
    for one in wanted:
        engine.post(Submit(one))
    for _ in range(4):
        engine.turn()
    middle = list(engine._jobs.values())[1].running.scheduler
    update = middle.dpm_solver_first_order_update
    failed: list[bool] = []

    def fail_once(*args: Any, **options: Any) -> Any:
        if not failed:
            failed.append(True)
            raise OUT_OF_MEMORY
        return update(*args, **options)

    for name in ("dpm_solver_first_order_update", "multistep_dpm_solver_second_order_update"):
        update = getattr(middle, name)
        setattr(middle, name, fail_once)
    finish(engine, recorder, alone)
    assert failed
    for id_, expected in alone.items():
        got = array(recorder.results[id_]).astype(int)
        assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("part", ["prepare", "_unet", "decode"])
def test_only_a_request_that_does_not_fit_alone_fails_with_out_of_memory(
    model: Depth2ImgModel, part: str
) -> None:
    def is_large(first: Any, *_: Any) -> bool:
        width = {
            "prepare": lambda: first.width // 8,
            "decode": lambda: first.latents.shape[3],
        }.get(part, lambda: first.shape[3])()
        return bool(width > 8)

    setattr(model, part, failing(getattr(model, part), OUT_OF_MEMORY, is_large))
    engine, recorder = new_engine(model, row_limit=8)
    ids = ["a", "b", "large", "c"]
    for id_ in ids:
        engine.post(Submit(request(id_, width=128 if id_ == "large" else 64)))
    finish(engine, recorder, ids)
    assert recorder.results.keys() == {"a", "b", "c"}
    assert isinstance(recorder.failures["large"], OutOfMemory)
    assert "too large" in str(recorder.failures["large"])
