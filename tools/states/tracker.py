"""The tool `tracker`."""

from ...engine.declare import (FeaturesInput, FeaturesOutput, Flag, Group, Integer, NumberOutput, RastersInput, Real,
                               Tool)
from .. import _shared
from ..multitemporal import _sequence

PICTURES = 8      # dates of which the report shows a picture
SIDE = 420        # pixels of a picture's longer side, at most
FOUND, LOST = (255, 220, 0), (220, 0, 60)   # colours of boxes


class Tracker(Tool):
    """Where a moving target is in every image, from a box that you draw in the first: a plume, a flood's edge, a fire.

    A swarm of boxes (a particle filter) takes random steps from date to date. Each is weighed by how well the earlier
    appearances of the target, kept as a small nonnegative dictionary (NMF), explain what the image shows under it. The
    dictionary learns with every date. Bright and dark targets are followed alike, in one band or several, and boxes may
    grow and shrink.

    The confidence tells whether the box is explained as well as ever (1) or no better than any other place (0). Below
    LOST the target is lost, for instance under a cloud: the track then goes on without the image, more and more
    uncertain, and takes the target up again where it reappears within reach. One run follows one target.

    A target through which the ground shows, such as a plume, is better followed without the ground (STILL): otherwise
    boxes may stay with the ground, and the confidence does not tell."""

    id = "tracker"
    label = "Follow a target through images"
    group = Group.STATES
    tags = ("multitemporal", "time series", "sequence", "tracking", "object", "particle filter", "plume", "flood",
            "fire front", "NMF", "motion", "trajectory", "box")
    citation = ("G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, section 5.4 (eq. 5.4.15 to "
                "5.4.30)")
    prefer = ("For a target that moves while light and place of the images change or clouds hide it; for a plume, with "
              "the ground taken off (STILL). Where nothing but an opaque target changes, the difference of each image "
              "from the median of all finds it more reliably.")

    images = RastersInput("IMAGES", "Images", spectral=False, help="Images of one place, at least two, in the order of "
                          "their dates: layers or files on one grid with the same bands, one or more; "
                          + _sequence.FOLDER + " Each band counts alike, whatever its unit. Nodata is not looked at.")
    dates = _sequence.DATES
    start = FeaturesInput("START", "Box in the first image", raster="IMAGES", geometries=("polygon",), help="Layer "
                          "with one polygon around the target in the first image, in any CRS: its extent in pixels is "
                          "the box, at least 3 x 3 pixels and within the image. Draw it closely.")
    still = Flag("STILL", "Take off what stands still", default=False, help="Follow the target in the images less the "
                 "median of all of them, in each pixel and band: yes for a plume or smoke, whose ground shows through. "
                 "It takes images that are alike but for the target, which is nowhere for half of the dates. Default "
                 "no.")
    step = Real("STEP", "Steps of the target (pixels)", default=3.0, minimum=0.0, maximum=1000.0, help="Standard "
                "deviation of the target's way from date to date, in each direction, in pixels: 0 to 1000. For "
                "intervals other than the usual (median) one it grows with their root. Default 3.")
    resize = Real("RESIZE", "Steps of the size (pixels)", default=0.3, minimum=0.0, maximum=1000.0, help="Standard "
                  "deviation by which width and height change from date to date, in pixels: 0 (a fixed size) to 1000. "
                  "Default 0.3.")
    acceleration = Real("ACCELERATION", "Change of velocity (pixels)", default=0.0, minimum=0.0, maximum=1000.0,
                        help="Standard deviation by which the target's velocity, in pixels per usual interval, changes "
                        "from date to date: 0 to 1000. Above 0 the target goes on as it moved, also while it is lost. "
                        "0 (the default): it has no velocity, as in the thesis.")
    particles = Integer("PARTICLES", "Particles", default=500, minimum=10, maximum=100000, help="Boxes that are tried "
                        "at each date, 10 to 100000. More find a target that moves far; time grows with them. Default "
                        "500.")
    rank = Integer("RANK", "Rank of the dictionary", default=5, minimum=1, maximum=50, advanced=True, help="How many "
                   "parts the appearances of the target are made of, 1 to 50. Default 5.")
    sharpness = Real("SHARPNESS", "Sharpness of the likelihood (C)", default=500.0, minimum=1e-3, maximum=1e6,
                     advanced=True, help="C in exp(-C r), r the mean squared residual of a box where each band's range "
                     "around the first box is 1: 0.001 to 1000000. Larger trusts the image more, smaller bears with "
                     "changes of the target. Default 500.")
    size = Integer("PATCHSIZE", "Samples across a box", default=12, minimum=3, maximum=64, advanced=True, help="Every "
                   "box is looked at in so many rows and columns, 3 to 64. Default 12.")
    lost = Real("LOST", "Lost below a confidence of", default=0.4, minimum=0.0, maximum=1.0, advanced=True,
                help="Confidence below which the target is lost at a date, 0 (only where the image shows too little of "
                "the box, as under a cloud) to 1. Default 0.4.")
    seed = _shared.SEED
    track = FeaturesOutput("TRACK", "Track", geometry="line", shade="confidence", times=("begin", "end"),
                           optional=False, help="Line layer with a piece of the target's way from each date to the "
                           "next, shown in its time by the temporal controller: begin, end, confidence (0 to 1) and "
                           "found (whether the target was) at its end, distance (map units), speed (map units per "
                           "day), sd (standard deviation of the place at its end, in map units).")
    boxes = FeaturesOutput("BOXES", "Boxes", geometry="polygon", shade="confidence", times=("begin", "end"),
                           help="Polygon layer with the box of each date, shown in its time: begin, end (the next "
                           "date), confidence, found, width and height (pixels), sd as in the track.")
    report = _shared.REPORT
    confidence = NumberOutput("CONFIDENCE", "Mean confidence", help="Of all dates after the first: 1 is best.")
    found = NumberOutput("FOUND", "Dates with the target", help="At how many dates the target was found, the first "
                         "included.")
    example = {"IMAGES": "images", "START": "box", "PARTICLES": 100}

    def run(self, job):
        import numpy as np

        from ...algorithms.state_estimation.tracker import track
        from ...engine.memory import need
        sequence = job.sequence(self.images)
        grid = sequence.grid
        still = job.value(self.still)
        need((24 + 4 * still) * sequence.L * grid.width * grid.height, "Clip the images, or leave out bands.")
        job.passes(1 + still)
        ground = median(sequence, job.progress) if still else None
        days = np.array([(date - sequence.dates[0]).total_seconds() / 86400 for date in sequence.dates])
        steps, size = job.value(self.step), job.value(self.resize)
        shots = Shots(sequence) if job.wants(self.report) else None
        found = track(frames(sequence, shots, ground), start_box(grid, job.features(self.start)),
                      np.random.default_rng(job.value(self.seed)), intervals=np.diff(days) / np.median(np.diff(days)),
                      spread=(steps, steps, size, size), acceleration=job.value(self.acceleration),
                      particles=job.value(self.particles), size=job.value(self.size), rank=job.value(self.rank),
                      sharpness=job.value(self.sharpness), lost=job.value(self.lost),
                      callback=lambda done: job.progress(done, sequence.T))
        for date, box, sure, there in zip(sequence.names, found.boxes, found.confidence, found.found):
            job.say("{date}: {what} at column {column}, row {row} (confidence {confidence}).", date=date,
                    what="found" if there else "lost", column=f"{box[0]:.1f}", row=f"{box[1]:.1f}",
                    confidence=f"{sure:.2f}")
        if not found.found.all():
            job.warn("The target is lost at {count} of {all} dates; there the track only goes on as the steps allow.",
                     count=int((~found.found).sum()), all=sequence.T)
        job.give_number(self.confidence, float(found.confidence[1:].mean()))
        job.give_number(self.found, int(found.found.sum()))
        job.give_features(self.track, pieces(sequence, days, found), self.images)
        job.give_features(self.boxes, outlines(sequence, found), self.images)
        self._report(job, sequence, found, shots)

    def _report(self, job, sequence, found, shots):
        report = job.report(self.report)
        if report is None:
            return
        report.numbers(dates=sequence.T, dates_with_the_target=int(found.found.sum()),
                       mean_confidence=float(found.confidence[1:].mean()))
        report.heading("Confidence")
        report.history(sequence.names, {"Confidence": found.confidence}, "Confidence (0 to 1)")
        report.heading("Images and boxes")
        report.paragraph("Yellow boxes hold the target; where it is lost they are red.")
        for number in shots.chosen:
            report.picture(shots.with_box(number, found.boxes[number], found.found[number]), sequence.names[number],
                           SIDE)
        report.heading("Date by date")
        sd = (found.covariance[:, 0, 0] + found.covariance[:, 1, 1]) ** 0.5
        report.table(["Date", "Column", "Row", "Width", "Height", "Distance of particles (pixels)",
                      "Effective particles", "Residual", "Residual elsewhere", "Confidence", "Found"],
                     [[date, *(float(part) for part in box), *row] for date, box, *row in zip(
                         sequence.names, found.boxes, sd, found.effective, found.residual, found.elsewhere,
                         found.confidence, found.found)])
        job.give_report(self.report, report)


def start_box(grid, features):
    """Column and row of the centre, width and height in pixels of the only polygon among `features`."""
    import numpy as np

    from ...engine.samples import group_samples
    from ...engine.sentences import UserError
    shapes = [shape for group in group_samples(grid, features)[0] for shape in group.shapes]
    if len(shapes) != 1:
        raise UserError("The box in the first image (START) is to be one polygon, and the layer has {count}. Select "
                        "one, and run the tool again for other targets.", count=len(shapes))
    corners = np.array(shapes[0].coordinates[0])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return (*(low + high) / 2, *(high - low))


def median(sequence, progress):
    """Median (L, rows, cols) of the images, NaN where a pixel is never valid."""
    import numpy as np
    grid = sequence.grid
    found = np.full((sequence.L, grid.height * grid.width), np.nan, dtype=np.float32)

    def block(Y, valid, where):
        there = valid.any(axis=0)
        known = np.where(valid[:, None, there], Y[:, :, there], np.float32(np.nan))
        return np.nanmedian(known, axis=0), where[there]

    for _, (middle, where) in sequence.map_blocks(block, progress=progress):
        found[:, where] = middle
    return found.reshape(sequence.L, grid.height, grid.width)


def frames(sequence, shots, ground=None):
    """The images (L, rows, cols), less the `ground`, NaN where a pixel is not valid, one after the other."""
    import numpy as np
    for number, scene in enumerate(sequence.scenes):
        Y, valid = scene.read()
        frame = np.where(valid, Y, np.float32(np.nan)).astype(np.float32, copy=False)
        frame = frame.reshape(len(Y), scene.height, scene.width)
        if shots is not None:
            shots.take(number, frame)
        yield frame if ground is None else frame - ground


class Shots:
    """Pictures of some dates, reduced, on which boxes are drawn later."""

    def __init__(self, sequence):
        from ...engine.wavelengths import natural_colours
        grid = sequence.grid
        self.chosen = range(0, sequence.T, -(-sequence.T // PICTURES))
        self._step = max(1, -(-max(grid.width, grid.height) // SIDE))
        self._bands = [band - 1 for band in natural_colours(sequence.L, grid.wavelengths)]
        self._pictures, self._limits = {}, None

    def take(self, number, frame):
        """Keep the image of a date, if it is to be shown; all are stretched as the first."""
        from ...engine.pictures import stretch
        if number in self.chosen:
            image = frame[self._bands, ::self._step, ::self._step]
            self._limits = stretch(image) if self._limits is None else self._limits
            self._pictures[number] = image

    def with_box(self, number, box, found):
        """The picture (3, rows, cols) of uint8 of a date, with the outline of a box."""
        import numpy as np

        from ...engine.pictures import stretched
        picture = stretched(self._pictures[number], self._limits)
        times = max(1, SIDE // max(picture.shape[1:]))
        picture = picture.repeat(times, axis=1).repeat(times, axis=2)
        scale = times / self._step
        left, right, top, bottom = (
            int(np.clip(round(scale * (box[axis] + side * box[axis + 2] / 2)), 0, picture.shape[2 - axis] - 1))
            for axis in (0, 1) for side in (-1, 1))
        colour = np.array(FOUND if found else LOST, dtype=np.uint8)[:, None]
        for line in (top, bottom):
            picture[:, line, left:right + 1] = colour
        for column in (left, right):
            picture[:, top:bottom + 1, column] = colour
        return picture


def pieces(sequence, days, found):
    """The way from each date to the next, as `Job.give_features` takes it."""
    import numpy as np
    points, sd = [sequence.grid.map_transform * tuple(box[:2]) for box in found.boxes], deviations(sequence, found)
    features = []
    for number in range(1, sequence.T):
        first, second = points[number - 1:number + 1]
        distance = float(np.hypot(*np.subtract(second, first)))
        features.append({"points": [first, second], "attributes": {
            "begin": sequence.dates[number - 1], "end": sequence.dates[number],
            "confidence": found.confidence[number], "found": bool(found.found[number]), "distance": distance,
            "speed": distance / (days[number] - days[number - 1]), "sd": sd[number]}})
    return features


def outlines(sequence, found):
    """The box of each date, as `Job.give_features` takes it."""
    from ...engine.dates import ends
    features = []
    for number, ((x, y, width, height), end, sd) in enumerate(zip(found.boxes, ends(sequence.dates),
                                                                  deviations(sequence, found))):
        ring = [(x + right * width / 2, y + down * height / 2) for right, down in (
            (-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
        features.append({"points": [sequence.grid.map_transform * corner for corner in ring], "attributes": {
            "begin": sequence.dates[number], "end": end, "confidence": found.confidence[number],
            "found": bool(found.found[number]), "width": width, "height": height, "sd": sd}})
    return features


def deviations(sequence, found):
    """Standard deviation (T,) of the place in either direction, on average, in map units."""
    pixel = abs(sequence.grid.map_transform.determinant)
    return ((found.covariance[:, 0, 0] + found.covariance[:, 1, 1]) / 2 * pixel) ** 0.5
