"""The tool `padnmf`."""

from ._events import EventTool


class PhysicsAwareNMF(EventTool):
    """Events that show their whole course date by date, and when they began, learned from a few samples.

    PAD-NMF is a network whose layers are the steps of a nonnegative factorisation, and whose dictionaries hold the
    courses that events and backgrounds take through the dates. Each date is looked at together with those before it
    (Hankel extension), so an event shows as a diagonal of activations: all dates of its course must fire in order,
    whenever it begins. Backgrounds keep to their season. The last layers' dictionaries are learned from the samples,
    and from series made of them in which events are moved to other pixels and dates.

    About ten samples of each class and a hundred without an event, from every kind of ground, are a good beginning: the
    more of the latter, the fewer false alarms. Dates of the events help, and are found where they are missing. Each
    pixel has one event at most, the one of the largest index of those that pass their threshold.

    It uses a graphics card where there is one."""

    id = "padnmf"
    label = "Events from samples, date by date (PAD-NMF)"
    tags = (*EventTool.tags, "NMF", "Hankel", "deep unfolding", "unrolling", "neural network", "deep learning",
            "samples", "training", "supervised")
    citation = "G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, section 4.3"
    prefer = ("With samples, only where a pixel must show the whole course of an event, date by date. Deep-NMFD is "
              "faster and was more accurate in our measurements.")

    def network(self):
        from ...algorithms.events.padnmf import PadNMF
        return PadNMF
