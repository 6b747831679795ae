"""``sbind carml``: one module a command."""
