"""The Makefile: which build of torch `make demo` installs, and what it says about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def dry_run(folder: Path, *, system: str, gpu: bool) -> str:
    """The commands of `make demo` in a fresh clone on a machine of this kind."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    programs = folder / "programs"
    programs.mkdir()
    (programs / "uname").write_text(f"#!/bin/sh\necho {system}\n")
    if gpu:
        (programs / "nvidia-smi").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    return subprocess.run(
        ["make", "--dry-run", "demo"],
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    ("system", "gpu", "cpu_build"),
    [("Linux", False, True), ("Linux", True, False), ("Darwin", False, False)],
)
def test_demo_installs_the_cpu_build_of_torch_where_there_is_no_gpu(
    tmp_path: Path, system: str, gpu: bool, cpu_build: bool
) -> None:
    if shutil.which("nvidia-smi", path="/usr/bin:/bin"):
        pytest.skip("this machine has an NVIDIA GPU")
    commands = dry_run(tmp_path, system=system, gpu=gpu)
    assert (CPU_INDEX in commands) == cpu_build
    assert "to download" in commands
    assert commands.index("to download") < commands.index("pip install")
