"""``sbind flow``: one module a command."""
