"""Files that are whole or as before, of one writer at a time, inside their folder, and unchanged when they are read."""
