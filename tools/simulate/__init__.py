"""Scenes whose answer is known."""
