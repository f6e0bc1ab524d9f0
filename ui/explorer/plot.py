"""Line and bar charts painted by Qt alone, on a widget, a picture or an SVG."""

import math
from dataclasses import dataclass, field

from qgis.PyQt.QtCore import QPointF, QRectF, QSize, Qt
from qgis.PyQt.QtGui import (QColor, QFontMetricsF, QImage, QPainter, QPainterPath, QPalette, QPen, QPolygonF,
                             QTextOption)
from qgis.PyQt.QtSvg import QSvgGenerator
from qgis.PyQt.QtWidgets import QApplication, QSizePolicy, QWidget

MARGIN = 8
REACH = 14            # pixels from the mouse to a value that is told
PICTURE = QSize(1400, 900)
SHARPER = 2           # pixels of a picture to one of the screen
CONTRAST = 45         # of 255, by which a colour's lightness is to differ from the background's
LEGEND_ROWS = 3


@dataclass
class Line:
    """
    A curve: `y` is None in its gaps. `spread` is the half width of a band around it, as long as `y`.

    One that is not `listed` stands in no legend.
    """

    name: str
    colour: str
    x: list
    y: list
    width: float = 1.4
    dashed: bool = False
    dots: bool = False
    spread: list = None
    listed: bool = True


@dataclass
class Chart:
    """
    Curves over an axis.

    `shaded` are ranges of the axis that do not count; `ticks`, pairs of a place and its word, stand in place of
    numbers; `floor` and `ceiling` are shown in any case.
    """

    lines: list
    x_label: str
    y_label: str
    shaded: list = field(default_factory=list)
    ticks: list = None
    floor: float = math.inf
    ceiling: float = -math.inf


@dataclass
class Bars:
    """Horizontal bars from 0, with their names and values; `ceiling` is shown in any case."""

    title: str
    rows: list   # (name, colour, value)
    ceiling: float = 1.0


def steps(low, high, most):
    """At most about `most` round numbers from `low` to `high`."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    raw = span / max(most, 1)
    size = 10 ** math.floor(math.log10(raw))
    size *= next(factor for factor in (1, 2, 5, 10) if factor * size >= raw * (1 - 1e-9))
    first = math.ceil(low / size - 1e-9)
    return [number * size for number in range(first, math.floor(high / size + 1e-9) + 1)]


def written(value):
    """A number on an axis."""
    return f"{value:.6g}".replace("e+0", "e").replace("e-0", "e-") if value else "0"


class Ink:
    """The colours of a background and what is drawn on it."""

    def __init__(self, background, text):
        self.background, self.text = QColor(background), QColor(text)
        self.grid, self.shade = QColor(self.text), QColor(self.text)
        self.grid.setAlpha(38)
        self.shade.setAlpha(22)

    def of(self, colour):
        """A colour that can be seen on the background."""
        given = QColor(colour or self.text)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            mixed = QColor(*(round((1 - share) * ours + share * text) for ours, text in
                             zip(given.getRgb()[:3], self.text.getRgb()[:3])))
            if abs(mixed.lightness() - self.background.lightness()) >= CONTRAST:
                break
        return mixed


PAPER = Ink("#ffffff", "#202020")


class Sheet:
    """Charts on a painter, one below the other or, where there is room, the lesser ones side by side."""

    def __init__(self, painter, area, charts, ink):
        self.painter, self.ink = painter, ink
        self.metrics = QFontMetricsF(painter.font(), painter.device())
        self.values = []   # (place on the sheet, its words, colour) of every point of every line
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(area, ink.background)
        for rect, chart in zip(_places(area.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN), charts, self.metrics.height()),
                               charts):
            painter.save()
            (self._bars if isinstance(chart, Bars) else self._chart)(rect, chart)
            painter.restore()

    def _text(self, rect, flags, words, turned=False):
        self.painter.setPen(self.ink.text)
        if turned:
            self.painter.save()
            self.painter.translate(rect.center())
            self.painter.rotate(-90)
            rect = QRectF(-rect.height() / 2, -rect.width() / 2, rect.height(), rect.width())
        option = QTextOption(flags)
        option.setWrapMode(QTextOption.WrapMode.NoWrap)
        self.painter.drawText(rect, self.metrics.elidedText(words, Qt.TextElideMode.ElideRight, rect.width()), option)
        if turned:
            self.painter.restore()

    # bars

    def _bars(self, rect, chart):
        line = self.metrics.height()
        self._text(QRectF(rect.left(), rect.top(), rect.width(), line), Qt.AlignmentFlag.AlignLeft, chart.title)
        rect = rect.adjusted(0, line + 4, 0, 0)
        least = sorted((value for _, _, value in chart.rows), reverse=True)[:max(1, int(rect.height() / line))][-1]
        rows = [row for row in chart.rows if row[2] >= least]   # the largest, where there is no room for all
        low = min(0.0, *(value for _, _, value in rows))
        high = max(chart.ceiling, *(value for _, _, value in rows))
        names = min(0.4 * rect.width(), max(self.metrics.horizontalAdvance(name) for name, _, _ in rows) + 8)
        figures = self.metrics.horizontalAdvance("-0.000") + 6
        room = QRectF(rect.left() + names, rect.top(), max(1.0, rect.width() - names - figures), rect.height())
        scale = room.width() / (high - low)
        height = min(rect.height() / len(rows), 1.7 * line)
        for number, (name, colour, value) in enumerate(rows):
            top = rect.top() + number * height
            row = QRectF(rect.left(), top, names - 6, height)
            self._text(row, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, name)
            ends = sorted((room.left() + (0 - low) * scale, room.left() + (value - low) * scale))
            self.painter.fillRect(QRectF(room.left(), top + 0.2 * height, room.width(), 0.6 * height), self.ink.shade)
            self.painter.fillRect(QRectF(ends[0], top + 0.2 * height, ends[1] - ends[0], 0.6 * height),
                                  self.ink.of(colour))
            self._text(QRectF(room.right() + 4, top, figures, height), Qt.AlignmentFlag.AlignVCenter, f"{value:.3f}")

    # lines

    def _chart(self, rect, chart):
        rect = self._legend(rect, sorted((line for line in chart.lines if line.listed), key=lambda line: -line.width))
        line = self.metrics.height()
        low, high = _range(chart)
        numbers = [(value, written(value)) for value in steps(low, high, rect.height() / (3 * line))]
        widest = max((self.metrics.horizontalAdvance(word) for _, word in numbers), default=0)
        room = rect.adjusted(widest + line + 10, 4, -10, -2 * line - 8)
        xs = [x for each in chart.lines for x in each.x]
        left, right = (min(xs), max(xs)) if xs and min(xs) < max(xs) else (xs[0] - 1, xs[0] + 1) if xs else (0, 1)

        def at(x, y):
            return QPointF(room.left() + (x - left) / (right - left) * room.width(),
                           room.bottom() - (y - low) / (high - low) * room.height())

        self._text(QRectF(rect.left(), room.top(), line, room.height()), Qt.AlignmentFlag.AlignCenter, chart.y_label,
                   turned=True)
        self._text(QRectF(room.left(), rect.bottom() - line, room.width(), line), Qt.AlignmentFlag.AlignCenter,
                   chart.x_label)
        for begin, end in chart.shaded:
            self.painter.fillRect(QRectF(at(begin, high), at(end, low)), self.ink.shade)
        for value, word in numbers:
            height = at(left, value).y()
            self.painter.setPen(QPen(self.ink.grid, 1))
            self.painter.drawLine(QPointF(room.left(), height), QPointF(room.right(), height))
            self._text(QRectF(room.left() - widest - 6, height - line / 2, widest, line), Qt.AlignmentFlag.AlignRight,
                       word)
        self._x_axis(room, chart, left, right, at)
        self.painter.setClipRect(room.adjusted(-3, -3, 3, 3))
        for each in chart.lines:
            self._line(each, at, chart)

    def _x_axis(self, room, chart, left, right, at):
        line, free = self.metrics.height(), -math.inf
        ticks = chart.ticks or [(value, written(value)) for value in steps(
            left, right, room.width() / (1.6 * self.metrics.horizontalAdvance("00000")))]
        for value, word in ticks:
            place, half = at(value, 0).x(), self.metrics.horizontalAdvance(word) / 2
            self.painter.setPen(QPen(self.ink.grid, 1))
            self.painter.drawLine(QPointF(place, room.top()), QPointF(place, room.bottom()))
            middle = min(max(place, room.left() + half - 2 * line), room.right() + 10 - half)
            if middle - half > free:
                free = middle + half + 6
                self._text(QRectF(middle - half - 1, room.bottom() + 3, 2 * half + 2, line),
                           Qt.AlignmentFlag.AlignCenter, word)

    def _line(self, line, at, chart):
        colour = self.ink.of(line.colour)
        for run in _runs(list(zip(line.x, line.y, line.spread or [None] * len(line.x)))):
            if run[0][2] is not None:
                band = QPolygonF([at(x, y + spread) for x, y, spread in run]
                                 + [at(x, y - spread) for x, y, spread in reversed(run)])
                pale = QColor(colour)
                pale.setAlpha(55)
                self.painter.setPen(Qt.PenStyle.NoPen)
                self.painter.setBrush(pale)
                self.painter.drawPolygon(band)
            points = [at(x, y) for x, y, _ in run]
            style = Qt.PenStyle.DashLine if line.dashed else Qt.PenStyle.SolidLine
            self.painter.setPen(QPen(colour, line.width, style, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
            self.painter.setBrush(Qt.BrushStyle.NoBrush)
            path = QPainterPath(points[0])
            for point in points[1:]:
                path.lineTo(point)
            self.painter.drawPath(path)
            if line.dots or len(points) == 1:
                self.painter.setBrush(colour)
                for point in points:
                    self.painter.drawEllipse(point, line.width + 1, line.width + 1)
            words = dict(chart.ticks or ())
            for point, (x, y, spread) in zip(points, run):
                told = f"{line.name}: {words.get(x, written(x))}, {y:.5g}"
                self.values.append((point, told + (f" ± {spread:.2g}" if spread is not None else ""), colour))

    def _legend(self, rect, lines):
        """Draw the names of lines from left to right in a few rows; gives the room that is left."""
        line, x, row = self.metrics.height(), rect.left(), 0
        for each in lines:
            width = min(26 + self.metrics.horizontalAdvance(each.name), rect.width())
            if x + width > rect.right() and x > rect.left():
                x, row = rect.left(), row + 1
            if row == LEGEND_ROWS:
                break
            y = rect.top() + row * (line + 2) + line / 2
            self.painter.setPen(QPen(self.ink.of(each.colour), max(2.0, each.width),
                                     Qt.PenStyle.DashLine if each.dashed else Qt.PenStyle.SolidLine))
            self.painter.drawLine(QPointF(x, y), QPointF(x + 14, y))
            self._text(QRectF(x + 19, y - line / 2, width - 19, line), Qt.AlignmentFlag.AlignLeft, each.name)
            x += width + 10
        rows = min(row + 1, LEGEND_ROWS) if lines else 0
        return rect.adjusted(0, rows * (line + 2) + 2, 0, 0)

    def tell(self, mouse):
        """Write the value nearest to the mouse beside it, if there is one near."""
        def away(value):
            return math.hypot(value[0].x() - mouse.x(), value[0].y() - mouse.y())

        nearest = min(self.values, key=away, default=None)
        if nearest is None or away(nearest) > REACH:
            return
        point, words, colour = nearest
        width, height = self.metrics.horizontalAdvance(words) + 10, self.metrics.height() + 4
        area = QRectF(self.painter.viewport())
        box = QRectF(min(max(point.x() + 8, 0), area.right() - width), max(point.y() - height - 6, 0), width, height)
        self.painter.setPen(QPen(colour, 2))
        self.painter.setBrush(Qt.BrushStyle.NoBrush)
        self.painter.drawEllipse(point, 5, 5)
        self.painter.setPen(QPen(self.ink.grid, 1))
        self.painter.setBrush(self.ink.background)
        self.painter.drawRoundedRect(box, 3, 3)
        self._text(box, Qt.AlignmentFlag.AlignCenter, words)


def _places(area, charts, line):
    """Where the charts go: the first across the top, the others below it. `line` is the height of a line of text."""
    if len(charts) < 2:
        return [area]
    others = charts[1:]
    wide = area.width() > 1.25 * area.height()
    most = area.height() * (0.4 if wide else min(0.4, 0.6 / len(others)))
    heights = [min(most, (1.7 * len(each.rows) + 2) * line) if isinstance(each, Bars) else most for each in others]
    if wide:
        heights = [max(heights)] * len(others)
    below = area.bottom() - (heights[0] if wide else sum(heights))
    width, places = area.width() / len(others) if wide else area.width(), []
    left, top = area.left(), below
    for height in heights:
        places.append(QRectF(left, top + MARGIN, width - MARGIN, height - MARGIN))
        left, top = (left + width, top) if wide else (left, top + height)
    return [QRectF(area.left(), area.top(), area.width(), below - area.top()), *places]


def _range(chart):
    """From where to where the y axis runs."""
    values = [each + sign * (spread or 0) for line in chart.lines for each, spread in
              zip(line.y, line.spread or [0] * len(line.y)) if each is not None for sign in (-1, 1)]
    low, high = min([chart.floor, *values]), max([chart.ceiling, *values])
    if not low <= high:
        return 0.0, 1.0
    spare = 0.04 * (high - low) or max(0.5, 0.04 * abs(high))   # 0.5 is nothing beside 1e37
    return low if low == chart.floor else low - spare, high if high == chart.ceiling else high + spare


def _runs(points):
    """Points `(x, y, spread)` cut where `y` is None."""
    run, runs = [], []
    for point in [*points, (None, None, None)]:
        if point[1] is not None:
            run.append(point)
        elif run:
            runs.append(run)
            run = []
    return runs


class Plot(QWidget):
    """Charts that tell the value under the mouse, and can be saved as they are."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._charts, self._mouse = [], None
        self.setMouseTracking(True)
        self.setMinimumSize(260, 200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self):
        return QSize(460, 520)

    def show_charts(self, charts):
        """Show other charts."""
        self._charts, self._mouse = charts, None
        self.update()

    @property
    def charts(self):
        """What is shown."""
        return self._charts

    def paintEvent(self, event):
        colours = self.palette()
        if not colours.color(QPalette.ColorRole.Base).alpha():   # a theme by style sheet
            colours = QApplication.palette()
        ink = Ink(colours.color(QPalette.ColorRole.Base), colours.color(QPalette.ColorRole.Text))
        painter = QPainter(self)
        try:
            sheet = Sheet(painter, QRectF(self.rect()), self._charts, ink)
            if self._mouse is not None:
                sheet.tell(self._mouse)
        finally:
            painter.end()   # a painter left open on a widget takes QGIS with it

    def mouseMoveEvent(self, event):
        self._mouse = event.pos()
        self.update()

    def leaveEvent(self, event):
        self._mouse = None
        self.update()

    def save(self, path):
        """Save the charts on white to a file, SVG or by its extension a picture; gives whether that succeeded."""
        if path.lower().endswith(".svg"):
            file = QSvgGenerator()
            file.setFileName(path)
            file.setSize(PICTURE)
            file.setViewBox(QRectF(0, 0, PICTURE.width(), PICTURE.height()))
            return self._painted(file)
        image = QImage(PICTURE * SHARPER, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(SHARPER)
        return self._painted(image) and image.save(path)

    def _painted(self, device):
        painter = QPainter()
        if not painter.begin(device):
            return False
        font = self.font()
        font.setPixelSize(15)
        painter.setFont(font)
        Sheet(painter, QRectF(0, 0, PICTURE.width(), PICTURE.height()), self._charts, PAPER)
        return painter.end()
