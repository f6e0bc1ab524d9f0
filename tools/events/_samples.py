"""Samples of events: the pixels of a series under points and polygons, their classes, and the dates they began."""

from dataclasses import dataclass

SHOWN = 5   # values of a field that a sentence names


@dataclass(frozen=True)
class EventSamples:
    """
    Attributes
    ----------
    X : ndarray (m, Q, n) float32
        Values of m bands in Q pixels at n dates; 0 where not valid.
    valid : ndarray (Q, n) of bool
    label : ndarray (Q,) of int
        0 without an event, otherwise the class, 1..C.
    names : list of C str
        In the order in which the layer first names them.
    date : ndarray (Q,) of int
        The image, from 0, with which the event begins; -1 where that is not known or nothing happened.
    """

    X: object
    valid: object
    label: object
    names: list
    date: object

    @property
    def counts(self):
        """Pixels without an event, and of each class (C + 1,)."""
        import numpy as np
        return np.bincount(self.label, minlength=len(self.names) + 1)


def event_samples(job, sequence, features, event_field, date_field, no_event, clip):
    """
    The pixels of all dates under samples.

    Parameters
    ----------
    job : Job
        Is told what is left out, and of the progress, one pass.
    sequence : Sequence
    features : list of dict
        Points or polygons as `Job.features` has them. A polygon takes the pixels whose centres it holds.
    event_field : str
        The field that names the class.
    date_field : str or None
        The field of the date, a date or one in ISO 8601. A date belongs to the first image at or after it.
    no_event : str
        The class of samples without an event, whatever its capitals.
    clip : bool
        Set negative values to 0.

    Returns
    -------
    EventSamples

    Raises
    ------
    UserError
        No samples, or none on the images; a field that is not there; a date that is none or outside the series; no
        sample without an event; a class with fewer than two pixels; negative values without `clip`.
    """
    from ...engine.sentences import UserError
    positions, label, date, names = _placed(job, sequence, features, event_field, date_field, no_event)
    X, valid = _pixels(job, sequence, positions)
    seen = valid.any(axis=1)
    if not seen.any():
        raise UserError("All {count} pixels under the samples are nodata at every date. Draw samples where the images "
                        "have values.", count=len(seen))
    if not seen.all():
        job.warn("Left out {count} of {all} pixels under samples: they are nodata at every date.",
                 count=int((~seen).sum()), all=len(seen))
        X, valid, label, date = X[:, seen], valid[seen], label[seen], date[seen]
    X, negative = nonnegative(X, clip, "the samples")
    if negative:
        job.say("Set {count} of {all} values of the samples that are negative to 0.", count=negative, all=X.size)
    samples = EventSamples(X, valid, label, names, date)
    counts = samples.counts
    if not counts[0]:
        raise UserError("No sample is without an event: none on the images has the value {value} in the field {field}, "
                        "which holds {names}. Add such samples, or name the value that marks them (NOEVENT).",
                        value=no_event, field=event_field, names=_listed(names))
    for name, count in zip(names, counts[1:]):
        if count < 2:
            raise UserError("The event {name} has {count} sample pixels on the images, and at least 2 are needed to "
                            "learn from. Add samples of it, or leave it out.", name=name, count=int(count))
    return samples


def nonnegative(values, clip, where):
    """Values in which negative ones are set to 0 where that was asked for, and how many; else they are refused."""
    import numpy as np

    from ...engine.sentences import UserError
    negative = int(np.count_nonzero(values < 0))
    if negative and not clip:
        raise UserError("{count} of {all} values of {where} are negative, the least {least}, and this method needs "
                        "values of at least 0. Tick Clip negative values (CLIP), or use data that are not negative.",
                        count=negative, all=values.size, where=where, least=f"{float(values.min()):.4g}")
    return np.maximum(values, 0) if negative else values, negative


def _placed(job, sequence, features, event_field, date_field, no_event):
    """Positions (Q,) in the images of the pixels under samples, ascending, their classes, dates, and classes' names."""
    import numpy as np
    from rasterio.windows import Window

    from ...engine.samples import group_samples
    from ...engine.sentences import UserError
    grid = sequence.grid
    _, without = group_samples(grid, features, event_field)
    if without:
        job.warn("Left out {count} samples without a value in the field {field}.", count=without, field=event_field)
    names, where, label, date, outside = [], [], [], [], 0
    everything = Window(0, 0, grid.width, grid.height)
    for feature in features:
        groups, _ = group_samples(grid, [feature], event_field)
        if not groups:
            continue
        event = groups[0].name
        none = event.casefold() == no_event.strip().casefold()
        if not none and event not in names:
            names.append(event)
        pixels = [shape.within(everything) for shape in groups[0].shapes]
        pixels = np.unique(np.concatenate(pixels)) if pixels else np.empty(0, int)
        outside += not len(pixels)
        began = -1 if none or not date_field else _image_of(sequence, feature, date_field)
        where.append(pixels)
        label.append(np.full(len(pixels), 0 if none else names.index(event) + 1))
        date.append(np.full(len(pixels), began))
    if not names:
        raise UserError("No sample names an event: the field {field} holds nothing but {value}. Add samples of events, "
                        "or choose the field that names them.", field=event_field, value=no_event)
    where, label, date = (np.concatenate(parts) for parts in (where, label, date))
    if not len(where):
        raise UserError("None of the {count} samples lies on the images. Choose samples in their area, and check the "
                        "CRS of both.", count=outside)
    if outside:
        job.warn("Left out {count} samples that lie outside the images.", count=outside)
    return *_once(job, where, label, date), names


def _once(job, where, label, date):
    """Each pixel once; those under samples that disagree are left out."""
    import numpy as np

    from ...engine.sentences import UserError
    rows = np.unique(np.stack([where, label, date]), axis=1)
    _, first, times = np.unique(rows[0], return_index=True, return_counts=True)
    if (times > 1).all():
        raise UserError("All {count} pixels under the samples lie under several, of different events or dates. Mend "
                        "the samples.", count=len(times))
    if (times > 1).any():
        job.warn("Left out {count} pixels under samples of different events or dates.", count=int((times > 1).sum()))
    return tuple(rows[:, first[times == 1]])


def _image_of(sequence, feature, field):
    """The image, from 0, at or after the date of a sample's event; -1 where it has none."""
    from bisect import bisect_left

    from ...engine.dates import parse
    from ...engine.sentences import UserError
    attributes = feature["attributes"]
    if field not in attributes:
        raise UserError("The samples have no field {field}. Choose one of: {fields}.", field=field,
                        fields=", ".join(attributes))
    value = attributes[field]
    if value is None or not str(value).strip():
        return -1
    date = parse(value)
    if date is None:
        raise UserError("The sample {id} has {value} in the field {field}, which is no date. Write dates as "
                        "2020-05-01, or leave out those that are not known.", id=feature["id"], value=value,
                        field=field)
    if not sequence.dates[0].date() <= date.date() <= sequence.dates[-1].date():
        raise UserError("The event of sample {id} has the date {value}, outside the series, which runs from {first} to "
                        "{last}. Mend the date, leave the sample out, or add images.", id=feature["id"], value=value,
                        first=sequence.names[0], last=sequence.names[-1])
    return min(bisect_left(sequence.dates, date), sequence.T - 1)


def _pixels(job, sequence, positions):
    """The pixels at row-major `positions` (Q,), ascending: X (m, Q, n) with 0 where not valid, valid (Q, n)."""
    import numpy as np
    from rasterio.windows import Window

    from ...engine.memory import need
    need(8 * sequence.L * len(positions) * sequence.T, "Draw smaller samples, or use fewer bands or images.")
    X = np.zeros((sequence.L, len(positions), sequence.T), dtype=np.float32)
    valid = np.zeros((len(positions), sequence.T), dtype=bool)
    rows, columns = np.divmod(positions, sequence.grid.width)
    windows = sequence.windows()
    for done, window in enumerate(windows, 1):
        inside = np.flatnonzero((rows >= window.row_off) & (rows < window.row_off + window.height)
                                & (columns >= window.col_off) & (columns < window.col_off + window.width))
        if len(inside):
            top, left = int(rows[inside].min()), int(columns[inside].min())
            box = Window(left, top, int(columns[inside].max()) - left + 1, int(rows[inside].max()) - top + 1)
            Y, good = sequence.read(box)
            at = (rows[inside] - top) * box.width + columns[inside] - left
            valid[inside] = good[:, at].T
            X[:, inside] = np.where(good[:, None, at], Y[:, :, at], 0).transpose(1, 2, 0)
        job.progress(done, len(windows))
    return X, valid


def _listed(names):
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
