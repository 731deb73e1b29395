"""Documents to clean documents: characters, lines, whole documents, languages."""
