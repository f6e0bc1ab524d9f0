"""The tool `exportspectra`."""

from ...engine.declare import FileOutput, Group, SpectraInput, Tool


class ExportSpectra(Tool):
    """A file from a layer of spectra: CSV, ENVI spectral library or EcoSIS text.

    The file's extension chooses the format. A CSV (.csv) has one spectrum per line: its name, source, position and
    fields, then a value for each wavelength in nanometres. An ENVI library (.sli) gets its header (.hdr) beside it and,
    where spectra have further fields, a table of them (.csv). EcoSIS text (.txt) is laid out as the CSV, without
    positions, and needs wavelengths.

    Spectra on different wavelengths are brought to those of the first. Missing values are empty cells, or -1.23e34 in
    an ENVI library."""

    id = "exportspectra"
    label = "Export spectra"
    group = Group.ENDMEMBERS
    tags = ("spectral library", "CSV", "ENVI", "EcoSIS", "sli", "endmembers", "save", "write")
    citation = ("EcoSIS, the Ecological Spectral Information System, ecosis.org; ENVI header files, NV5 Geospatial, "
                "documentation of ENVI")
    prefer = "Take it to use spectra in other programs, or to keep them as a library that Import spectra reads again."

    endmembers = SpectraInput("ENDMEMBERS", "Endmembers", help="Layer of spectra: a feature each, with the fields name "
                              "and profile.")
    file = FileOutput("FILE", "File of spectra", extensions=("csv", "sli", "txt"), optional=False, help="Where to "
                      "write them. The extension chooses the format: .csv, .sli (ENVI, with a .hdr beside it) or .txt "
                      "(EcoSIS).")
    example = {"ENDMEMBERS": "endmembers"}

    def run(self, job):
        from ...engine.formats import write_spectra
        spectra = job.spectra(self.endmembers)
        write_spectra(job.path(self.file), spectra)
        job.say("Wrote {count} spectra of {bands} values.", count=spectra.P, bands=len(spectra.x))
