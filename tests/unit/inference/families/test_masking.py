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
    depth = torch.zeros(1, 1, 64, 64)
    depth[..., 32:] = 10.0
    mask, flat = foreground(depth, (64, 64))
    row = mask[0, 0, 32].numpy()
    assert not bool(flat)
    assert (row[:28] == 0).all()
    assert (row[36:] == 1).all()
    assert (np.diff(row) >= 0).all()
    assert ((row > 0) & (row < 1)).sum() >= 2
