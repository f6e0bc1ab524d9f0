"""The tool `importspectra`."""

from ...engine.declare import FileInput, Group, SpectraOutput, Tool


class ImportSpectra(Tool):
    """A layer of spectra from a file: CSV, EcoSIS text or an ENVI spectral library.

    Tables may hold spectra in rows, with wavelengths in the first line, or in columns, with wavelengths in the first
    column; cells may be parted by commas, semicolons, tabs or blanks, and with semicolons and tabs the comma may be the
    decimal mark. The first column of text, or the one called name, names the spectra; other columns become fields.
    Empty cells and -1.23e34 are missing values.

    Of an ENVI library choose the .sli file or its .hdr; values are divided by the header's reflectance scale factor,
    and the fields of a .csv of the same name are taken along. Wavelengths may be in any unit; where none is given,
    numbers below 100 are micrometres, others nanometres. A file without wavelengths gives band numbers.

    It fails, and says in which line, where a table has rows of unequal length or text in the place of a number."""

    id = "importspectra"
    label = "Import spectra"
    group = Group.ENDMEMBERS
    tags = ("spectral library", "field spectra", "CSV", "ENVI", "EcoSIS", "sli", "endmembers", "load", "read")
    citation = ("EcoSIS, the Ecological Spectral Information System, ecosis.org; ENVI header files, NV5 Geospatial, "
                "documentation of ENVI")
    prefer = ("Take it for spectra of a library or a field spectrometer; they need the image's units, such as "
              "reflectance from 0 to 1. Spectra that Extract spectra takes from the image itself share its light and "
              "atmosphere.")

    file = FileInput("FILE", "File of spectra", extensions=("csv", "txt", "sli", "hdr"), help="CSV or EcoSIS text "
                     "(.csv, .txt), or an ENVI spectral library (.sli or its .hdr, both in one folder).")
    endmembers = SpectraOutput("ENDMEMBERS", "Endmembers", optional=False, help="Layer with one spectrum per feature: "
                               "name, profile (wavelengths in nanometres), source, and the file's further fields.")
    example = {"FILE": "library.csv"}

    def run(self, job):
        from ...engine.formats import read_spectra
        spectra = read_spectra(job.value(self.file), job.say)
        if spectra.wavelengths:
            job.say("Read {count} spectra of {bands} values, {first} to {last} nm.", count=spectra.P,
                    bands=len(spectra.x), first=round(float(spectra.x.min())), last=round(float(spectra.x.max())))
        else:
            job.warn("The file holds no wavelengths: its {count} spectra of {bands} values are matched to rasters by "
                     "band number.", count=spectra.P, bands=len(spectra.x))
        job.give_spectra(self.endmembers, spectra)
