"""Export of detectors and generators as ONNX graphs that run without augan."""
