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
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from inference.pipeline_files import MODEL_INDEX, select_files, select_root_files
from inference.pipeline_tasks import DESCRIPTION_FILES, cached_folder
from inference.revisions import Repository, forget_commits, remember_commit, revision_of
from inference.service import DownloadProgress

log = logging.getLogger(__name__)

# The hub's client does not reuse partial files of an earlier process. One that has not grown for so
# long belongs to no running download.
STALE_SECONDS = 600.0


Report = Callable[[str, DownloadProgress], None]
"""Called with the name of a repository and the progress of its download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model whose files are on this machine.

    `size` is the sum of the hub's files in bytes. `folders` maps each of its repositories to the
    folder with its files; `folder` is that of the pipeline.
    """

    folder: Path
    size: int
    folders: Mapping[str, Path]


def hub_cache() -> Path:
    """The folder of the hub's cache, as its environment variables set it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def find_local_model(entry: ModelEntry, state_dir: Path, *, half: bool) -> LocalModel | None:
    """The model if all files of all its repositories are here; does not use the network.

    `state_dir` is the folder that remembers commits; `half` selects the variant fp16.
    """
    folders: dict[str, Path] = {}
    total = 0
    for repository in entry.repositories:
        if not repository.on_hub:
            folders[repository.source] = Path(repository.source)
            continue
        if (found := _find_local(repository, state_dir, half=half)) is None:
            return None
        folders[repository.source], size = found
        total += size
    return LocalModel(folder=folders[entry.source], size=total, folders=folders)


def _find_local(repository: Repository, state_dir: Path, *, half: bool) -> tuple[Path, int] | None:
    """The folder and the size of a repository's files if all are in the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    with contextlib.suppress(OSError, ValueError, InvalidModel, CachedRepoTreeNotFoundError):
        folder = Path(
            snapshot_download(
                repository.source,
                revision=revision_of(repository, state_dir),
                allow_patterns=[_first_file(repository)],
                local_files_only=True,
            )
        )
        sizes = _sizes(repository, folder, half=half)
        if all(_is_whole(folder / name, size) for name, size in sizes.items()):
            return folder, sum(sizes.values())
    return None


def remove_model(entry: ModelEntry, state_dir: Path, others: Iterable[ModelEntry] = ()) -> int:
    """Delete the model's repositories from the hub's cache; the number of bytes freed.

    A repository is kept if one of the `others` needs it and is complete on this machine.
    """
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return 0
    needed = {
        repository.source
        for other in others
        if other.name != entry.name and _is_complete(other, state_dir)
        for repository in other.repositories
    }
    removed = {each.source: each for each in entry.repositories if each.source not in needed}
    freed = 0
    for cached in cache.repos:
        if cached.repo_id in removed and cached.repo_type == "model":
            commits = [revision.commit_hash for revision in cached.revisions]
            strategy = cache.delete_revisions(*commits)
            freed += strategy.expected_freed_size
            strategy.execute()
    forget_commits(state_dir, removed.values())
    return freed


def _is_complete(entry: ModelEntry, state_dir: Path) -> bool:
    return entry.on_hub and any(
        find_local_model(entry, state_dir, half=half) for half in (True, False)
    )


def download_model(
    entry: ModelEntry, state_dir: Path, *, half: bool, report: Report | None = None
) -> LocalModel:
    """The model's files in the hub's cache; missing files are downloaded.

    The commit of each repository is remembered in `state_dir` and used from then on. With `half`,
    the variant fp16 of each component is taken where it exists. A file whose size is wrong is
    downloaded again. `report` is called from several threads, about twice a second. If all files
    are there, the network is not used.

    Raises:
        ModelNotOnHub, ModelGated, HubUnreachable, DiskFull, InvalidModel: see `inference.errors`.
    """
    for repository in entry.repositories:
        if repository.on_hub and _find_local(repository, state_dir, half=half) is None:
            _download(repository, state_dir, half=half, report=report)
    local = find_local_model(entry, state_dir, half=half)
    assert local is not None, entry.name
    return local


def download_description(entry: ModelEntry, state_dir: Path) -> None:
    """Download the small files that tell the tasks and the settings of a repository without a
    catalogue entry; see `inference.pipeline_tasks.described`. Nothing if they are here.

    Raises:
        ModelNotOnHub, ModelGated, HubUnreachable, DiskFull: see `inference.errors`.
    """
    from huggingface_hub import snapshot_download

    if entry.on_hub and cached_folder(entry.source) is None:
        with _hub_errors(entry):
            snapshot_download(
                entry.source,
                revision=revision_of(entry, state_dir),
                allow_patterns=list(DESCRIPTION_FILES),
            )


def _download(
    repository: Repository, state_dir: Path, *, half: bool, report: Report | None
) -> None:
    from huggingface_hub import snapshot_download

    source = repository.source

    def report_progress(progress: DownloadProgress) -> None:
        if report is not None:
            report(source, progress)

    with _hub_errors(repository):
        folder = Path(
            snapshot_download(
                source,
                revision=revision_of(repository, state_dir),
                allow_patterns=[_first_file(repository)],
                tqdm_class=DownloadCounter(1, 0, None).bar(),
            )
        )
        # Files of a snapshot are in a folder that has the commit's name.
        commit = folder.name
        sizes = _sizes(repository, folder, half=half)
        _remove_damaged(folder, sizes)
        missing = {name: size for name, size in sizes.items() if not (folder / name).is_file()}
        _check_space(source, folder, sum(missing.values()))
        log.info("downloading %s at commit %s", source, commit)
        progress = DownloadCounter(len(missing), sum(missing.values()), report_progress)
        snapshot_download(
            source, revision=commit, allow_patterns=list(missing), tqdm_class=progress.bar()
        )
    remember_commit(state_dir, repository, commit)


@contextlib.contextmanager
def _hub_errors(repository: Repository) -> Iterator[None]:
    from huggingface_hub import errors

    name = repository.source
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
        raise ModelNotOnHub(f"{name} has no revision {repository.revision}.") from error
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


def _first_file(repository: Repository) -> str:
    """The file that says what else is needed. Repositories of a LoRA have none."""
    return MODEL_INDEX if isinstance(repository, ModelEntry) else "config.json"


def _sizes(repository: Repository, folder: Path, *, half: bool) -> dict[str, int]:
    """File → size in bytes, for the files that are needed."""
    from huggingface_hub import get_cached_repo_tree

    tree = get_cached_repo_tree(repository.source, revision=folder.name)
    sizes = {file.path: file.size for file in tree}
    if isinstance(repository, ModelEntry):
        index = _read_index(repository.source, folder)
        needed = select_files(sizes, index, half=half, skip=repository.unused_components)
    else:
        needed = list(repository.files) or select_root_files(sizes, half=half)
    if not needed or not all(name in sizes for name in needed):
        raise InvalidModel(f"{repository.source} does not have the files that are needed.")
    return {name: sizes[name] for name in needed}


def _read_index(repository: str, folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / MODEL_INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidModel(f"{repository} has no {MODEL_INDEX}: it is not a pipeline.") from error
    except ValueError as error:
        raise InvalidModel(f"{repository} has a damaged {MODEL_INDEX}.") from error
    return index


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


def _check_space(source: str, folder: Path, needed: int) -> None:
    # The folder of a snapshot without files does not exist yet.
    free = shutil.disk_usage(next(each for each in folder.parents if each.is_dir())).free
    if needed > free:
        raise DiskFull(
            f"{source} needs {needed / 1e9:.1f} GB in {folder.parents[2]}, where only "
            f"{free / 1e9:.1f} GB are free."
        )
