"""The tool `deepnmfd`."""

from ._events import EventTool


class DeepDeconvolution(EventTool):
    """Events in a series of images and the dates on which they began, by whole courses learned from a few samples.

    Deep-NMFD is a network whose layers are the steps of a nonnegative deconvolution: each series is its background plus
    the courses of events, shifted to the dates at which they begin and as strong as they are. Backgrounds keep to their
    season. The last layers' dictionaries are learned from the samples, and from series made of them in which events are
    moved to other pixels and dates. An event's index is its strength, and its date that at which it is strongest.

    About ten samples of each class and a hundred without an event, from every kind of ground, are a good beginning: the
    more of the latter, the fewer false alarms. Dates of the events help, and are found where they are missing. Each
    pixel has one event at most, the one of the largest index of those that pass their threshold.

    It uses a graphics card where there is one."""

    id = "deepnmfd"
    label = "Events from samples, whole courses (Deep-NMFD)"
    tags = (*EventTool.tags, "NMFD", "deconvolution", "deep unfolding", "unrolling", "neural network", "deep learning",
            "samples", "training", "supervised")
    citation = "G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, section 4.4"
    prefer = ("With about ten samples of each class of event. In our measurements it was more accurate than PAD-NMF "
              "and than a random forest. Without samples, take NMFD.")

    def network(self):
        from ...algorithms.events.deepnmfd import DeepNMFD
        return DeepNMFD
