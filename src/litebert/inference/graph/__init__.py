"""The network as an ONNX graph, put together node by node, with every shared matrix stored once."""
