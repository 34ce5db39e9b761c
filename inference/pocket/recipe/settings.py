"""The sizes and durations of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a training. The minutes limit each stage."""

    cache: Path
    out: Path
    # A pipeline folder whose VAE and depth estimator are the start of the training; None: random.
    start: Path | None = None
    # Side of the images that the autoencoder and the depth estimator are trained on.
    size: int = 256
    vae_channels: tuple[int, ...] = (24, 48, 96, 96)
    latent_channels: int = 4
    unet_channels: tuple[int, ...] = (64, 112, 192)
    text_width: int = 192
    text_layers: int = 2
    depth_width: int = 128
    depth_layers: int = 4
    crop: int = 64
    vae_batch: int = 16
    unet_batch: int = 32
    pictures: int = 10_000
    small_pictures: int = 20_000
    vae_minutes: float = 24.0
    depth_minutes: float = 4.0
    text_minutes: float = 3.0
    unet_small_minutes: float = 27.0
    unet_minutes: float = 34.0
    seed: int = 0
    threads: int = 0
    compiled: bool = False

    @property
    def native(self) -> int:
        """The side of the images that the UNet is trained on last."""
        return self.size * 3 // 4

    @property
    def downsampling(self) -> int:
        """Pixels per latent, along one side."""
        return int(2 ** (len(self.vae_channels) - 1))
