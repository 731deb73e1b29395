"""Labels and values of texts: moderation, similarity, few examples or none."""
