"""The fal backend: a client of fal's queue, or of any service that speaks its protocol."""
