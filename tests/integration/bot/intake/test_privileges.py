"""A decoder that was taken over can do nothing but respond: tried on the real sandbox."""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bot.intake import Intake, IntakeLimits
from bot.intake.sandbox import pool, privileges
from tests.support.intake.pictures import SMALL, encoded, quarters
from tests.support.intake.processes import sandbox_children

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="seccomp is a part of Linux; the numbers of system calls are those of x86-64",
)

GENEROUS = IntakeLimits(decode_seconds=60)
CAP_SYS_PTRACE = 19

# Runs in the child in place of the decoder. It responds with a picture whose pixels are text.
HOSTILE = r"""
import ctypes, errno, json, mmap, os, signal, socket, sys, threading
sys.path.insert(0, sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
from bot.images.picture import Picture
from bot.intake.sandbox import sandbox_main

class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]

def system(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    return ctypes.get_errno() if result == -1 else 0

def python(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    except ValueError:
        return errno.EINVAL
    return 0

def hostile(data, **limits):
    task = json.loads(data)
    bot, victim, new = task["pid"], task["victim"].encode(), task["new"].encode()
    copy = ctypes.create_string_buffer(16)
    here = Part(ctypes.addressof(copy), 16)
    there = Part(task["address"], 16)
    local, remote = ctypes.byref(here), ctypes.byref(there)
    SYS = lambda number, *arguments: system("syscall", number, *arguments)
    attempts = {
        "process_vm_readv": lambda: system("process_vm_readv", bot, local, 1, remote, 1, 0),
        "process_vm_writev": lambda: system("process_vm_writev", bot, local, 1, remote, 1, 0),
        "ptrace": lambda: system("ptrace", 16, bot, 0, 0),
        "kill": lambda: system("kill", bot, signal.SIGUSR1),
        "kill 0": lambda: system("kill", bot, 0),
        "kill group": lambda: system("kill", 0, signal.SIGUSR1),
        "kill all": lambda: system("kill", -1, 0),
        "tgkill": lambda: SYS(234, bot, bot, signal.SIGUSR1),
        "rt_sigqueueinfo": lambda: SYS(129, bot, signal.SIGUSR1, local),
        "pidfd_open": lambda: SYS(434, bot, 0),
        "prlimit": lambda: system("prlimit", bot, 7, local, 0),
        "setpriority": lambda: system("setpriority", 0, bot, 19),
        "sched_setaffinity": lambda: system("sched_setaffinity", bot, 16, local),
        "kcmp": lambda: SYS(312, bot, bot, 0, 0, 0),
        "unlink": lambda: system("unlink", victim),
        "unlinkat": lambda: system("unlinkat", -100, victim, 0),
        "rename": lambda: system("rename", victim, new),
        "renameat2": lambda: SYS(316, -100, victim, -100, new, 0),
        "link": lambda: system("link", victim, new),
        "symlink": lambda: system("symlink", b"/etc/passwd", new),
        "chmod": lambda: system("chmod", victim, 0o777),
        "chown": lambda: system("chown", victim, 1, 1),
        "truncate": lambda: system("truncate", victim, 0),
        "utime": lambda: system("utime", victim, 0),
        "setxattr": lambda: system("setxattr", victim, b"user.a", b"b", 1, 0),
        "mkdir": lambda: system("mkdir", new, 0o700),
        "mknod": lambda: system("mknod", new, 0o10600, 0),
        "open": lambda: python(open, victim),
        "create": lambda: python(open, new, "w"),
        "openat2": lambda: SYS(437, -100, victim, local, 24),
        "stat": lambda: python(os.stat, victim),
        "access": lambda: system("access", victim, 0),
        "readlink": lambda: system("readlink", b"/proc/self/exe", copy, 16),
        "chdir": lambda: system("chdir", b"/"),
        "chroot": lambda: system("chroot", b"/"),
        "mount": lambda: system("mount", b"none", b"/mnt", b"tmpfs", 0, 0),
        "socket": lambda: python(socket.socket),
        "socketpair": lambda: python(socket.socketpair),
        "pipe": lambda: python(os.pipe),
        "dup": lambda: system("dup", 0),
        "memfd_create": lambda: system("memfd_create", b"x", 0),
        "io_uring_setup": lambda: SYS(425, 8, local),
        "inotify_init": lambda: system("inotify_init"),
        "eventfd": lambda: system("eventfd", 0, 0),
        "userfaultfd": lambda: SYS(323, 0),
        "perf_event_open": lambda: SYS(298, local, bot, -1, -1, 0),
        "bpf": lambda: SYS(321, 0, local, 16),
        "keyctl": lambda: SYS(250, 0, -3, 0),
        "shmget": lambda: system("shmget", 1, 4096, 0o1600),
        "fork": lambda: python(os.fork),
        "vfork": lambda: SYS(58),
        "execve": lambda: system("execve", b"/bin/true", 0, 0),
        "setuid": lambda: system("setuid", 0),
        "setsid": lambda: system("setsid"),
        "setpgid": lambda: system("setpgid", 0, bot),
        "unshare": lambda: system("unshare", 0x10000000),
        "personality": lambda: system("personality", 0x0040000),
        "prctl dumpable": lambda: system("prctl", 4, 1, 0, 0, 0),
        "ioctl": lambda: system("ioctl", 0, 0x5412, copy),
        "executable memory": lambda: python(lambda: mmap.mmap(-1, 4096, prot=7)),
        "mprotect": lambda: system("mprotect", ctypes.addressof(copy) & ~4095, 4096, 7),
        "seccomp": lambda: SYS(317, 1, 0, 0),
    }
    results = {name: attempts[name]() for name in task["only"] or attempts}
    started = []
    thread = threading.Thread(target=started.append, args=(1,))
    thread.start()
    thread.join()
    results["thread"] = 0 if started else errno.EPERM
    results["secret"] = copy.raw.decode("latin-1")
    text = json.dumps(results).encode()
    return Picture(text.ljust(3 * 64 * 64), 64, 64)

sandbox_main.decode = hostile
sandbox_main.main()
"""


@pytest.fixture
def secret() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(b"the bot's token!")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("a user's picture")
    return path


def text_of(path: Path) -> str:
    return path.read_text()


def mode_of(path: Path) -> int:
    return path.stat().st_mode


def files_of(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def tried(
    secret: ctypes.Array[ctypes.c_char],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str = HOSTILE,
    only: tuple[str, ...] = (),
) -> dict[str, int | str]:
    """What each call of the hostile child gave: an errno, or 0 where it succeeded."""
    monkeypatch.setattr(pool, "_COMMAND", ("-I", "-c", code, str(pool._ROOT)))
    task = {
        "pid": os.getpid(),
        "victim": str(folder / "victim"),
        "new": str(folder / "new"),
        "address": ctypes.addressof(secret),
        "only": only,
    }
    async with Intake(GENEROUS) as intake:
        picture = await intake.from_bytes(json.dumps(task).encode(), **SMALL)
    results: dict[str, int | str] = json.loads(picture.pixels)
    return results


async def test_a_hostile_child_can_do_nothing(
    secret: ctypes.Array[ctypes.c_char],
    victim: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    mode = mode_of(victim)
    try:
        results = await tried(secret, tmp_path, monkeypatch)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert results.pop("secret") == "\0" * 16
    assert results.pop("thread") == 0
    assert len(results) > 55
    refused = {errno.EPERM, errno.EMFILE, errno.ENOSYS}
    assert {name: code for name, code in results.items() if code not in refused} == {}
    assert received == []
    assert (text_of(victim), mode_of(victim)) == ("a user's picture", mode)
    assert files_of(tmp_path) == ["victim"]


async def test_without_the_filter_the_same_child_reads_and_deletes(
    secret: ctypes.Array[ctypes.c_char],
    victim: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the calls above are refused by the filter, and not because they are wrong."""
    code = HOSTILE.replace(
        "sandbox_main.main()",
        "from bot.intake.sandbox import privileges\n"
        "privileges._filter_system_calls = lambda seccomp: False\n"
        "sandbox_main.main()",
    )
    only = ("process_vm_readv", "kill 0", "stat", "unlink")
    results = await tried(secret, tmp_path, monkeypatch, code, only)
    expected = dict.fromkeys(only, 0)
    if may_trace_its_parent():
        assert results["secret"] == "the bot's token!"
    else:
        expected["process_vm_readv"] = errno.EPERM
    assert {name: results[name] for name in only} == expected
    assert files_of(tmp_path) == []


def may_trace_its_parent() -> bool:
    """What https://docs.kernel.org/admin-guide/LSM/Yama.html says for this machine's setting."""
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    scope = int(yama.read_text()) if yama.exists() else 0
    capabilities = int(status_of(psutil.Process()).split("CapEff:")[1].split()[0], 16)
    return scope == 0 or (scope < 3 and bool(capabilities >> CAP_SYS_PTRACE & 1))


def status_of(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/status").read_text()


async def test_the_child_has_a_process_group_and_session_of_its_own() -> None:
    async with Intake(GENEROUS) as intake:
        await intake.from_bytes(encoded(quarters(), "PNG"), **SMALL)
        (child,) = sandbox_children()
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        assert os.getsid(child.pid) == child.pid
        status = status_of(child)
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status


async def test_a_system_without_seccomp_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = pool._COMMAND[2].replace(
        "from bot.intake.sandbox.sandbox_main import main",
        "from bot.intake.sandbox import privileges; privileges._seccomp = lambda: None; "
        "from bot.intake.sandbox.sandbox_main import main",
    )
    monkeypatch.setattr(pool, "_COMMAND", ("-I", "-c", code, *pool._COMMAND[3:]))
    monkeypatch.setattr(pool, "_TASKS_PER_CHILD", 1)
    async with Intake(GENEROUS) as intake:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                await intake.from_bytes(encoded(quarters(), "PNG"), **SMALL)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "no seccomp" in warnings[0]


def test_a_missing_library_is_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    assert privileges._seccomp() is None
    assert privileges._filter_system_calls(None) is False


def test_the_bot_hides_its_memory_before_it_opens_anything(tmp_path: Path) -> None:
    code = (
        "import asyncio, ctypes\n"
        "from bot.cli import run\n"
        "from bot.config import Settings\n"
        "def opened(settings):\n"
        "    print(ctypes.CDLL(None).prctl(3))  # PR_GET_DUMPABLE\n"
        "    raise SystemExit\n"
        "run.inference_service = opened\n"
        "print(ctypes.CDLL(None).prctl(3), flush=True)\n"
        "asyncio.run(run.run_bot(Settings(_env_file=None, discord_token='x')))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=pool._ROOT
    )
    assert ran.stdout.split() == ["1", "0"]
