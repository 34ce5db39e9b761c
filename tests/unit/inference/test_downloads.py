"""Which files of a repository are downloaded, and errors that the fake hub cannot cause."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from inference import DiskFull, HubUnreachable, find_model
from inference.downloads import download_model
from inference.pipeline_files import select_files

INDEX = {
    "_class_name": "StableDiffusionXLImg2ImgPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "safety_checker": [None, None],
    "force_zeros_for_empty_prompt": True,
}
ALWAYS = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "text_encoder/config.json",
    "unet/config.json",
}
NOT_NEEDED = {
    "README.md",
    "LICENSE",
    "sd_xl_base_1.0.safetensors",
    "safety_checker/model.safetensors",
    "vae_1_0/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_flax_model.msgpack",
    "unet/model.onnx",
    "text_encoder/openvino_model.xml",
    "text_encoder/pytorch_model.fp16.bin",
}
TEXT_FULL = {"text_encoder/model.safetensors"}
TEXT_HALF = {"text_encoder/model.fp16.safetensors"}
UNET_FULL = {"unet/diffusion_pytorch_model.safetensors"}
UNET_HALF = {"unet/diffusion_pytorch_model.fp16.safetensors"}
SHARDS = {
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.json",
}
HALF_SHARDS = {
    "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors.index.json",
}
OLD_HALF_SHARDS = {
    "unet/diffusion_pytorch_model-00001-of-00002.fp16.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.fp16.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors.index.json",
}


@pytest.mark.parametrize(
    ("weights", "half", "selected"),
    [
        (TEXT_FULL | UNET_FULL | TEXT_HALF | UNET_HALF, False, TEXT_FULL | UNET_FULL),
        (TEXT_FULL | UNET_FULL | TEXT_HALF | UNET_HALF, True, TEXT_HALF | UNET_HALF),
        (TEXT_FULL | UNET_FULL | UNET_HALF, True, TEXT_FULL | UNET_HALF),
        (TEXT_FULL | UNET_FULL, True, TEXT_FULL | UNET_FULL),
        (TEXT_FULL | SHARDS | HALF_SHARDS, False, TEXT_FULL | SHARDS),
        (TEXT_FULL | SHARDS | HALF_SHARDS, True, TEXT_FULL | HALF_SHARDS),
        (TEXT_FULL | SHARDS | OLD_HALF_SHARDS, True, TEXT_FULL | OLD_HALF_SHARDS),
        (TEXT_FULL | SHARDS | OLD_HALF_SHARDS, False, TEXT_FULL | SHARDS),
    ],
)
def test_only_the_weights_for_the_precision_are_selected(
    weights: set[str], selected: set[str], *, half: bool
) -> None:
    names = ALWAYS | NOT_NEEDED | weights
    assert set(select_files(names, INDEX, half=half)) == ALWAYS | selected


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_becomes_full_during_the_download_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **options: object) -> str:
        if options.get("local_files_only"):
            raise FileNotFoundError
        raise OSError(number, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(DiskFull, match="The disk is full"):
        download_model(find_model("sd15"), tmp_path, half=False)


def test_an_error_that_the_client_does_not_document_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **options: object) -> str:
        if options.get("local_files_only"):
            raise FileNotFoundError
        raise RuntimeError("Data processing error: CAS service error\nand a second line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(HubUnreachable) as error:
        download_model(find_model("sd15"), tmp_path, half=False)
    assert str(error.value).endswith("was interrupted (Data processing error: CAS service error).")
