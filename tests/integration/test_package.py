"""The distributions, built from the tracked files; the wheel in an environment of its own.

Run with `pytest -m package`. The dependencies are those of the environment that runs the tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests import licences

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "cogs", "inference")
# The training of the bundled model; it is no part of the program.
RECIPE = "inference/pocket/recipe/"

pytestmark = [pytest.mark.package, pytest.mark.timeout(300)]


def tracked(*paths: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *paths], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return listed.stdout.splitlines()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("package")
    for name in tracked():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    subprocess.run([*build, str(folder / "source")], check=True, capture_output=True)
    return folder / "dist"


@pytest.fixture(scope="module")
def python(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel and, by a path file, its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    [wheel] = distributions.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(interpreter)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return interpreter


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_wheel_has_every_file_of_the_program(distributions: Path) -> None:
    [wheel] = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith(PACKAGES)}
    wanted = {name for name in tracked(*PACKAGES) if not name.startswith(RECIPE)}
    # Documents, which the program does not read.
    assert packed == {name for name in wanted if not name.endswith(".md")}


def test_the_source_distribution_has_the_licence(distributions: Path) -> None:
    [source] = distributions.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_the_version_is_that_of_the_project(python: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = [str(python), "-m", "bot", "--version"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), check=True, capture_output=True, text=True
    )
    assert done.stdout == f"redraw {project['version']}\n"


@asynccontextmanager
async def demo(python: Path, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """The demo of the installed wheel, run in an empty folder; a client with its cookie."""
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", "bot", "demo"),
        cwd=folder,
        env={**environment(), "DEMO_PORT": "0", "DTYPE": "float32"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        link = None
        async with asyncio.timeout(120):
            while link is None:
                line = await process.stdout.readline()
                assert line, "it ended before it printed a link"
                link = re.search(rb"http://127\.0\.0\.1:\d+/\S+", line)
        url = link[0].decode()
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(url.partition("?")[0], cookie_jar=jar) as session:
            async with session.get(url) as response:
                assert response.status == 200
            yield session
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 60)
    assert process.returncode == 0


async def test_the_demo_draws_a_picture_outside_of_the_checkout(
    python: Path, tmp_path: Path
) -> None:
    async with demo(python, tmp_path) as page:
        async with page.get("/") as response:
            files = re.findall(r'(?:src|href)="(/page/[^"]+)"', await response.text())
        assert files
        for file in files:
            async with page.get(file) as response:
                assert response.status == 200, file
        async with page.get("/server") as response:
            server = await response.json()
        place = {
            "user": server["users"][0]["id"],
            "channel": server["channels"][0]["id"],
        }
        async with page.get(f"/samples/{server['samples'][0]}") as response:
            sample = await response.read()
        with aiohttp.MultipartWriter("form-data") as body:
            part = body.append(
                json.dumps({**place, "path": "img2img", "options": {"prompt": "a red apple"}})
            )
            part.set_content_disposition("form-data", name="fields")
            part = body.append(sample)
            part.set_content_disposition("form-data", name="image", filename="sample.png")
        async with page.post("/actions/slash", data=body) as response:
            assert response.status == 200, await response.text()
        async with asyncio.timeout(120), page.get("/events", params=place) as events:
            async for line in events.content:
                if b"a red apple (a picture redrawn by AI)" in line:
                    break
            else:
                pytest.fail("no picture came")


def test_the_licences_are_up_to_date() -> None:
    assert licences.FILE.read_text(encoding="utf-8") == licences.document(), "run `make licences`"
