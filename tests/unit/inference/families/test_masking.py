"""How a depth map is divided into a foreground and a background."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from inference.families.masking import foreground, otsu_threshold


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_otsu_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.3, 0.08, 900), rng.normal(0.7, 0.1, 400)]).clip(0, 1)
    values[:2] = 0, 1
    expected = threshold_otsu(values, nbins=256)
    got = float(otsu_threshold(torch.tensor(values, dtype=torch.float32)))
    assert abs(got - expected) <= 2 / 256


def test_the_edge_of_a_part_is_soft_and_narrow() -> None:
    depth = torch.zeros(1, 1, 512, 512)
    depth[..., 256:] = 10.0
    mask, flat = foreground(depth, (512, 512))
    row = mask[0, 0, 256].numpy()
    assert not bool(flat)
    # Rounding moves the ends of the ramp by less than a grey level.
    is_grey = (row > 0.001) & (row < 0.999)
    assert is_grey.nonzero()[0].tolist() == list(range(256 - 8, 256 + 8))
    assert (np.diff(row) >= -1e-6).all()
