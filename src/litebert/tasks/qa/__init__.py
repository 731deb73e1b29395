"""Answers as parts of a passage."""
