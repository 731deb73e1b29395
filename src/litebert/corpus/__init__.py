"""Raw files to documents, cleaned and deduplicated, to token shards; vocabulary training."""
