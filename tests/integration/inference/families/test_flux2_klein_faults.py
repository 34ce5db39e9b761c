"""FLUX.2 klein: an error in a step leaves every request of the call as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.families.flux2_klein.masking import KeptTokens
from tests.integration.inference.families.klein import klein_request, latents_of, tiny_klein
from tests.support.engines import OUT_OF_MEMORY, prepare


@pytest.mark.parametrize("failing_blend", range(4))
def test_out_of_memory_at_a_mask_takes_no_part_of_the_step(
    monkeypatch: pytest.MonkeyPatch, failing_blend: int
) -> None:
    model = tiny_klein(distilled=True)
    mask = (bytes(32) + b"\xff" * 32) * 64
    wanted = [
        klein_request(id_, pictures=1, size=(64, 64), mask=mask, seed=seed)
        for seed, id_ in enumerate("ab")
    ]
    expected, batch = ([prepare(model, one) for one in wanted] for _ in range(2))
    model.predict(expected)
    blend, calls = KeptTokens.blend, iter(range(100))

    def fail_once(*args: Any) -> torch.Tensor:
        if next(calls) == failing_blend:
            raise OUT_OF_MEMORY
        return blend(*args)

    monkeypatch.setattr(KeptTokens, "blend", fail_once)
    with pytest.raises(torch.OutOfMemoryError):
        model.predict(batch)
    model.predict([one for one in batch if not one.step])
    for one, same in zip(batch, expected, strict=True):
        assert one.step == same.step
        assert torch.equal(latents_of(model, one), latents_of(model, same))
