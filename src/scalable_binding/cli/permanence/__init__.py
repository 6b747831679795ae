"""``sbind permanence``: one module a command."""
