"""Checking results: errors of abundances and endmembers."""
