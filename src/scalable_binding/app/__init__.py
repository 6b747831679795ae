"""Interactive video labeling: a session object, and the page in the browser that drives it."""
