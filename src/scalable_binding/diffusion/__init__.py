"""Diffusion for any denoiser: noise schedules, prediction targets, samplers, guidance."""
