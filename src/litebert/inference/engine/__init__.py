"""The fast encoder: weights packed once, applied again and again, no arithmetic on padding."""
