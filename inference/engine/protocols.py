"""The interfaces between the step loop and the model families. Imports no torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

from inference.types import ImageRequest, Preview

T_co = TypeVar("T_co", covariant=True)


class Transfer(Protocol[T_co]):
    """A value that is being copied from the device to the host."""

    @property
    def ready(self) -> bool:
        """Whether `result` returns without waiting."""
        ...

    def result(self) -> T_co:
        """The value; waits for the copy if necessary."""
        ...


class RunningRequest(Protocol):
    """The state of a prepared request, as far as the step loop needs it."""

    @property
    def request(self) -> ImageRequest:
        """The request as it was submitted."""
        ...

    @property
    def step(self) -> int:
        """How many steps have been taken. A step counts once for each tile that is predicted."""
        ...

    @property
    def total_steps(self) -> int:
        """How many steps the request takes: those of its schedule, times its tiles."""
        ...

    @property
    def must_restart(self) -> bool:
        """Whether an error left the state unusable, so that only a new preparation helps."""
        ...

    @property
    def ignored_prompt(self) -> str:
        """The end of the prompt that the text encoder's window had no room for."""
        ...


InputsT = TypeVar("InputsT")
RunningT = TypeVar("RunningT", bound=RunningRequest)


class StepModel(Protocol[InputsT, RunningT]):
    """A model family whose requests are stepped by the loop.

    `InputsT` is what the host computes of a request, `RunningT` the state of a prepared request.
    Any exception fails the one request that it concerns, except out of memory, after which the loop
    frees memory and tries again, and a device fault, which ends the loop.
    """

    def batch_key(self, request: ImageRequest) -> Hashable:
        """Requests with equal keys may share a denoiser call."""
        ...

    def rows(self, request: ImageRequest) -> int:
        """How many rows of a denoiser call the request, or each of its tiles, needs."""
        ...

    def row_tokens(self, request: ImageRequest) -> int:
        """The tokens of each row, to which its memory is proportional; 1 for a family whose rows
        count alike."""
        ...

    def load_inputs(self, request: ImageRequest) -> InputsT:
        """The host's part of the preparation. Called in another thread than all else, and never
        touches the device."""
        ...

    def encode_tiles(self, inputs: InputsT, number: int) -> int:
        """Encode up to so many further tiles of a request in tiles; return how many are left.

        The first part of the preparation of such a request. The loop spreads it over several turns,
        so that other requests take steps in between.
        """
        ...

    def prepare(self, batch: Sequence[InputsT]) -> Sequence[RunningT]:
        """The device's part of the preparation, for several requests of any batch keys. Encodes the
        tiles that are left."""
        ...

    def predict(self, batch: Sequence[RunningT], tiles: Sequence[int] = ()) -> None:
        """Take one step of every request in the batch. All of them have the same batch key.

        Of a request in tiles, `tiles` is the number of tiles to predict, in the batch's order; its
        step is taken with the last tile. Without `tiles`, every request takes its whole step.

        If it raises, a request has either predicted its tiles, not predicted them, or
        `must_restart`.
        """
        ...

    def decode_tiles(self, running: RunningT, number: int) -> int:
        """Decode up to so many further tiles of a finished request; return how many are left."""
        ...

    def decode(self, running: RunningT) -> Transfer[bytes]:
        """The finished picture as RGB bytes, row-major. Decodes the tiles that are left."""
        ...

    def preview(self, running: RunningT) -> Transfer[Preview]:
        """A small picture of a request that is still running."""
        ...

    def extra_outputs(self, running: RunningT) -> Mapping[str, Transfer[bytes]]:
        """The further outputs that the request asks for, by the result's field name."""
        ...


class WithoutTiles:
    """The part of `StepModel` about tiles, for a family that refuses requests in tiles."""

    def encode_tiles(self, inputs: object, number: int) -> int:
        """0: no tile is left."""
        return 0

    def decode_tiles(self, running: object, number: int) -> int:
        """0: no tile is left."""
        return 0
