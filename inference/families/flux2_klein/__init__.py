"""The family of `Flux2KleinPipeline`: editing by instruction with reference pictures, and
text-to-image (Black Forest Labs, FLUX.2 klein)."""

from inference.families.flux2_klein.model import Flux2KleinModel

__all__ = ["Flux2KleinModel"]
