"""The HTTP session of a venue, and the mapping of its errors to outcomes."""
