"""Other runtimes in the place of PyTorch: OpenVINO and ONNX Runtime behind one small interface."""
