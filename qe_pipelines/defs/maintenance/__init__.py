"""Keeping the graph itself in order."""
