"""Turn simulated sites into labelled spectra, and disturb them as a measurement does."""
