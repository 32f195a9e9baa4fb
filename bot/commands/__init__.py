"""One platform-free handler per command."""
