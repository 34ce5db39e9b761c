"""The batching policy with requests in tiles."""

from __future__ import annotations

from inference.engine.policy import BatchItem, BatchPolicy
from tests.support.requests import request


def test_a_tile_counts_as_a_request_to_prepare() -> None:
    policy = BatchPolicy(row_limit=64, request_limit=64, admission_limit=4)
    tiled = [BatchItem(request(f"t{n}"), "size", 2, tiles=9) for n in range(2)]
    for one in (*tiled, BatchItem(request("small"), "size", 2)):
        policy.add(one)
    assert policy.admit() == [tiled[0]]
    policy.start(tiled[0])
    assert policy.admit() == [tiled[1]]


def test_tiles_fill_the_rows_that_requests_leave() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=8, admission_limit=8)
    tiled = BatchItem(request("tiled"), "size", 2, tiles=9)
    small = BatchItem(request("small"), "size", 2)
    for one in (tiled, small):
        policy.add(one)
    for expected in (tiled, small):
        # Each tile is prepared apart: the second request waits for the next turn.
        assert policy.admit() == [expected]
        policy.start(expected)
    batch = policy.next_batch()
    assert (batch.count(tiled), batch.count(small)) == (3, 1)
    policy.tiles_predicted(tiled, 3)
    policy.tiles_predicted(small, 1)
    policy.finish(small)
    assert policy.next_batch() == [tiled] * 4
    # The step ends with the ninth tile: the next step depends on all of them.
    policy.tiles_predicted(tiled, 4)
    assert policy.next_batch() == [tiled] * 2
