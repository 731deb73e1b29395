"""Pretraining: masking, sentence order, the stream of examples, the run (paper section 3.1; Google's run_pretraining.py)."""
