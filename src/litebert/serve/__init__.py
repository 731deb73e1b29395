"""The HTTP server: one engine for every model and task, and the protocols that existing clients speak."""
