"""The protocols that are spoken, a file each."""
