"""The command line: one file per command. Their options are in `arguments`."""
