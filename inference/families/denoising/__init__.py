"""Running requests of the families that denoise latents: their rows in a call, their decoding."""
