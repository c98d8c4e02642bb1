"""Reading and writing of files: atomic writes, locks, safe paths, and checksums."""
