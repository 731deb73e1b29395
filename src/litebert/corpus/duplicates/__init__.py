"""Exact and near duplicates in bounded memory."""
