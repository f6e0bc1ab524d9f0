"""Subpixel: hyperspectral unmixing, fusion and change for QGIS."""


def classFactory(iface):
    """QGIS's entry point. Nothing heavy is imported before QGIS asks for the plugin."""
    from .plugin import SubpixelPlugin
    return SubpixelPlugin(iface)
