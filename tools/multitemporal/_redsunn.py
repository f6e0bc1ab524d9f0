"""What learning and applying ReDSUNN share: what a trained model gives for a block, and its file."""

from ...engine.declare import FolderOutput, Integer, LayersOutput, RasterOutput, Style
from . import _sequence


class ModelTool(_sequence.SequenceTool):
    """A tool that unmixes with a trained model, block by block."""

    requires = (*_sequence.SequenceTool.requires, "torch")
    tags = (*_sequence.SequenceTool.tags, "ReDSUNN", "deep learning", "variational", "LSTM", "recurrent",
            "spectral variability", "uncertainty", "gap filling")
    citation = ("Borsoi, Imbiriba and Closas, Dynamical hyperspectral unmixing with variational recurrent neural "
                "networks, IEEE Transactions on Image Processing 32, 2023")
    doi = ("10.1109/TIP.2023.3266660",)

    draws = Integer("DRAWS", "Draws for the uncertainty", default=50, minimum=2, maximum=100000, advanced=True,
                    help="From so many draws of the posterior the uncertainty is taken, 2 to 100000. Default 50, which "
                         "gives it to a tenth. Without meaning where no uncertainty is asked for.")
    uncertainty = _sequence.UNCERTAINTY
    uncertainty_layers = _sequence.UNCERTAINTY_LAYERS
    variability = FolderOutput("VARIABILITY", "Variability of the spectra", style=Style.DEPARTURE, dated=True,
                               create=False, help="Folder with a raster per date, with a band per endmember: how far "
                               "its spectrum in the pixel is from the reference, as a share of it (0.1 is ten per "
                               "cent). It means little where the endmember's fraction is near zero. Nodata is -9999.")
    variability_layers = LayersOutput("VARIABILITYLAYERS", "Variability as layers", folder="VARIABILITY", help="The "
                                      "rasters of the variability as a list, for the next step of a model. " +
                                      _sequence.ASKED)
    detector = RasterOutput("CHANGEINDEX", "Change index", style=Style.DEPARTURE, create=False, help="Raster with a "
                            "band for every date but the first: half the sum of the absolute differences between the "
                            "fractions expected from the date before and those that the image shows by itself, 0 to 1 "
                            "(u of eq. 44). High values are abrupt changes. Nodata is -9999.")

    def run(self, job):
        from ...algorithms.device import one_thread_each
        with one_thread_each():
            super().run(job)

    def prepare(self, job, sequence):
        self.model, spectra = self.trained(job, sequence)
        return spectra, lambda Y, valid, positions: self.block(job, Y, valid)

    def trained(self, job, sequence):
        """The model, and its reference endmembers as `engine.spectra.Spectra`."""
        raise NotImplementedError

    def block(self, job, Y, valid):
        import numpy as np
        found = self.model.unmix(Y, valid)
        more = {}
        if job.wants(self.uncertainty):
            more[self.uncertainty.name] = self.model.uncertainty(Y, valid, job.value(self.draws), job.value(self.seed))
        if job.wants(self.variability):
            more[self.variability.name] = self.model.departure(found.psi)
        if job.wants(self.detector):
            more[self.detector.name] = np.where(valid, found.u, np.nan)[1:]
        return _sequence.Block(found.A, Y - self.model.reconstruction(found), more)

    def bands_of(self, output, sequence, names):
        return sequence.names[1:] if output.name == self.detector.name else names
