"""Bulk work: answers for many rows in parts that are finished one by one, so that a command that was stopped goes on where it was."""
