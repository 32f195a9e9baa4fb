"""Talks with people and programs, owns jobs."""
