"""Whole conversations on a Discord that somebody else wrote: SimCord, inside the process."""
