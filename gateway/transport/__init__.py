"""Calls to a venue over HTTP, and the mapping of their errors to outcomes."""
