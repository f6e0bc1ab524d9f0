"""Tools for sequences of images of one place."""
