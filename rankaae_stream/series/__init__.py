"""Series of spectra: repeats merged, mixtures resolved, changes found."""
