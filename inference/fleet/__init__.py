"""The engine in several replicas on a Ray Serve cluster, behind the same service protocol.

`RayService` supervises a child process, as `LocalService` does; the child is Ray's driver. The bot
itself never imports Ray: a driver that Ray ends, or that loses its cluster, is replaced like any
other worker process. Each replica is an actor that supervises its own worker process.

    bot process          driver process              replica actor (one per GPU)
    RayService ──pipe──► RayEngine ──Ray Serve──►    Replica ──pipe──► worker process, engine

Needs the extra `redraw[ray]`. docs/fleet.md describes how to operate it.
"""
