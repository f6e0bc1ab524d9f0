"""What Subpixel adds to QGIS's window."""
