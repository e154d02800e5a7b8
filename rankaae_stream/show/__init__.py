"""Show results to a person as tables, text plots and figures."""
