"""Makes pictures; knows no chat and no job."""
