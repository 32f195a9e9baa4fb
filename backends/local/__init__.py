"""FLUX pipelines on this machine's own hardware."""
