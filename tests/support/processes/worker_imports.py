"""Imports what a worker with a small model imports."""

import os

# As `inference.worker.main` sets them; the libraries read them when they are imported.
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_VERBOSITY"] = "error"

import inference.families.build
import inference.pipelines.random_tiny
import inference.worker.main
import tests.support.faults

__all__ = ["inference", "tests"]
