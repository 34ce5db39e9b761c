"""Imports what a worker with a small model imports."""

import gc
import os

# As `inference.worker.main` sets them; the libraries read them when they are imported.
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_VERBOSITY"] = "error"

import inference.families.build
import inference.pipelines.random_tiny
import inference.pool.build
import inference.worker.main
import tests.support.faults

# The pool collects garbage at each loading of a model. Without this, the forked process would look
# at all objects of the libraries each time, and copy the memory in which they are.
gc.collect()
gc.freeze()

__all__ = ["inference", "tests"]
