"""Worlds to act in: maze, room, ViZDoom, Sawyer, and any environment of a user's own."""
