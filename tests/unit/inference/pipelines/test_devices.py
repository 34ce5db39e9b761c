"""Device and precision, on machines that this one is not."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

from inference import DeviceNotFound
from inference.pipelines import devices

CPU = torch.device("cpu")


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose NVIDIA driver reports a GPU."""
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 3060'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("nvidia_smi")
def test_auto_says_that_torch_is_a_cpu_build(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert devices.choose_device("auto") == CPU
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "RTX 3060 is not used" in record.message
    assert "built without CUDA: install the CUDA build" in record.message


@pytest.mark.usefixtures("nvidia_smi")
def test_auto_says_that_the_driver_is_too_old(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nx")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", init)
    assert devices.choose_device("auto") == CPU
    assert "too old (found version 11040)): update the NVIDIA driver" in caplog.text


@pytest.mark.usefixtures("nvidia_smi")
def test_auto_says_that_the_gpu_is_hidden(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.choose_device("auto") == CPU
    assert "CUDA_VISIBLE_DEVICES is '-1'" in caplog.text


@pytest.mark.usefixtures("nvidia_smi")
def test_the_same_reason_is_the_error_when_cuda_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceNotFound, match="RTX 3060 is not used"):
        devices.choose_device("cuda")


def test_without_a_gpu_auto_takes_the_cpu_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.choose_device("auto") == CPU
    assert caplog.records == []


def test_a_numbered_device_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceNotFound, match="no device cuda:1"):
        devices.choose_device("cuda:1")


def test_a_numbered_device_is_the_one_that_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.choose_device("cuda:1") == torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_f": True}, torch.float32),
        ({"architecture": "arm64", "neon": True}, torch.float32),
    ],
)
def test_on_a_cpu_the_instructions_of_the_processor_decide_the_precision(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert {devices.choose_dtype("auto", CPU) for _ in range(20)} == {dtype}


def test_the_number_of_cores_is_known_without_sched_getaffinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS and Windows do not have it."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert devices.cpu_count() == os.cpu_count()


def test_the_memory_is_known_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not have it."""
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert 0 < devices.available_memory(CPU) <= devices.total_memory(CPU)
