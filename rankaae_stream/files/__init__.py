"""Read mu(E) and detector data from files, one file for each format; write them for played runs."""
