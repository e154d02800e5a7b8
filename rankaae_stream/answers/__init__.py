"""Answer many spectra of one edge at once; one spectrum is a batch of one."""
