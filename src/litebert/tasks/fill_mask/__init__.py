"""Words in the place of masks."""
