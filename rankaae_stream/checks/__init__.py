"""Check a profile, layout, model folder or sink, or what this version makes of a recorded run.

The contracts are plain functions, also for layouts, models and sinks of your own:
`layouts.layout_checks`, `models.check_model`, `sinks.sink_checks`.
"""
