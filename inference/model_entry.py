"""The description of one model: source, licence, tasks, settings, defaults and limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inference.types import Option, Scheduler, Task

Size = tuple[int, int]

ALL_OPTIONS: frozenset[Option] = frozenset({"strength", "negative_prompt", "guidance"})
"""The settings of any pipeline."""

MASK: frozenset[Option] = frozenset({"mask"})
"""Of families that are stepped: see `inference.families.masking`."""

DEPTH: frozenset[Option] = MASK | {"part", "structure"}
"""Of models that are steered by a depth map, beside their other settings."""


TILED_FAMILIES = frozenset({"depth2img", "sd", "sdxl"})
"""The families that redraw pictures in tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeeds:
    """Free memory in GiB that one request at the model's `pixels` needs, with the weights.

    `gpu` is for half precision: the memory that torch reserves and CUDA's own. With less than that,
    the settings of `inference.pipelines.low_memory` are used. `gpu_low` is the allocated memory
    with these settings; with less than that, the model cannot run. For a model that has no such
    settings, both are the allocated memory and CUDA's own. `cpu` and `cpu_half` are for float32 and
    bfloat16 on a CPU. None is unknown.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraRepository:
    """A further repository that a model needs beside its own.

    `source` is a hub repository or a local folder. `revision` is a commit hash, a tag or a branch;
    None is the commit of the first download, which is remembered. `files` are the names of the
    needed files; empty is the configuration and the safetensors weights in the repository's root.
    """

    source: str
    licence: str
    revision: str | None = None
    files: tuple[str, ...] = ()

    @property
    def on_hub(self) -> bool:
        """Whether the files come from the model hub."""
        return not Path(self.source).is_dir()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model.

    `source` is a hub repository, a local `save_pretrained` folder, or empty for random weights
    that are built in code. `revision` is a commit hash, a tag or a branch of the repository; None
    is the commit of the first download, which is remembered. `pixels` is the image area that the
    model was trained at; both sides must be divisible by `multiple`. `sizes` are the (width,
    height) to which most pictures are fitted: the fewer there are, the more requests share a call
    of the model. A picture whose aspect ratio is not near one of them gets a size of its own.
    `scheduler` replaces the scheduler in the repository, unless None. `cpu_requests` is how many
    requests run at once on a CPU; one full-size request already uses all cores. `half_precision`
    is the precision in which the weights were published, which a GPU uses. `parameters` is the
    number of parameters of all components, counted from their configurations; None is unknown.
    `memory` was measured, see docs/benchmarks.md; None is unknown.

    `family` names the builder in `inference.families`; empty is decided by the pipeline's class
    when the model is loaded. `tasks` are what the model can do, `options` the settings of a request
    that it has: others are without effect. `max_references` is the number of pictures that a
    request to edit may have, the first one included. `commercial_use` is whether the
    licence permits it; None is unknown.

    The remaining fields are further repositories: `vae` and `tiny_vae` replace the VAE (the second
    one is an `AutoencoderTiny`), `lora` is merged into the weights, `control` is a ControlNet that
    is steered by a depth map, and `depth` estimates that map.
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
    half_precision: Literal["float16", "bfloat16"] = "float16"
    parameters: int | None = None
    memory: MemoryNeeds | None = None
    family: str = ""
    tasks: tuple[Task, ...] = ("img2img",)
    options: frozenset[Option] = ALL_OPTIONS
    max_references: int = 0
    commercial_use: bool | None = None
    vae: ExtraRepository | None = None
    tiny_vae: ExtraRepository | None = None
    lora: ExtraRepository | None = None
    control: ExtraRepository | None = None
    depth: ExtraRepository | None = None

    @property
    def on_hub(self) -> bool:
        """Whether the files come from the model hub."""
        return bool(self.source) and not Path(self.source).is_dir()

    def redraws_in_tiles(self, width: int, height: int) -> bool:
        """Whether the model redraws larger pictures in tiles of this size.

        Distilled models, which have no guidance, are left out: at the low strengths of such a
        request they take one step.
        """
        fits = (
            width % self.multiple == height % self.multiple == 0 and width * height <= self.pixels
        )
        able = self.family in TILED_FAMILIES and "img2img" in self.tasks
        return fits and able and {"strength", "guidance"} <= self.options

    @property
    def unused_components(self) -> frozenset[str]:
        """Components of the repository that are neither downloaded nor loaded: those that a further
        repository replaces, and the classifier of finished pictures, whose place the caller's own
        moderation takes."""
        replaced = {"vae"} if self.vae or self.tiny_vae else set()
        return frozenset({"safety_checker", *replaced})

    @property
    def extras(self) -> tuple[ExtraRepository, ...]:
        """The further repositories that the model needs."""
        parts = (self.vae, self.tiny_vae, self.lora, self.control, self.depth)
        return tuple(part for part in parts if part is not None)

    @property
    def repositories(self) -> tuple[ModelEntry | ExtraRepository, ...]:
        """All repositories that the model needs, its own first."""
        return (self, *self.extras)
