"""Compares SPAN with Lanczos on photographs: how close to the original, and how long it takes.

    python -m tests.benchmarks.upscaler

The photographs are those of scikit-image, reduced to a quarter by a bicubic filter and enlarged
four times. Prints one line of JSON for each: the peak signal-to-noise ratios in dB, and SPAN's
seconds on the clock. The last line is the mean difference.
"""

from __future__ import annotations

import json
import time

import numpy as np
import skimage.data
from PIL import Image

from bot.images.compose import enlarged
from bot.images.picture import Picture
from bot.images.upscale import SCALE, upscale

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")


def psnr(made: Picture, wanted: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB."""
    shape = (made.height, made.width, 3)
    got = np.frombuffer(made.pixels, np.uint8).reshape(shape).astype(float)
    return float(10 * np.log10(255**2 / np.mean((got - np.asarray(wanted, dtype=float)) ** 2)))


def main() -> None:
    """Print the figures."""
    gains = []
    for name in PHOTOGRAPHS:
        whole = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        whole.thumbnail((768, 768), Image.Resampling.LANCZOS)
        whole = whole.crop((0, 0, whole.width // SCALE * SCALE, whole.height // SCALE * SCALE))
        small = whole.resize(
            (whole.width // SCALE, whole.height // SCALE), Image.Resampling.BICUBIC
        )
        picture = Picture(small.tobytes(), *small.size)
        began = time.perf_counter()
        made, method = upscale(picture, SCALE)
        seconds = time.perf_counter() - began
        assert method == "span", "install the extra `upscaler`"
        ours, plain = psnr(made, whole), psnr(enlarged(picture, SCALE), whole)
        gains.append(ours - plain)
        record = {"picture": name, "size": whole.size, "span": round(ours, 2)}
        print(json.dumps(record | {"lanczos": round(plain, 2), "seconds": round(seconds, 2)}))
    print(json.dumps({"mean gain": round(float(np.mean(gains)), 2)}))


if __name__ == "__main__":
    main()
