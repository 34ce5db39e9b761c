"""The training of the pocket model: `python -m inference.pocket.recipe`.

Each stage resumes from its last checkpoint: data → vae → depth → latents → text → unet → export.
The installed package does not contain this folder.
"""
