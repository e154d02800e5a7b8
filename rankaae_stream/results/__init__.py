"""Turn reports into bluesky runs, keep them on disk, and send them to Tiled and other sinks."""
