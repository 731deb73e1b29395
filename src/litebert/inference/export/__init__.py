"""Models as folders that run without LiteBERT and PyTorch."""
