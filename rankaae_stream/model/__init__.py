"""Turn a flattened spectrum into estimates with intervals, by an ONNX model and its card."""
