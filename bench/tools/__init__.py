"""How well models call tools, through the server and without it."""
