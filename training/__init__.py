"""Training of RankAAE models: run from a checkout, not part of the wheel."""
