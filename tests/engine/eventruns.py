"""A small series with planted events as files, a model that looks for them by eye, and the tool around it."""

from datetime import date, timedelta

import numpy as np
from toolruns import given, raster

from subpixel.algorithms.events.detection import Detection
from subpixel.algorithms.events.learning import Features
from subpixel.engine.declare import validate
from subpixel.engine.job import Job
from subpixel.tools.events._events import EventTool

ROWS, COLS, BANDS, T = 8, 10, 3, 6
NODATA = -9999.0
FIRES = {(1, 1): 1, (1, 2): 1, (2, 5): 3}            # pixels and the image, from 0, with which the event begins
FLOODS = {(5, 5): 2, (5, 6): 2, (6, 8): 4}
QUIET = ((0, 9), (3, 3), (7, 0))
DATES = [(date(2020, 1, 10) + timedelta(days=20 * t)).isoformat() for t in range(T)]


def cubes():
    """The series (T, BANDS, ROWS, COLS): 1 everywhere, a fire adds 2 to band 1 from its date, a flood to band 2."""
    values = np.ones((T, BANDS, ROWS, COLS))
    values += np.random.default_rng(0).uniform(0, 0.1, values.shape)
    for band, events in ((0, FIRES), (1, FLOODS)):
        for (row, col), begin in events.items():
            values[begin:, band, row, col] += 2
    values[:, :, 0, 0] = NODATA       # never valid
    values[2, :, 3, 3] = NODATA       # but at one date
    return values


def images(folder, values=None, dates=DATES):
    """The series as the job holds it."""
    values = cubes() if values is None else values
    return [{"path": str(raster(folder / f"image_{when}.tif", cube)), "crs": None} for when, cube in zip(dates, values)]


def place(row, col):
    """Map coordinates of a pixel's centre."""
    return 500000 + 30 * (col + 0.5), 5800000 - 30 * (row + 0.5)


def sample(row, col, number=1, **attributes):
    return {"geometry": {"type": "Point", "coordinates": list(place(row, col))}, "id": number,
            "attributes": attributes}


def samples():
    """Points on all events and some quiet pixels, with class and date."""
    events = [(*at, "fire", DATES[begin]) for at, begin in FIRES.items()]
    events += [(*at, "flood", DATES[begin]) for at, begin in FLOODS.items()]
    events += [(*at, "none", None) for at in QUIET]
    return {"source": "samples", "features": [sample(row, col, number, event=event, eventdate=when)
                                              for number, (row, col, event, when) in enumerate(events, 1)]}


class Jumps:
    """Takes the largest value of band c over its median for the index of class c."""

    patterns = np.array([[[1.0, 2.0, 1.0]], [[1.0, 1.0, 0.0]]])
    features = Features(np.zeros(BANDS, dtype=int), np.ones(1), None)

    def __init__(self, levels):
        self.levels = levels

    def detect(self, X, valid):
        C = len(self.levels)
        high = np.where(valid, X[:C], 0)
        index = (high.max(axis=2) / self.levels[:, None]).astype(np.float32)
        event = np.where(index.max(axis=0) > 1, index.argmax(axis=0) + 1, 0)
        began = (high > self.levels[:, None, None]).argmax(axis=2)[np.maximum(event - 1, 0), np.arange(X.shape[1])]
        return Detection(event, np.where(event > 0, began, -1), index)

    def state(self):
        return {"levels": self.levels}


class FindJumps(EventTool):
    """Finds jumps, for tests."""

    id = "findjumps"
    label = "Find jumps"

    def learn(self, job, samples, unlabelled):
        self.learned, self.unlabelled = (samples.X, samples.valid, samples.label, samples.date), unlabelled
        job.progress(1, 2)
        levels = [band[samples.label == 0].max() * 1.5 for band in samples.X]
        return Jumps(np.array(levels[:len(samples.names)])), [2.0, 1.0]


def find(values, **outputs):
    """Run the tool: itself, the result, what was said, the steps of its progress."""
    said, steps, tool = [], [], FindJumps()

    def tell(message):
        template = message.get("message") or message.get("warning")
        if template:
            said.append(template.format(**message["arguments"]))
        steps.extend([message["progress"]] if "progress" in message else [])

    values = validate(tool, {"DATEFIELD": "eventdate", **{name: given(value) for name, value in values.items()}})
    job = Job(tool, values, {name: str(path) for name, path in outputs.items()}, "test", tell)
    tool.run(job)
    return tool, job.result, said, steps
