"""Answer the runs of a beamline in processes of their own, fed by a bus and watched."""
