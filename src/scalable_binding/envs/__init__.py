"""Worlds to act in: maze, room, ViZDoom, Sawyer, and any environment of a user's own.

Importing this package registers its environments with Gymnasium:
``gymnasium.make("scalable_binding.envs:Room-v0")``.
"""

import gymnasium

_SINGLE = "scalable_binding.envs.single"

for _name, _entry, _options in (
    ("Maze-v0", "make_maze", {}),
    ("Room-v0", "make_room", {}),
    ("VizdoomFixed-v0", "make_vizdoom", {"layout": "fixed"}),
    ("VizdoomRandom-v0", "make_vizdoom", {"layout": "random"}),
    ("Sawyer-v0", "make_sawyer", {}),
):
    gymnasium.register(
        _name, entry_point=f"{_SINGLE}:{_entry}", kwargs=_options, disable_env_checker=True
    )
