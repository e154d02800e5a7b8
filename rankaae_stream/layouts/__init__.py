"""Read mu(E) out of a run's documents, one file for each kind of beamline."""
