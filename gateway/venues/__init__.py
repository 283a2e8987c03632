"""The five venues: one room per exchange family, the same few files in each (requests, signing, codes, limits)."""
