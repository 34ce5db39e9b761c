"""What `check` says about the device and the model's memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from bot.cli import check
from bot.cli.device import Device
from bot.config import Settings
from inference import find_model


async def device_lines(
    monkeypatch: pytest.MonkeyPatch, device: Device
) -> list[tuple[bool, bool, str]]:
    async def found(_: Settings) -> Device:
        return device

    monkeypatch.setattr(check, "find_device", found)
    findings = check._device(Settings(_env_file=None), [find_model("sd2-depth")])
    return [(each.good, each.fatal, each.text) async for each in findings]


@pytest.mark.parametrize(
    ("kind", "dtype", "memory", "verdict"),
    [
        ("cuda", "float16", 8.0, None),
        ("cuda", "float16", 4.0, (False, "sd2-depth needs 4.7 GiB of its memory: it runs slower")),
        ("cuda", "float32", 8.0, (False, "sd2-depth needs 9.4 GiB of its memory: it runs slower")),
        ("cuda", "float16", 2.0, (True, "sd2-depth needs 3.0 GiB of its memory")),
        ("cpu", "float32", 16.0, None),
        ("cpu", "float32", 4.0, (True, "sd2-depth needs 7.2 GiB of its memory")),
    ],
)
async def test_the_model_s_memory_is_compared_with_the_device_s(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    dtype: str,
    memory: float,
    verdict: tuple[bool, str] | None,
) -> None:
    first, *others = await device_lines(monkeypatch, Device(kind, dtype, memory, None))
    assert first[0]
    assert f"{kind} in {dtype}" in first[2]
    if verdict is None:
        assert others == []
    else:
        ((good, fatal, text),) = others
        assert (good, fatal) == (False, verdict[0])
        assert text.startswith(verdict[1])


async def test_a_gpu_that_is_not_used_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("cpu", "bfloat16", 32.0, "The RTX 3060 is not used, because …")
    _, note = await device_lines(monkeypatch, device)
    assert note == (False, False, "The RTX 3060 is not used, because …")


def test_a_missing_cache_folder_is_no_problem(tmp_path: Path) -> None:
    assert check._existing(tmp_path / "a" / "b") == tmp_path


def test_a_further_model_should_be_downloaded_before_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    settings = Settings(_env_file=None, data_dir=tmp_path, hf_hub_offline=False)
    small = replace(find_model("sd15"), parameters=1)
    default = check._model(settings, small, True)
    assert (default.good, default.fatal) == (True, True)
    further = check._model(settings, small, False)
    assert (further.good, further.fatal) == (False, False)
    assert "`python -m bot models download sd15`" in further.text
