"""How the pocket model was made, and how to make it again: `python -m inference.pocket.recipe`.

Stages, each resumable from its last checkpoint: data → vae → depth → latents → unet → export.
No part of the installed package.
"""
