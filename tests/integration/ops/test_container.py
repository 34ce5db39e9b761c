"""The container image: built on a fresh Debian, started as its own user on a read-only file system.

Needs root and Debian's debootstrap, buildah, podman and runc; `.ci/run` installs them. Run with
`pytest -m container`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("debootstrap", "buildah", "podman", "runc")
BASE, IMAGE = "localhost/redraw-test-base", "localhost/redraw-test"
HARDENED = (
    *("--runtime", "runc", "--network", "none", "--read-only", "--tmpfs", "/tmp"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
    # The defaults exceed what an unprivileged build machine may grant.
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"),
)

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.getuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS),
        reason=f"needs root and {', '.join(TOOLS)}",
    ),
]


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        pytest.fail(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built without a network from packages that this machine's pip provides."""
    folder = tmp_path_factory.mktemp("container")
    wheels = folder / "wheels"
    pip = (sys.executable, "-m", "pip")
    run(*pip, "download", "--quiet", "--dest", wheels, "--constraint", "constraints.txt", ".")
    run(*pip, "download", "--quiet", "--dest", wheels, "setuptools>=80", "wheel")
    system = folder / "root"
    packages = "python3,python3-venv,ca-certificates"
    run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", system)
    container = run("buildah", "from", "scratch").stdout.strip()
    run("buildah", "add", "--quiet", container, system, "/")
    run("buildah", "commit", "--quiet", container, BASE)
    run("buildah", "rm", container)
    run(
        *("buildah", "bud", "--isolation", "chroot", "--pull-never"),
        *("--file", "ops/Containerfile", "--ignorefile", ".containerignore"),
        *("--build-arg", f"BASE={BASE}"),
        *("--build-arg", "PIP_OPTIONS=--no-index --find-links /wheels"),
        *("--volume", f"{wheels}:/wheels:ro", "--tag", IMAGE, "."),
    )
    yield IMAGE
    run("buildah", "rmi", "--force", IMAGE, BASE, check=False)


def start(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    done = run("podman", "run", "--rm", *HARDENED, *options, image, *command, check=False)
    return done.stdout + done.stderr


def test_the_image_redraws_a_picture_as_its_own_user(image: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "inference/pocket/samples/fox.png", tmp_path)
    # The container's user is no user of this machine.
    tmp_path.chmod(0o777)
    said = start(
        image,
        *("render", "/pictures/fox.png", "a red apple", "--out", "/pictures/apple.png"),
        *("--model", "pocket", "--steps", "4"),
        options=("--volume", f"{tmp_path}:/pictures"),
    )
    made = tmp_path / "apple.png"
    assert made.exists(), said
    assert made.stat().st_uid == 10001


def test_without_a_token_the_image_says_what_to_do(image: str) -> None:
    said = start(image)
    assert "There is no DISCORD_TOKEN" in said
    assert "Traceback" not in said


def test_check_finds_its_data_folder_writable(image: str) -> None:
    assert "ok   storage: /data" in start(image, "check")


def test_the_root_file_system_and_the_program_cannot_be_changed(image: str) -> None:
    probe = "import pathlib; pathlib.Path('/opt/redraw/x').write_text('x')"
    done = run(
        *("podman", "run", "--rm", *HARDENED, "--entrypoint", "python", image, "-c", probe),
        check=False,
    )
    assert "Read-only file system" in done.stderr
