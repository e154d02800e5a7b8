"""Training of RankAAE models: run from a checkout, not part of the wheel.

``python -m training fit training/configs/fe-k.toml`` goes through `build`:
`dataset` (with `descriptors`) reads and splits, `train` (with `augment`,
`model`, `losses`) fits the trials, `select` keeps the best, `ensemble` stacks
them, `evaluate` maps and scores them on simulated compounds, `theory` finds the
shift on measured `standards`, `export` writes the folder in ``models/``.
"""

from importlib import import_module

import_module("rankaae_stream")  # before onnxruntime, which it keeps from sending what is run
