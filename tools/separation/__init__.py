"""Wanted and background: what of a scene belongs to the materials that are looked for."""
