"""The tool `fclssequence`."""

from ...engine.declare import Flag, Integer
from .. import _shared
from . import _sequence


class SequenceByFcls(_sequence.SequenceTool):
    """Fractions at every date, each image unmixed by itself: the baseline of multitemporal unmixing.

    Endmembers are looked for in each image by vertex component analysis (VCA) and put into one order for all dates, by
    the least total spectral angle; fractions are fully constrained least squares (FCLS), never negative and summing to
    one. With endmembers given, these are used at every date.

    Nothing else passes from one date to the next: where VCA takes other pixels at one date, or light and season change
    the spectra, fractions change though the ground did not. The other tools of this group use the dates together."""

    id = "fclssequence"
    label = "Unmix a sequence date by date (FCLS)"
    tags = (*_sequence.SequenceTool.tags, "FCLS", "VCA", "constrained")
    citation = ("Heinz and Chang, Fully constrained least squares linear spectral mixture analysis method for material "
                "quantification in hyperspectral imagery, IEEE Transactions on Geoscience and Remote Sensing 39(3), "
                "2001; as compared in Borsoi, Imbiriba and Closas, Dynamical hyperspectral unmixing with variational "
                "recurrent neural networks, IEEE Transactions on Image Processing 32, 2023")
    prefer = ("Take it first, with one set of endmembers for all dates: so it was the most accurate on all sequences "
              "that we measured, and it is fast. Where each date has spectra of its own, take OU.")
    doi = ("10.1109/36.911111", "10.1109/TIP.2023.3266660")

    restarts = Integer("RESTARTS", "Runs of VCA", default=1, minimum=1, maximum=10000, advanced=True,
                       help="Of so many runs of VCA on each image the largest simplex counts, 1 to 10000. Default 1, "
                            "as published; more make it depend less on the seed.")
    common = Flag("COMMON", "One set of endmembers for all dates", default=False, help="Look for endmembers in all "
                  "images together, move them to where they fit the pixels of all dates best (maximum likelihood), and "
                  "weigh the bands by the covariance of what they leave, which is mostly the spectra's variability. "
                  "Where materials keep their spectra, within some ten per cent, this is far more accurate than each "
                  "date by itself, and as fast. Default no, the published baseline. Not used where endmembers are "
                  "given.")
    dated_endmembers = _sequence.DATED_ENDMEMBERS

    def prepare(self, job, sequence):
        import numpy as np

        from ...engine.spectra import of_scene
        job.passes(self.passes(job))
        given, common = job.spectra(self.endmembers) is not None, job.value(self.common)
        if given or common:
            spectra, R = self.reference(job, sequence), None
            if not given:
                spectra, R = self.settled(job, sequence, spectra)
            return spectra, self.by_date(job, sequence, spectra, np.stack([spectra.M] * sequence.T), R)
        M = self._endmembers(job, sequence)
        spectra = of_scene(sequence.grid, M.mean(axis=0), _shared.numbered(M.shape[2]),
                           ["mean of all dates"] * M.shape[2])
        return spectra, self.by_date(job, sequence, spectra, M)

    def passes(self, job):
        return 2 if job.value(self.endmembers) is None else 1   # the images one by one, and all together

    def _endmembers(self, job, sequence):
        """Endmembers (T, L, P) of every date by VCA, in one order."""
        import numpy as np

        from ...algorithms.endmembers.vca import vca
        from ...algorithms.multitemporal.sequence import aligned
        from ...engine.sentences import UserError
        rng = np.random.default_rng(job.value(self.seed))
        found = []
        for done, (scene, date) in enumerate(zip(sequence.scenes, sequence.names), 1):
            try:
                found.append(vca(scene.pixels(), job.value(self.count), rng, restarts=job.value(self.restarts)).E)
            except ValueError as error:
                raise UserError("The image of {date}: {problem} Or leave this image out.", date=date,
                                problem=str(error)) from error
            job.progress(done, sequence.T)
        return np.stack([M[:, order] for M, order in zip(found, aligned(found))])
