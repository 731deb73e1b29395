"""Answers from trained models: pipelines in Python and predictions over files."""
