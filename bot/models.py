"""The models that the operator has configured, and their lookup by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.errors import RequestError
from bot.jobs.job import Job
from bot.jobs.options import options_of
from inference import ModelEntry, Option, Task, find_models


class ModelNotOffered(RequestError):
    """A request names a model that is not configured: a typed name, or that of an earlier job."""

    text = "The model {model} is not available here. Available models: {models}."


class TaskNotOffered(RequestError):
    """No configured model has the task: a button of an earlier job, or a mention."""

    text = "The model that runs here cannot do that."


class ModelLacksTask(RequestError):
    """The named model does not have the task, and others have it."""

    text = "The model {model} cannot do that. Models that can: {models}."


class ConfiguredModels:
    """The models of `MODELS`, in its order; the first one is the default."""

    def __init__(self, entries: Sequence[ModelEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    @classmethod
    def from_names(cls, names: Sequence[str]) -> ConfiguredModels:
        """The models of a setting.

        Raises:
            UnknownModel: a name is not that of a model, or is given twice.
        """
        return cls(find_models(names))

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def default(self) -> ModelEntry:
        """The model of a request that names none."""
        return next(iter(self))

    def find(self, name: str) -> ModelEntry | None:
        """The model of that name, the default for an empty name; None if it is not configured."""
        return self._entries.get(name) if name else self.default

    def get(self, name: str | None) -> ModelEntry:
        """The model of that name; the default without one.

        Raises:
            ModelNotOffered: it is not configured.
        """
        entry = self.find(name or "")
        if entry is None:
            raise ModelNotOffered(model=name, models=", ".join(self._entries))
        return entry

    def options_of(self, job: Job) -> frozenset[Option]:
        """The settings that had an effect on a job."""
        return options_of(job, self._entries.get(job.model))

    @property
    def tasks(self) -> frozenset[Task]:
        """The tasks that at least one of the models has."""
        return frozenset(task for entry in self for task in entry.tasks)

    def for_task(self, task: Task, name: str | None = None) -> ModelEntry:
        """The model of that name; without one, the first model that has the task.

        Raises:
            ModelNotOffered: it is not configured.
            ModelLacksTask: it does not have the task.
            TaskNotOffered: no model has it.
        """
        able = self.with_task(task)
        if not able:
            raise TaskNotOffered
        if not name:
            return able[0]
        entry = self.get(name)
        if entry not in able:
            raise ModelLacksTask(model=entry.name, models=", ".join(each.name for each in able))
        return entry

    def with_task(self, task: Task) -> list[ModelEntry]:
        """The models that have the task."""
        return [entry for entry in self if task in entry.tasks]
