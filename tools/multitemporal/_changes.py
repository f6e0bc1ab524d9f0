"""How changes of abundances are shown: transitions and their areas, classes and their colours, pictures, the report."""

BINS = 50          # of the histogram of steps, from 0 to 1
SHOWN = 400        # pixels of the longer side of a picture in the report
PALE = 0.6         # how much white is in the colour of a class that stays
ORIGIN = 0.25      # how much of the old class's colour is in that of a change
STAYED = "#e4e4e4"


def steps_of(sequence):
    """Names of the steps from date to date."""
    return [f"{earlier} to {later}" for earlier, later in zip(sequence.names, sequence.names[1:])]


def transitions_of(counts, classes, grid):
    """Rows of the table of transitions that occur, from their numbers of pixels `counts` (classes, classes)."""
    import numpy as np
    name, size = area_of_pixel(grid)
    return [{"from": classes[one], "to": classes[other], "changed": int(one != other),
             "pixels": int(counts[one, other]), "percent": 100 * float(counts[one, other] / counts.sum()),
             **({name: size * float(counts[one, other])} if name else {})} for one, other in np.argwhere(counts)]


def area_of_pixel(grid):
    """What to call an area, and that of a pixel: hectares, or square units without a CRS; (None, 0) in degrees."""
    size = abs(grid.map_transform.determinant)
    if not grid.crs:
        return "area", size
    return ("hectares", size * grid.crs.linear_units_factor[1] ** 2 / 10000) if grid.crs.is_projected else (None, 0)


def date_classes(dates):
    """Names and colours of the classes of a map of dates of change, from 1."""
    import numpy as np
    from plotly.colors import sample_colorscale
    shades = sample_colorscale("Plasma", np.linspace(0.1, 0.95, len(dates) - 1).tolist(), colortype="tuple")
    return ["no change", *dates[1:]], [STAYED, *(_hex(255 * np.array(shade)) for shade in shades)]


def fromto_classes(counts, classes):
    """Numbers, names and colours of the classes of a from-to map that occur."""
    import numpy as np

    from ...engine.palette import colours, rgb
    own = [np.array(rgb(colour)) for colour in colours(classes)]
    white = np.array([255, 255, 255])
    pairs = np.argwhere(counts).tolist()
    return ([100 * (one + 1) + other + 1 for one, other in pairs],
            [classes[one] if one == other else f"{classes[one]} to {classes[other]}" for one, other in pairs],
            [_hex(PALE * white + (1 - PALE) * own[one] if one == other else
                  ORIGIN * own[one] + (1 - ORIGIN) * own[other]) for one, other in pairs])


def _hex(rgb):
    return "#" + "".join(f"{round(float(value)):02x}" for value in rgb)


class Thumbnails:
    """Pictures of everything for the report, of every so many rows and columns, put together from blocks."""

    def __init__(self, grid, P):
        import numpy as np
        self._step = -(-max(grid.width, grid.height) // SHOWN)
        self._width, self._P = grid.width, P
        self._layers = np.full((2 * P + 3, -(-grid.height // self._step), -(-grid.width // self._step)), np.nan,
                               dtype=np.float32)

    def part(self, positions, ends, values):
        """What `add` takes: the pixels of a block that are shown."""
        import numpy as np
        row, col = np.divmod(positions, self._width)
        chosen = (row % self._step == 0) & (col % self._step == 0)
        layers = [*ends[0], *ends[1], *(values[name] for name in ("MAGNITUDE", "DATEOFCHANGE", "FROMTO"))]
        return row[chosen] // self._step, col[chosen] // self._step, [layer[chosen] for layer in layers]

    def add(self, part):
        row, col, layers = part
        for image, layer in zip(self._layers, layers):
            image[row, col] = layer

    def composites(self, names):
        """The abundances at the first and the last date in the endmembers' colours, two (3, rows, cols) of bytes."""
        import numpy as np

        from ...engine.pictures import composite
        P, (_, height, width) = self._P, self._layers.shape
        pictures = []
        for A in (self._layers[:P], self._layers[P:2 * P]):
            picture = composite(A.reshape(P, -1), names).reshape(3, height, width)
            pictures.append(np.where(np.isfinite(A).all(axis=0), picture, 255).astype(np.uint8))
        return pictures

    @property
    def magnitude(self):
        return self._layers[-3]

    @property
    def dates(self):
        return self._layers[-2]

    @property
    def codes(self):
        return self._layers[-1]


def add_to_report(report, sequence, classes, found, transitions, thumbnails, threshold):
    """The plots of the report: what was there, what became of it, when and where."""
    import numpy as np
    endmembers = sequence.grid.band_names
    report.heading("Mean fractions over time")
    means = np.where(found["known"][:, None] > 0, found["fractions"] / np.maximum(found["known"], 1)[:, None], np.nan)
    report.history(sequence.names, dict(zip(endmembers, means.T)), "Mean fraction")
    report.heading("First and last date")
    for picture, date in zip(thumbnails.composites(endmembers), (sequence.names[0], sequence.names[-1])):
        report.picture(picture, f"{date}: all fractions, each endmember in its colour", width=450)
    report.heading("From what into what")
    add_matrix(report, found["transitions"], classes)
    numbers, names, colours = fromto_classes(found["transitions"], classes)
    add_class_map(report, thumbnails.codes, numbers, names, colours)
    changed = sorted((row for row in transitions if row["changed"]), key=lambda row: -row["pixels"])
    if changed:
        report.heading("Changes of the dominant endmember")
        report.table([name.capitalize() for name in changed[0] if name != "changed"],
                     [[value for name, value in row.items() if name != "changed"] for row in changed])
    report.heading("Magnitude of change, from the first to the last date")
    report.maps({"": thumbnails.magnitude}, "Magnitude", limits=(0.0, 1.0))
    report.heading(f"Date of change: where a step is above {threshold:g}")
    names, colours = date_classes(sequence.names)
    add_class_map(report, thumbnails.dates, range(1, len(names) + 1), names, colours)
    add_dates(report, sequence, found, colours[1:])
    add_sizes(report, sequence, found, colours[1:], threshold)


def add_matrix(report, counts, classes):
    """The transitions as a matrix of percentages, of the classes that occur."""
    present = [number for number in range(len(classes)) if counts[number].any() or counts[:, number].any()]
    rows = [[classes[one], *(f"{100 * counts[one, other] / counts.sum():.1f}" for other in present),
             f"{100 * counts[one].sum() / counts.sum():.1f}"] for one in present]
    rows.append(["all", *(f"{100 * counts[:, other].sum() / counts.sum():.1f}" for other in present), "100"])
    report.paragraph("Percent of the pixels, by the endmember with the largest fraction: rows at the first date, "
                     "columns at the last.")
    report.table(["From / to", *(classes[number] for number in present), "all"], rows)


def add_class_map(report, image, numbers, names, colours):
    """A map (rows, cols) of classes in their colours, with a legend; 0 and NaN are left white."""
    import numpy as np
    import plotly.graph_objects as go
    place = {number: at for at, number in enumerate(numbers)}
    shown = np.array([[place.get(int(value), np.nan) if np.isfinite(value) else np.nan for value in row]
                      for row in image])
    count = len(names)
    scale = [(edge / count, colour) for at, colour in enumerate(colours) for edge in (at, at + 1)]
    figure = go.Figure(go.Heatmap(z=shown, zmin=-0.5, zmax=count - 0.5, colorscale=scale, showscale=False,
                                  hoverongaps=False))
    for name, colour in zip(names, colours):
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name,
                           marker=dict(symbol="square", size=12, color=colour, line=dict(color="#999", width=1)))
    figure.update_yaxes(autorange="reversed", scaleanchor="x", showticklabels=False, showgrid=False, zeroline=False)
    figure.update_xaxes(showticklabels=False, constrain="domain", showgrid=False, zeroline=False)
    figure.update_layout(plot_bgcolor="white")
    report.plot(figure, height=500)


def add_dates(report, sequence, found, colours):
    """Bars of how many pixels have each date as that of their change."""
    import plotly.graph_objects as go
    percent = 100 * found["dates"][2:] / found["pixels"]
    figure = go.Figure(go.Bar(x=sequence.names[1:], y=percent, marker_color=colours, showlegend=False))
    figure.update_layout(xaxis=dict(title="Date of change", type="category"), yaxis_title="Pixels (%)")
    report.heading("When it changed")
    report.plot(figure, height=300)


def add_sizes(report, sequence, found, colours, threshold):
    """How large the steps to each date are, as curves and as a table."""
    import numpy as np
    import plotly.graph_objects as go
    counts = found["sizes"]
    total = np.maximum(counts.sum(axis=1), 1)
    figure = go.Figure()
    for name, share, colour in zip(steps_of(sequence), 100 * counts / total[:, None], colours):
        figure.add_scatter(x=(np.arange(BINS) + 0.5) / BINS, y=np.where(share > 0, share, np.nan), name=name,
                           mode="lines+markers", line=dict(color=colour), marker=dict(size=4))
    figure.add_vline(x=threshold, line_dash="dash", line_color="#555", annotation_text="threshold")
    figure.update_layout(xaxis=dict(title="Size of the step", range=[0, 1]), yaxis_type="log",
                         yaxis_title="Pixels (%), logarithmic")
    report.heading("How large the steps are")
    report.plot(figure)
    below = np.cumsum(counts, axis=1) / total[:, None]
    report.table(["Step", "Pixels", "Mean", "95 % are below", "Changed most at it (%)"], [
        [name, int(number), float(size / number) if number else float("nan"),
         float((np.searchsorted(part, 0.95) + 1) / BINS) if number else float("nan"),
         float(100 * changed / found["pixels"])]
        for name, number, size, part, changed in zip(steps_of(sequence), counts.sum(axis=1), found["steps"], below,
                                                     found["dates"][2:])])
