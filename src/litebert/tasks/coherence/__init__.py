"""Whether sentences follow each other."""
