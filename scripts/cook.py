"""
Run the recipes of docs/recipes in QGIS: their commands, pictures and numbers are made from the page itself.

A page holds, in its order:

    <!--data FILE ...-->              files of ../shared/data that lie in the recipe's folder
    <!--make NAME-->                  what scripts/semireal.py makes
    ```sh ... ```                     commands `qgis_process run TOOL --NAME=VALUE ...`, which are run
    <!--hits NAME FOUND TRUE-->       numbers of a map of events against the truth: NAME.found, .false, .right
    <!--maps PNG | TITLE: LAYER@BAND + LAYER | ...-->      maps side by side, the first layer with its legend
    <!--plot PNG REPORT NUMBER-->     a plot of a report, counted from 1
    <!--TOOL.OUTPUT:.2f-->8.15<!---->  a number that a command gave (TOOL_2: of its second run), put in by this script

Usage: cook.py [NAME ...]. Beside each page it writes NAME.json, all numbers of its run, which the tests compare.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from osgeo import gdal
from qgis.core import (QgsApplication, QgsContrastEnhancement, QgsMapRendererSequentialJob, QgsMapSettings,
                       QgsMultiBandColorRenderer, QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback,
                       QgsProject, QgsRasterLayer, QgsRasterMinMaxOrigin, QgsVectorLayer)
from qgis.PyQt.QtCore import QRectF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "docs" / "recipes"
DATA = ROOT.parent / "shared" / "data"
PART = re.compile(r"<!--(data|make|hits|maps|plot) (.*?)-->|```sh\n(.*?)```", re.S)
NUMBER = re.compile(r"<!--(\w+\.\w+):([^>]*?)-->(.*?)<!---->")
WIDTH, TITLE, LINE = 960, 26, 18     # pixels of a picture, of the title above a map, of a line of the legend below it
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def cook(page, folder, pictures):
    """
    Run a recipe in an empty folder, with its pictures in the folder `pictures`, or without any (None).

    Returns
    -------
    dict
        Every number that its commands gave.
    """
    numbers, runs = {}, Counter()
    for kind, words, commands in PART.findall(page.read_text(encoding="utf-8")):
        if kind == "data":
            for file in words.split():
                shutil.copy(DATA / file, folder)
        elif kind == "make":
            subprocess.run([os.environ["SUBPIXEL_PYTHON"], str(ROOT / "scripts" / "semireal.py"), words, str(folder)],
                           check=True)
        elif kind == "hits":
            name, found, true = words.split()
            numbers.update({f"{name}.{key}": value for key, value in hits(folder / found, folder / true).items()})
        elif kind == "maps" and pictures:
            target, *panels = [part.strip() for part in words.split("|")]
            maps(panels, folder).save(str(pictures / target))
        elif kind == "plot" and pictures:
            target, report, number = words.split()
            plot(folder / report, int(number)).save(str(pictures / target))
        for command in re.sub(r"\\\n", " ", commands).strip().splitlines():
            began = time.perf_counter()
            tool, results = run(shlex.split(command), folder)
            print(f"{tool}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
            runs[tool] += 1
            key = tool if runs[tool] == 1 else f"{tool}_{runs[tool]}"
            numbers.update({f"{key}.{name}": value for name, value in results.items()
                            if isinstance(value, (int, float)) and not isinstance(value, bool)})
    return numbers


def run(words, folder):
    """Run `qgis_process run TOOL --NAME=VALUE ...` in this process: the tool's name and its results."""
    assert words[:2] == ["qgis_process", "run"], words
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(words[2])
    outputs = {definition.name() for definition in algorithm.destinationParameterDefinitions()}
    values = {}
    for word in words[3:]:
        name, value = word.removeprefix("--").split("=", 1)
        if name in outputs or (folder / value).exists():
            value = str(folder / value)
        values[name] = [*values[name], value] if isinstance(values.get(name), list) else \
            [values[name], value] if name in values else value
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback(False)
    passed, reason = algorithm.checkParameterValues(values, context)
    if not passed:
        raise QgsProcessingException(f"{words[2]}: {reason}")
    results, done = algorithm.run(values, context, feedback, {}, False)
    assert done, f"{words[2]}: {feedback.textLog()}"
    return words[2].split(":")[1], results


def hits(found, true):
    """
    Percent: of the pixels with an event those that were found, of those without one those that were too, and of those
    that were found those with one.
    """
    found, true = (gdal.Open(str(path)).ReadAsArray() for path in (found, true))
    detected = (found > 0) & (found < 255)
    return {"found": 100 * float(detected[true > 0].mean()), "false": 100 * float(detected[true == 0].mean()),
            "right": 100 * float((true > 0)[detected].mean())}


# pictures

def maps(panels, folder):
    """Maps side by side, each `TITLE: LAYER@BAND + LAYER`, the lowest layer first."""
    made = []
    for panel in panels:
        title, layers = panel.split(": ", 1)
        made.append((title, [opened(words, folder) for words in layers.split(" + ")]))
    side = WIDTH // len(made)
    extent = made[0][1][0].extent()
    height = round((side - 12) * extent.height() / extent.width())
    legends = [lines(entries(layers[-1]), side - 12) for _, layers in made]
    picture = QImage(WIDTH, TITLE + height + LINE * max(map(len, legends)) + 8, QImage.Format.Format_RGB32)
    picture.fill(QColor(255, 255, 255))
    painter = QPainter(picture)
    for number, ((title, layers), legend) in enumerate(zip(made, legends)):
        left = number * side + 6
        write(painter, QRectF(left, 0, side - 12, TITLE), title, bold=True)
        settings = QgsMapSettings()
        settings.setLayers(layers[::-1])
        settings.setDestinationCrs(layers[0].crs())
        settings.setExtent(layers[0].extent())
        settings.setOutputSize(QSize(side - 12, height))
        job = QgsMapRendererSequentialJob(settings)
        job.start()
        job.waitForFinished()
        painter.drawImage(left, TITLE, job.renderedImage())
        for line, swatches in enumerate(legend):
            top = TITLE + height + 4 + line * LINE
            for at, (label, colour) in swatches:
                painter.fillRect(QRectF(left + at, top + 3, 12, 12), QColor(150, 150, 150))
                painter.fillRect(QRectF(left + at + 1, top + 4, 10, 10), colour)
                write(painter, QRectF(left + at + 16, top, side, LINE), label)
    painter.end()
    return picture


def opened(words, folder):
    """
    A layer in its own style; of a raster the band of that name, or the bands `R,G,B` stretched.

    Fractions are in the colour of the band's own material.
    """
    from subpixel.engine.palette import colours
    from subpixel.processing_provider import styles
    file, _, bands = words.partition("@")
    path = folder / file
    if path.suffix in (".gpkg", ".geojson"):
        layer = QgsVectorLayer(str(path), file)
        layer.setLabelsEnabled(False)
        return layer
    layer = QgsRasterLayer(str(path), file)
    if "," in bands:
        renderer = QgsMultiBandColorRenderer(layer.dataProvider(), *map(int, bands.split(",")))
        layer.setRenderer(renderer)
        layer.setContrastEnhancement(QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum,
                                     QgsRasterMinMaxOrigin.Limits.CumulativeCut)
    elif bands:
        dataset = gdal.Open(str(path))
        names = [dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1)]
        band = names.index(bands) + 1
        if (layer.renderer().classificationMin(), layer.renderer().classificationMax()) == (0, 1):   # fractions
            layer.setRenderer(styles.RENDERERS["fractions"](layer, {"colours": colours(names), "band": band}))
        else:
            layer.renderer().setInputBand(band)
    return layer


def entries(layer):
    """The labels and colours of a layer."""
    if isinstance(layer, QgsVectorLayer):
        return [(item.label(), item.symbol().color()) for item in layer.renderer().legendSymbolItems()
                if item.symbol() and item.label() != "other"]
    return layer.renderer().legendSymbologyItems()


def lines(entries, width):
    """A legend's entries in lines, each with where it begins."""
    measure, broken, left = QFontMetrics(font()), [[]], 0
    for entry in entries:
        wide = 16 + measure.horizontalAdvance(entry[0]) + 10
        if left + wide > width and broken[-1]:
            broken.append([])
            left = 0
        broken[-1].append((left, entry))
        left += wide
    return broken


def plot(report, number):
    """The plot of that number of a report, as a browser draws it."""
    browser = next(path for path in map(shutil.which, BROWSERS) if path)
    alone = ("<script>window.addEventListener('load', () => { const plot = document.querySelectorAll("
             f"'.plotly-graph-div')[{number - 1}]; document.body.replaceChildren(plot); window.scrollTo(0, 0); }});"
             "</script><style>body { margin: 0 !important; padding: 0 !important } .modebar { display: none }</style>")
    with tempfile.TemporaryDirectory() as folder:
        page, target = Path(folder) / "plot.html", Path(folder) / "plot.png"
        page.write_text(report.read_text(encoding="utf-8").replace("</head>", alone + "</head>"), encoding="utf-8")
        subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                        f"--user-data-dir={folder}/browser", f"--window-size={WIDTH},700",
                        "--virtual-time-budget=8000", f"--screenshot={target}", page.as_uri()],
                       check=True, capture_output=True, timeout=120)
        picture = QImage(str(target))
    used = next(row for row in range(picture.height() - 1, 0, -1)
                if any(picture.pixelColor(column, row).lightness() < 250 for column in range(0, picture.width(), 3)))
    return picture.copy(0, 0, picture.width(), min(picture.height(), used + 12))


def font(bold=False):
    made = QFont("DejaVu Sans")
    made.setPixelSize(14 if bold else 12)
    made.setBold(bold)
    return made


def write(painter, place, words, bold=False):
    painter.setFont(font(bold))
    painter.setPen(QColor(40, 40, 40))
    painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, words)


def filled(text, numbers):
    """The page with its numbers."""
    return NUMBER.sub(lambda match: f"<!--{match[1]}:{match[2]}-->{format(numbers[match[1]], match[2])}<!---->", text)


def main(names):
    application = QgsApplication([], False)
    application.initQgis()
    sys.path += [str(ROOT), os.path.join(QgsApplication.pkgDataPath(), "python", "plugins")]
    from processing.core.Processing import Processing
    Processing.initialize()
    import bootstrap
    bootstrap.load()
    from subpixel.plugin import SubpixelPlugin
    plugin = SubpixelPlugin(None)
    plugin.initProcessing()
    for page in sorted(RECIPES.glob("*.md")):
        if not names or page.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                numbers = cook(page, Path(folder), RECIPES)
            page.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
            page.write_text(filled(page.read_text(encoding="utf-8"), numbers), encoding="utf-8")
            print(page.stem, json.dumps(numbers))
    QgsProject.instance().clear()
    plugin.unload()


if __name__ == "__main__":
    main(sys.argv[1:])
