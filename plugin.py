"""QGIS's front door: registers the provider, nothing else."""

from qgis.core import QgsApplication

from .processing_provider.provider import SubpixelProvider


class SubpixelPlugin:
    """The plugin as QGIS sees it, in the window and in qgis_process."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None

    def initProcessing(self):
        """Register the Processing provider: all that a headless run needs."""
        self.provider = SubpixelProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Register the provider in a QGIS window."""
        self.initProcessing()

    def unload(self):
        """Take everything back that was registered."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
