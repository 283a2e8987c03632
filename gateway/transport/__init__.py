"""Calls to a venue over HTTP, and the mapping of their errors to outcomes.

`session` is a venue's, `messages` what goes in and out, `by_wire` and `by_session` the two ways to call, over the same
`connections`.
"""
