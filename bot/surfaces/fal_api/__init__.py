"""Our jobs in fal's HTTP protocol: what fal's own clients talk to when they are pointed at us."""
