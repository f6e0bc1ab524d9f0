"""What QGIS's dialogs need beyond its own widgets."""
