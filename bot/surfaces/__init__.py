"""Where requests come from and answers go."""
