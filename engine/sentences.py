"""What the engine says to people: a template, which is also its id for translation, and its arguments."""

# sentences that are said in more than one place
ONE_BAND = ("{label} has one band; unmixing needs a raster with at least two. Choose a hyperspectral or multispectral "
            "raster.")
NO_SPECTRA = ("The layer for {what} has no features, so no spectra. Choose a layer that holds spectra, or clear its "
              "selection and filter.")
NO_INFORMATION = ("{path} holds no band with information: each is nodata or constant throughout, or flagged as bad. "
                  "Choose another raster, or name the bands to use.")


def phrase(words):
    """Words that fill a place of a sentence, marked so that they are translated with it."""
    return words


class Sentence:
    """A sentence for the user: `template` with `{name}` places, and the values to put there."""

    def __init__(self, template, **arguments):
        self.template = template
        self.arguments = arguments

    def __str__(self):
        return self.template.format(**self.arguments)


class UserError(Exception):
    """Something the user can mend. Says what is wrong, its value, and the way out."""

    def __init__(self, template, **arguments):
        self.sentence = Sentence(template, **arguments)
        super().__init__(str(self.sentence))


class UnreadableRaster(UserError):
    """
    A raster that the engine's GDAL cannot open; QGIS's own may, so the provider can offer a copy.

    `names` are those of all rasters of which this is known, the one that the sentence is about first.
    """

    def __init__(self, name, path, reason):
        self.names = [name]
        super().__init__("{path} cannot be read as a raster: {reason}. Choose a raster file that GDAL can open.",
                         path=path, reason=reason)


def sentence_of(error):
    """What an error says as a whole sentence: a capital first, a full stop last."""
    words = str(error).strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) or not words else ".")
