"""Tell oxides from what is none: one small classifier for all elements."""
