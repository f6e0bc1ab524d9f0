"""The state behind a series of noisy observations: filters and smoothers for many series at once."""
