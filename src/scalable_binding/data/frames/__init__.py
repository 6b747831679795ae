"""Frames: images and videos, wherever they lie, in and out."""
