"""Drops the privileges of the sandboxed process: memory, files, and nearly all system calls.

What remains is memory, threads, time, and reading and writing what is open already. The process
can open, delete or rename nothing, start no program, and neither signal nor read another process.
`hide_memory` is for the process that starts it.
"""

from __future__ import annotations

import ctypes
import errno
import sys
from types import ModuleType

# Memory, open descriptors, threads, time, and limits of this process itself.
_ALLOWED = (
    *("brk", "munmap", "mremap", "madvise"),
    *("read", "readv", "write", "writev", "close", "lseek", "fstat"),
    *("futex", "set_robust_list", "rseq", "gettid", "getpid", "exit", "exit_group"),
    *("sched_yield", "sched_getaffinity", "getcpu", "restart_syscall"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"),
    *("clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time"),
    *("getrandom", "getrusage", "sysinfo", "uname"),
)
_CLONE_THREAD = 0x00010000
_PR_SET_DUMPABLE = 4
_PROT_EXEC = 0x4


def hide_memory() -> bool:
    """Forbid other processes of this user to read this process's memory; whether that worked.

    Linux only. It also prevents core dumps, which would contain the bot's token.
    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def drop_privileges(memory: int) -> dict[str, bool]:
    """Limit this process for good; which kinds of limits the system supports.

    `memory` is the address space in bytes.
    """
    # Its library is looked for before the limits forbid it.
    seccomp = _seccomp()
    return {"limited": _limit_resources(memory), "filtered": _filter_system_calls(seccomp)}


def _limit_resources(memory: int) -> bool:
    try:
        import resource
    except ImportError:
        return False
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (OSError, ValueError):  # macOS defines it without support
        return False
    # The child needs to open no file, socket or pipe from here on.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return True


def _seccomp() -> ModuleType | None:
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError, AttributeError):
        # Not Linux, or libseccomp is not installed.
        return None
    module: ModuleType = pyseccomp
    return module


def _filter_system_calls(seccomp: ModuleType | None) -> bool:
    """Allow the calls that decoding needs; every other one fails with EPERM.

    libseccomp also sets `no_new_privs` and kills the process if it calls by another architecture.
    """
    if seccomp is None:
        return False
    try:
        rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
        for name in _ALLOWED:
            rules.add_rule(seccomp.ALLOW, name)
        # Threads, but no processes. The flags of clone3 cannot be examined; libc falls back.
        is_thread = seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
        rules.add_rule(seccomp.ALLOW, "clone", is_thread)
        rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
        # No memory becomes executable.
        not_executable = seccomp.Arg(2, seccomp.MASKED_EQ, _PROT_EXEC, 0)
        rules.add_rule(seccomp.ALLOW, "mmap", not_executable)
        rules.add_rule(seccomp.ALLOW, "mprotect", not_executable)
        # Its own limits only: the first argument names a process, 0 itself.
        rules.add_rule(seccomp.ALLOW, "prlimit64", seccomp.Arg(0, seccomp.EQ, 0))
        rules.load()
    except OSError:  # a kernel without seccomp
        return False
    return True
