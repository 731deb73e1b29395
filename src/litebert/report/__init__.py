"""The self-contained report of a run: elements (svg), charts, the page, and what a run puts on it."""
