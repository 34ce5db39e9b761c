"""Model families: what the engine needs to know about each kind of diffusion model."""
