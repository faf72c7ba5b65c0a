"""Export of trained detectors and generators as ONNX graphs that run without augan."""
