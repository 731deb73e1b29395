"""The network: pure PyTorch, no files, tokenizers, training, or other libraries' names."""
