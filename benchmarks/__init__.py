"""Measurements: one command each, a ratio against a named baseline run side by side."""
