"""The tool `kalmanfilter`."""

from ...engine.declare import FolderOutput, LayersOutput, RasterOutput, Style
from ..multitemporal._sequence import ASKED
from ._states import SMOOTH, StatesTool

ANOMALY = 3.0   # standard deviations beyond which an innovation is an anomaly
RANGE = 5.0     # of the colours


class KalmanFilter(StatesTool):
    """Series of images without noise and gaps, also between and after their dates, with uncertainties and anomalies.

    Fractions, an index or bands measured at each date are noisy, have gaps under clouds, and say nothing between or
    after the dates. From all images together this estimates the state behind them at every date, and how uncertain it
    is: a gap is filled from the dates around it, with an uncertainty that grows with its length, and a forecast goes on
    as the dynamics do. The real intervals between the dates count, so that they need not be regular.

    How fast the state changes and how noisy an image is decide how much is smoothed. Both are estimated from a sample
    of the pixels by maximum likelihood, or given. With few dates (below about ten), or where most pixels do not change,
    look at what was found, and give the noise if you know it.

    The innovation of a date is the image less its forecast from the dates before, in standard deviations: beyond 3 or
    -3 the date is an anomaly, something that neither noise nor the dynamics explain (one in 370 is so by chance, and
    the first two or three dates of a series say little). For fractions it is that of the logarithm of each fraction to
    their geometric mean. Anomalies are followed by the states like anything else.

    The uncertainty holds for noise and steps that are normally distributed, of the size found; for fractions, those of
    the logarithms of their ratios. It leaves out that the noise itself is estimated."""

    id = "kalmanfilter"
    label = "Kalman filter and smoother"
    tags = (*StatesTool.tags, "Kalman filter", "smoother", "Rauch-Tung-Striebel", "anomaly", "innovation",
            "state space", "structural time series", "RTS")
    citation = ("R. E. Kalman, A new approach to linear filtering and prediction problems, Journal of Basic "
                "Engineering 82, 1960; H. E. Rauch, F. Tung and C. T. Striebel, Maximum likelihood estimates of linear "
                "dynamic systems, AIAA Journal 3(8), 1965; G. Chinellato, Deep Unfolding, PhD thesis, University of "
                "Padova, 2026, section 5.3")
    prefer = ("Take it first for any series: it is fast, and mostly as accurate as the others. The dynamics are the "
              "choice that counts: a trend for what grows or declines, harmonics for seasons. With six dates or fewer "
              "that differ much, interpolate instead.")
    doi = ("10.1115/1.3662552", "10.2514/3.3166")

    smooth = SMOOTH
    innovation = FolderOutput("INNOVATION", "Innovations", style=Style.CHANGE, dated=True, create=False, help="Folder "
                              "with a raster per image, with its bands: by how many standard deviations it differs "
                              "from its forecast. Beyond 3 or -3 it is an anomaly. Nodata (-9999) where the image is.")
    innovation_layers = LayersOutput("INNOVATIONLAYERS", "Innovations as layers", folder="INNOVATION", help="The "
                                     "rasters of the innovations as a list, for the next step of a model. " + ASKED)
    likelihood = RasterOutput("LIKELIHOOD", "Log-likelihood", style=Style.VALUES, create=False, help="Raster of how "
                              "well the model explains a pixel's series: its log-likelihood for each date with a "
                              "value. Low where the series has more noise, steps or breaks than others. Nodata is "
                              "-9999.")

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.kalmanfilter import estimate
        from ...algorithms.state_estimation.model import restart
        days, smoothed = model.days[model.observed], job.value(self.smooth)
        self.anomalous, self.seen = np.zeros(sequence.T, dtype=int), np.zeros(sequence.T, dtype=int)

        def estimate_block(Y, valid):
            y = model.series(Y, valid)
            found = estimate(y, days, [restart(each, part) for part, each in zip(model.split(y), model.components)],
                             at=model.days, smoothed=smoothed)
            more, reported = {}, job.wants(self.report)
            if job.wants(self.innovation) or reported:
                more[self.innovation.name] = standardised(found.innovation, found.deviation,
                                                          model.fractions).astype(np.float32).swapaxes(1, 2)
            if job.wants(self.likelihood):
                likelihood = found.loglikelihood / np.maximum(valid.sum(axis=0), 1)
                more[self.likelihood.name] = likelihood[None].astype(np.float32)
            return *model.back(found.mean, found.variance if job.wants(self.uncertainty) or reported else None), more
        return estimate_block

    def bands_of(self, output, model):
        return [self.likelihood.label] if output.name == self.likelihood.name else model.bands

    def dates_of(self, output, model):
        return [model.dates[each] for each in model.observed] if output.name == self.innovation.name else model.dates

    def look(self, found):
        import numpy as np
        if self.innovation.name not in found.more:
            return
        size = np.abs(found.more[self.innovation.name]).max(axis=1)
        self.anomalous += (size > ANOMALY).sum(axis=1)
        self.seen += np.isfinite(size).sum(axis=1)

    def write(self, job, sequence, model, estimate):
        means = super().write(job, sequence, model, estimate)
        if job.wants(self.innovation):
            job.give_range(self.innovation, -RANGE, RANGE)
        return means

    def add_to_report(self, job, report, sequence, model):
        report.heading("Anomalies")
        report.paragraph("Of the pixels with a value at a date, those of which a band is beyond 3 standard deviations "
                         "of its forecast from the dates before.")
        report.table(["Date", "pixels with a value", "anomalies (%)"], [
            [name, int(seen), 100 * float(count) / max(int(seen), 1)]
            for name, seen, count in zip(sequence.names, self.seen, self.anomalous)])


def standardised(e, deviation, fractions):
    """
    Innovations (T, n, m) in standard deviations; of fractions, those of logarithms to the geometric mean (T, n, P).

    In the softmax basis B these are B e, with the variances of B diag(deviation^2) B^T.
    """
    import numpy as np

    from ...algorithms.state_estimation.simplex import basis
    if not fractions:
        return e / deviation
    B = basis(e.shape[-1] + 1)
    return (e @ B.T) / np.sqrt(np.square(deviation) @ np.square(B).T)
