"""Mount namespaces, in which a test can mount small or read-only file systems."""

from __future__ import annotations

import shutil
import subprocess

import pytest

IN_MOUNT_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def _allowed() -> bool:
    """Linux only; some distributions forbid user namespaces to ordinary users."""
    if shutil.which("unshare") is None:
        return False
    mount = ("mount", "-t", "tmpfs", "none", "/mnt")
    return subprocess.run([*IN_MOUNT_NAMESPACE, *mount], capture_output=True).returncode == 0


needs_mount_namespace = pytest.mark.skipif(
    not _allowed(), reason="this system allows no mount namespaces"
)
