"""The sentences that tell a document."""
