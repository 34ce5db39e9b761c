"""Downloads of models from the Hugging Face hub: which files, which commit, progress, errors.

Imports no torch. `huggingface_hub` is imported in the functions, because it reads its environment
variables (`HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_ENDPOINT`) when it is imported, and because
the import takes a third of a second.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.download_counter import DownloadCounter
from inference.errors import (
    DiskFull,
    HubUnreachable,
    InvalidModel,
    ModelGated,
    ModelNotOnHub,
    ModelUnavailable,
)
from inference.model_entry import ModelEntry
from inference.pipeline_files import MODEL_INDEX, select_files
from inference.service import DownloadProgress

log = logging.getLogger(__name__)

# In the state folder: repository → the commit of its first download, which is used from then on.
REVISIONS = "revisions.json"
# The hub's client does not reuse partial files of an earlier process. One that has not grown for so
# long belongs to no running download.
STALE_SECONDS = 600.0

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model whose files are on this machine. `size` is the sum of the files in bytes."""

    folder: Path
    size: int


def hub_cache() -> Path:
    """The folder of the hub's cache, as its environment variables set it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def find_local_model(entry: ModelEntry, state_dir: Path, *, half: bool) -> LocalModel | None:
    """The model of the hub if all its files are in the cache; does not use the network.

    `state_dir` is the folder that remembers commits; `half` selects the variant fp16.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    with contextlib.suppress(OSError, ValueError, InvalidModel, CachedRepoTreeNotFoundError):
        folder = Path(
            snapshot_download(
                entry.source,
                revision=_revision(entry, state_dir),
                allow_patterns=[MODEL_INDEX],
                local_files_only=True,
            )
        )
        sizes = _sizes(entry.source, folder, half=half)
        if all(_is_whole(folder / name, size) for name, size in sizes.items()):
            return LocalModel(folder=folder, size=sum(sizes.values()))
    return None


def remove_model(entry: ModelEntry, state_dir: Path) -> int:
    """Delete the model's repository from the hub's cache; the number of bytes freed."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return 0
    freed = 0
    for repository in cache.repos:
        if repository.repo_id == entry.source and repository.repo_type == "model":
            commits = [revision.commit_hash for revision in repository.revisions]
            strategy = cache.delete_revisions(*commits)
            freed += strategy.expected_freed_size
            strategy.execute()
    revisions = _read_revisions(state_dir)
    if revisions.pop(_key(entry), None) is not None:
        _write_revisions(state_dir, revisions)
    return freed


def download_model(
    entry: ModelEntry,
    state_dir: Path,
    *,
    half: bool,
    report: Callable[[DownloadProgress], None] | None = None,
) -> Path:
    """The folder with the model's files in the hub's cache; missing files are downloaded.

    The repository's commit is remembered in `state_dir` and used from then on. With `half`, the
    variant fp16 of each component is taken where it exists. A file whose size is wrong is
    downloaded again. `report` is called from several threads, about twice a second. If all files
    are there, the network is not used.

    Raises:
        ModelNotOnHub, ModelGated, HubUnreachable, DiskFull, InvalidModel: see `inference.errors`.
    """
    from huggingface_hub import snapshot_download

    if (local := find_local_model(entry, state_dir, half=half)) is not None:
        return local.folder
    with _hub_errors(entry):
        revision = _revision(entry, state_dir)
        folder = Path(
            snapshot_download(
                entry.source,
                revision=revision,
                allow_patterns=[MODEL_INDEX],
                tqdm_class=DownloadCounter(1, 0, None).bar(),
            )
        )
        # Files of a snapshot are in a folder that has the commit's name.
        commit = folder.name
        sizes = _sizes(entry.source, folder, half=half)
        _remove_damaged(folder, sizes)
        missing = {name: size for name, size in sizes.items() if not (folder / name).is_file()}
        _check_space(entry, folder, sum(missing.values()))
        log.info("downloading %s at commit %s", entry.source, commit)
        progress = DownloadCounter(len(missing), sum(missing.values()), report)
        snapshot_download(
            entry.source, revision=commit, allow_patterns=list(missing), tqdm_class=progress.bar()
        )
    if _COMMIT.fullmatch(entry.revision or "") is None:
        _write_revisions(state_dir, {**_read_revisions(state_dir), _key(entry): commit})
    return folder


@contextlib.contextmanager
def _hub_errors(entry: ModelEntry) -> Iterator[None]:
    from huggingface_hub import errors

    name = entry.source
    try:
        yield
    except ModelUnavailable:
        raise
    except errors.GatedRepoError as error:
        raise ModelGated(
            f"{name} is gated: its terms must be accepted on its page, and an access token is "
            "needed."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotOnHub(f"{name} has no revision {entry.revision}.") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotOnHub(f"The model hub has no repository {name}, or it is private.") from error
    except errors.LocalEntryNotFoundError as error:
        raise HubUnreachable(
            f"{name} has not been downloaded completely, and the model hub cannot be reached."
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"The disk is full: there is no room to download {name}.") from error
        # The client raises errors of its HTTP library, which it does not document.
        log.warning("the download of %s failed", name, exc_info=True)
        line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise HubUnreachable(f"The download of {name} was interrupted ({line}).") from error


def _sizes(repository: str, folder: Path, *, half: bool) -> dict[str, int]:
    """File → size in bytes, for the files that the pipeline needs."""
    from huggingface_hub import get_cached_repo_tree

    try:
        index = json.loads((folder / MODEL_INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidModel(f"{repository} has no {MODEL_INDEX}: it is not a pipeline.") from error
    except ValueError as error:
        raise InvalidModel(f"{repository} has a damaged {MODEL_INDEX}.") from error
    tree = get_cached_repo_tree(repository, revision=folder.name)
    sizes = {file.path: file.size for file in tree}
    return {name: sizes[name] for name in select_files(sizes, index, half=half)}


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _remove_damaged(folder: Path, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        path = folder / name
        if path.is_file() and not _is_whole(path, size):
            log.warning("%s is damaged and is downloaded again", path)
            path.resolve().unlink()
            path.unlink(missing_ok=True)
    for path in (folder.parents[1] / "blobs").glob("*.incomplete"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)


def _check_space(entry: ModelEntry, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            f"{entry.source} needs {needed / 1e9:.1f} GB in {folder.parents[2]}, where only "
            f"{free / 1e9:.1f} GB are free."
        )


def _key(entry: ModelEntry) -> str:
    return f"{entry.source}@{entry.revision}" if entry.revision else entry.source


def _revision(entry: ModelEntry, state_dir: Path) -> str | None:
    """The remembered commit, else the entry's revision; None is the repository's main branch."""
    return _read_revisions(state_dir).get(_key(entry)) or entry.revision


def _read_revisions(state_dir: Path) -> dict[str, str]:
    path = state_dir / REVISIONS
    revisions: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return revisions


def _write_revisions(state_dir: Path, revisions: Mapping[str, str]) -> None:
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / REVISIONS
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(revisions, indent=2))
    part.replace(path)
