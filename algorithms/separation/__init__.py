"""Wanted materials or signals and their background told apart, with dictionaries of both."""
