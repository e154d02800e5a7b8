"""Answer stored runs in this process, in several, or on a Dask cluster: the same answers."""
