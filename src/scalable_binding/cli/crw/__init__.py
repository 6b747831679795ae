"""``sbind crw``: one module a command."""
