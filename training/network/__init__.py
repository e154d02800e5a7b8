"""Train one network, or an ensemble, on labelled spectra."""
