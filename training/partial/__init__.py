"""Networks that answer the part of a spectrum that a growing or a short scan has seen."""
