"""``sbind config``: one module a command."""
