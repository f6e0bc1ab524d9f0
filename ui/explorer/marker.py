"""A marker on the map."""

from qgis.gui import QgsMapCanvasItem
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QPointF, QRectF, Qt
from qgis.PyQt.QtGui import QColor, QFont, QPen

from .pixels import NothingThere, moved

RADIUS = 9.0


class Marker(QgsMapCanvasItem):
    """A disc with a number, or a ring without one, at a point of a map that may change its CRS."""

    def __init__(self, canvas, colour, words=""):
        super().__init__(canvas)
        self._canvas, self._colour, self._words, self._at = canvas, QColor(colour), words, None
        self.setZValue(1e6)
        self.hide()

    def put(self, point, crs):
        """Put it at a point in a CRS."""
        self._at = point, crs
        self.updatePosition()
        self.show()

    def take_off(self):
        """Remove it from the map for good."""
        if not sip.isdeleted(self) and self.scene() is not None:
            self.scene().removeItem(self)

    def updatePosition(self):
        if self._at is not None:
            try:
                to = self._canvas.mapSettings().destinationCrs()
                self.setPos(self.toCanvasCoordinates(moved(*self._at, to)))
                self.setOpacity(1)
            except NothingThere:   # the map's CRS does not reach there
                self.setOpacity(0)

    def boundingRect(self):
        reach = RADIUS + 3
        return QRectF(-reach, -reach, 2 * reach, 2 * reach)

    def paint(self, painter, *_):
        painter.setRenderHint(painter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor("white"), 4))
        painter.setBrush(self._colour if self._words else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(0, 0), RADIUS - 1, RADIUS - 1)
        painter.setPen(QPen(self._colour.darker(140), 1.6))
        painter.drawEllipse(QPointF(0, 0), RADIUS - 1, RADIUS - 1)
        if self._words:
            font = QFont(painter.font())
            font.setPixelSize(11)
            font.setBold(True)
            painter.setFont(font)
            painter.setPen(QColor("white" if self._colour.lightness() < 160 else "black"))
            painter.drawText(self.boundingRect(), Qt.AlignmentFlag.AlignCenter, self._words)
