"""Vocabulary training: sample, SentencePiece, figures."""
