"""The data report: its figures, findings and page."""
