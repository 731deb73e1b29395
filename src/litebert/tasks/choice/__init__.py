"""One of several options."""
