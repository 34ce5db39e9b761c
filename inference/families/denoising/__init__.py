"""Running requests of the families that denoise latents, and their rows in a denoiser call."""
