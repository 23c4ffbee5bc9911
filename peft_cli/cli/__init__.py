"""The commands, and how they show progress."""
