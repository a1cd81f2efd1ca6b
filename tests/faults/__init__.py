"""The gate when things break: the store, its processes, its settings, the machine."""
