"""The benchmark: `python -m inference.bench`."""

import os

# Read when transformers is imported; it would warn about torchvision, which is not needed.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
