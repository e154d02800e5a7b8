"""Train many networks in parallel, search their settings, and keep the best."""
