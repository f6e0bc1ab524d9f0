"""Preparing a scene: noise."""
