"""QGIS's front door: registers the provider and the parts of the window, nothing else."""

from qgis.core import QgsApplication

from .processing_provider.provider import SubpixelProvider


class SubpixelPlugin:
    """The plugin as QGIS sees it, in the window and in qgis_process."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None
        self.parts = []

    def initProcessing(self):
        """Register the Processing provider: all that a headless run needs."""
        self.provider = SubpixelProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Register the provider in a QGIS window, and the parts of the window."""
        from .ui.engine_page import Engine   # a run without a window needs no widgets
        from .ui.explorer.part import Explorer
        self.initProcessing()
        self.parts = [Engine(self.iface), Explorer(self.iface)]

    def unload(self):
        """Take everything back that was registered."""
        for part in self.parts:
            part.unload()
        self.parts = []
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
