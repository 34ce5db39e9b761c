"""What the sandbox does where the system has no limits or no filter."""

from __future__ import annotations

import logging
import resource
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bot.intake import Intake, IntakeLimits
from bot.intake.sandbox import pool, privileges, sandbox_main
from tests.support.intake.pictures import SMALL, encoded, quarters


@pytest.mark.parametrize("error", [ValueError("not supported"), OSError("not supported")])
def test_a_system_without_memory_limits_is_not_limited(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As macOS, which defines RLIMIT_AS without support."""

    def unsupported(_kind: int, _limits: tuple[int, int]) -> None:
        raise error

    monkeypatch.setattr(resource, "setrlimit", unsupported)
    assert privileges._limit_resources(2**30) is False


def test_a_system_without_the_module_for_limits_is_not_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert privileges._limit_resources(2**30) is False
    sandbox_main._allow_cpu_time()


def test_a_kernel_without_seccomp_is_not_filtered() -> None:
    class Filter:
        def __init__(self, _default: object) -> None:
            self.rules = 0

        def add_rule(self, *_: object) -> None:
            self.rules += 1

        def load(self) -> None:
            assert self.rules
            raise OSError("no seccomp")

    module: Any = SimpleNamespace(
        SyscallFilter=Filter,
        ERRNO=lambda number: number,
        Arg=lambda *values: values,
        ALLOW=0,
        EQ=0,
        MASKED_EQ=1,
    )
    assert privileges._filter_system_calls(module) is False


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_memory_is_hidden_on_linux_only(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert privileges.hide_memory() is False


async def test_without_limits_and_filter_pictures_are_decoded_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = pool._COMMAND[2].replace(
        "from bot.intake.sandbox.sandbox_main import main",
        "sys.modules.update(resource=None, pyseccomp=None); "
        "from bot.intake.sandbox.sandbox_main import main",
    )
    assert code != pool._COMMAND[2]
    monkeypatch.setattr(pool, "_COMMAND", ("-I", "-c", code, *pool._COMMAND[3:]))
    with caplog.at_level(logging.WARNING):
        async with Intake(IntakeLimits(decode_seconds=60)) as intake:
            picture = await intake.from_bytes(encoded(quarters(), "PNG"), **SMALL)
    assert len(picture.pixels) == 3 * picture.width * picture.height
    assert {"memory limits" in message for message in caplog.messages} == {True, False}
    assert any("no seccomp" in message for message in caplog.messages)
