"""Diffusion around any denoiser: noise schedules, targets, samplers. No network is known here."""
