"""What can be told of a profile, a layout, a model folder or a sink; and of a recorded run.

``rankaae-stream check`` shows it. The contracts are plain functions, for layouts, models and
sinks of your own too: `layouts.layout_checks`, `models.check_model`, `sinks.sink_checks`.
"""
