"""Run a Tiled server of our own in a child process."""
