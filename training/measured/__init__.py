"""Compare a trained ensemble with measured compounds: theory shift, maps, intervals, constants."""
