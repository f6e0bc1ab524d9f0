"""Tools that join an image of many bands with one of many pixels."""
