"""Pictures of what the systems see and learn."""

from scalable_binding.plots.overlay import overlay

__all__ = ["overlay"]
