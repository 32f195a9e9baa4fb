"""Jobs, from submitted to delivered."""
