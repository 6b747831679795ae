"""Recurrent interface networks: diffusion whose compute goes where it is needed (chapter 2)."""
