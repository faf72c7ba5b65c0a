"""What leaves augan: a detector or a generator as an ONNX graph, which needs no augan to run."""
