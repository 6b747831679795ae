"""``sbind rin``: one module a command."""
