"""The command line as a surface: the terminal that asks and the process that draws may differ."""
