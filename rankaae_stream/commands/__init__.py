"""Run the ``rankaae-stream`` command line, one file for each command."""
