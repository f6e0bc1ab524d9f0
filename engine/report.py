"""The HTML report of a run: one self-contained file with the numbers, the plots and the pictures."""

import base64
import html

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rasterio.io import MemoryFile

from .palette import colours
from .spectra import GAP

STYLE = """
body { font-family: "Segoe UI", "DejaVu Sans", sans-serif; color: #222; max-width: 980px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.1em; margin-top: 2em; border-bottom: 1px solid #ddd; }
.by { color: #777; margin-top: .2em; } table { border-collapse: collapse; margin-bottom: 1em; }
td, th { padding: .25em .9em; text-align: left; }
th { border-bottom: 2px solid #999; } td { border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums; }
.key { display: flex; flex-wrap: wrap; gap: 2em; margin: 1.2em 0; } .key div { font-size: 1.7em; }
.key span { display: block; font-size: .5em; color: #777; } figure { margin: .6em .4em .6em 0; display: inline-block; }
figure img { image-rendering: pixelated; max-width: 100%; border: 1px solid #ccc; }
figcaption { color: #555; font-size: .9em; }
.cite, .run { color: #555; font-size: .9em; } .run td { font-family: monospace; border: 0; padding: .1em .8em .1em 0; }
.warning { background: #fff4e0; border-left: 4px solid #e69f00; padding: .5em 1em; }
"""

WIDTH = 800    # pixels, about, that maps side by side have on the page
PIXELS = 200   # of a map's longer side in a plot
FEW = 6   # lines whose legend fits into one row above the plot
MARKS = 13   # on an axis of whole numbers, at most
DECADES = 100   # least ratio of the ends of a logarithmic axis that powers of ten alone mark


class Report:
    """Collects the parts of a report in their order; `html()` puts them together."""

    def __init__(self, title, about):
        self.title, self.about, self._parts, self._scripted = title, about, [], False

    def numbers(self, **values):
        """The figures that matter most, large: keywords are their captions, underscores for spaces."""
        cells = "".join(f"<div>{text(value)}<span>{html.escape(name.replace('_', ' '))}</span></div>"
                        for name, value in values.items())
        self._parts.append(f'<div class="key">{cells}</div>')

    def heading(self, words):
        self._parts.append(f"<h2>{html.escape(words)}</h2>")

    def paragraph(self, words, kind=""):
        self._parts.append(f'<p class="{kind}">{html.escape(str(words))}</p>')

    def table(self, heads, rows):
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in heads)
        body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def plot(self, figure, height=380):
        """A plotly figure; the first brings plotly's own script along, so that the file needs nothing else."""
        few = sum(trace.showlegend is not False and trace.type != "heatmap" for trace in figure.data) <= FEW
        height = height if few else max(height, 120 + 21 * len(figure.data))
        # a legend above the plot, or the captions of maps, need room below plotly's buttons
        figure.update_layout(template="plotly_white", height=height, margin=dict(l=60, r=20, t=50 if few else 30, b=50),
                             legend=dict(orientation="h", y=1, yanchor="bottom") if few else dict(orientation="v"))
        self._parts.append(figure.to_html(full_html=False, include_plotlyjs=not self._scripted,
                                          config={"displaylogo": False}))
        self._scripted = True

    def spectra(self, spectra, caption="Endmember spectra"):
        """The spectra as lines in their colours, broken where bands are missing."""
        figure = go.Figure()
        for name, column, colour in zip(spectra.names, spectra.M.T, colours(spectra.names)):
            x, y = broken(spectra.x, column)
            figure.add_scatter(x=x, y=y, name=name, mode="lines", line=dict(color=colour))
        figure.update_layout(xaxis_title="Wavelength (nm)" if spectra.wavelengths else "Band",
                             yaxis_title="Value (raster's units)")
        self.heading(caption)
        self.plot(figure)

    def spectra_by_date(self, spectra, dates, M, caption="Endmembers of every date"):
        """The spectra `M` (T, L, P) of every date, each endmember in its colour, paler the older."""
        figure = go.Figure()
        for number, (name, colour) in enumerate(zip(spectra.names, colours(spectra.names))):
            for t, (date, M_t) in enumerate(zip(dates, M)):
                x, y = broken(spectra.x, M_t[:, number])
                figure.add_scatter(x=x, y=y, name=name, mode="lines", line=dict(color=colour), legendgroup=name,
                                   opacity=0.25 + 0.75 * (t + 1) / len(dates), hovertext=f"{name}, {date}",
                                   showlegend=t == len(dates) - 1)
        figure.update_layout(xaxis_title="Wavelength (nm)" if spectra.wavelengths else "Band",
                             yaxis_title="Value (raster's units)")
        self.heading(caption)
        self.plot(figure)

    def bands(self, spectra, percentiles, caption):
        """
        Each spectrum dashed in its colour, with the (low, middle, high) `percentiles` (3, L) around it, or None.
        """
        figure = go.Figure()
        for name, column, colour, band in zip(spectra.names, spectra.M.T, colours(spectra.names), percentiles):
            if band is not None:
                (x, low), (_, middle), (_, high) = (broken(spectra.x, values) for values in band)
                for first, last in stretches(low):
                    figure.add_scatter(x=np.r_[x[first:last], x[first:last][::-1]], line=dict(width=0), fill="toself",
                                       y=np.r_[low[first:last], high[first:last][::-1]], fillcolor=colour, opacity=0.25,
                                       mode="lines", hoverinfo="skip", showlegend=False, legendgroup=name)
                figure.add_scatter(x=x, y=middle, name=name, mode="lines", line=dict(color=colour), legendgroup=name)
            x, y = broken(spectra.x, column)
            figure.add_scatter(x=x, y=y, name=name, mode="lines", line=dict(color=colour, dash="dash"),
                               legendgroup=name, showlegend=band is None)
        figure.update_layout(xaxis_title="Wavelength (nm)" if spectra.wavelengths else "Band",
                             yaxis_title="Value (raster's units)")
        self.heading(caption)
        self.plot(figure)

    def maps(self, images, label, columns=4, ramp="Viridis", limits=None):
        """
        Images (rows, cols) side by side by their captions, in one range of colours: `limits`, or from 0 to the 98th
        percentile of all.
        """
        columns = min(columns, len(images))
        rows = -(-len(images) // columns)
        figure = make_subplots(rows, columns, subplot_titles=list(images), horizontal_spacing=0.02,
                               vertical_spacing=min(0.1, 0.3 / rows))
        seen = np.concatenate([image[np.isfinite(image)] for image in images.values()])
        low, high = limits or (0.0, float(np.percentile(seen, 98)) if seen.size else 1.0)
        for number, image in enumerate(images.values()):
            step = max(1, -(-max(image.shape) // PIXELS))
            figure.add_heatmap(z=figures(image[::step, ::step], high - low), coloraxis="coloraxis",
                               row=number // columns + 1, col=number % columns + 1)
        figure.update_layout(coloraxis=dict(colorscale=ramp, cmin=low, cmax=high, colorbar_title=label))
        for axis in figure.select_yaxes():
            axis.update(autorange="reversed", scaleanchor=axis.anchor, showticklabels=False)
        figure.update_xaxes(showticklabels=False, constrain="domain")
        figure.update_annotations(font_size=12 if columns < 5 else 10)
        sides = [image.shape[0] / image.shape[1] for image in images.values()]
        self.plot(figure, height=100 + round(rows * (50 + min(450, max(sides) * WIDTH / columns))))

    def curve(self, x, y, caption, xlabel, ylabel, mark=None, logarithmic=False):
        """One curve, with the chosen position marked."""
        figure = go.Figure(go.Scatter(x=list(x), y=list(y), mode="lines+markers", showlegend=False))
        if mark is not None:
            figure.add_vline(x=mark, line_dash="dash", line_color="#e6550d", annotation_text=str(mark))
        figure.update_layout(xaxis_title=xlabel, yaxis_title=ylabel, yaxis_type="log" if logarithmic else "linear")
        if logarithmic:
            seen = [value for value in y if value > 0]
            # powers of ten alone would leave an axis without numbers where few or none of them are on it
            decades = len(seen) > 0 and max(seen) >= DECADES * min(seen)
            figure.update_yaxes(dtick=1 if decades else None, exponentformat="power")
        _mark_whole(figure, x)
        self.heading(caption)
        self.plot(figure)

    def curves(self, x, curves, xlabel, ylabel="", coloured=False):
        """
        Curves by their names over one `x`, broken where wavelengths or values (None, NaN) are missing.

        `coloured` gives each the colour of its name.
        """
        figure = go.Figure()
        for (name, values), colour in zip(curves.items(), colours(list(curves))):
            at, y = broken(x, np.array([np.nan if value is None else value for value in values], dtype=float))
            figure.add_scatter(x=at, y=y, name=name, mode="lines", showlegend=len(curves) > 1,
                               line=dict(color=colour) if coloured else None)
        figure.update_layout(xaxis_title=xlabel, yaxis_title=ylabel or None)
        _mark_whole(figure, x)
        self.plot(figure)

    def history(self, dates, values, ylabel, spread=None, measured=None, limits=(-np.inf, np.inf)):
        """
        Values over time by their names, in their colours, with `spread`, by name too, above and below where there is
        one, within `limits`, and what was `measured` as points. `dates` are ISO 8601; values that are missing (None,
        NaN) leave a gap.
        """
        figure = go.Figure()
        for name, colour in zip(values, colours(list(values))):
            y = np.array([np.nan if value is None else value for value in values[name]], dtype=float)
            if spread and spread.get(name) is not None:
                half = np.array([np.nan if value is None else value for value in spread[name]], dtype=float)
                for first, last in stretches(y + half):
                    low, high = np.clip([(y - half)[first:last], (y + half)[first:last]], *limits)
                    figure.add_scatter(x=[*dates[first:last], *dates[first:last][::-1]], y=np.r_[low, high[::-1]],
                                       fill="toself", fillcolor=colour, opacity=0.25, mode="lines", hoverinfo="skip",
                                       line=dict(width=0), showlegend=False, legendgroup=name)
            figure.add_scatter(x=list(dates), y=y, name=name, mode="lines" if measured else "lines+markers",
                               line=dict(color=colour), legendgroup=name)
            if measured:
                figure.add_scatter(x=list(dates), y=measured[name], name=f"{name}, measured", mode="markers",
                                   marker=dict(color=colour), legendgroup=name, showlegend=False)
        figure.update_layout(yaxis_title=ylabel, xaxis_title="Date", xaxis_type="date")
        self.plot(figure)

    def picture(self, rgb, caption, width=None):
        """A picture (3, rows, cols) of bytes, so many pixels wide on the page; by default its own, at least 500."""
        with MemoryFile() as memory:
            with memory.open(driver="PNG", width=rgb.shape[2], height=rgb.shape[1], count=3, dtype="uint8") as image:
                image.write(rgb)
            data = base64.b64encode(memory.read()).decode()
        width = width or max(rgb.shape[2], 500)
        self._parts.append(f'<figure><img width="{width}" src="data:image/png;base64,{data}">'
                           f"<figcaption>{html.escape(caption)}</figcaption></figure>")

    def html(self, run):
        """The whole file; `run` holds what to say about how the result was made, as pairs."""
        facts = "".join(f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
                        for name, value in run.items())
        return (f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
                f"<style>{STYLE}</style></head><body><h1>{html.escape(self.title)}</h1>"
                f'<p class="by">{html.escape(self.about)}</p>' + "\n".join(self._parts) +
                f'<h2>How this was made</h2><table class="run">{facts}</table></body></html>')


def _mark_whole(figure, x):
    """Where `x` is a short range of whole numbers, no marks between them."""
    if isinstance(x, range) and len(x) <= MARKS:
        figure.update_xaxes(dtick=x.step)


def broken(x, y):
    """A curve in the order of `x`, with a break wherever wavelengths are missing."""
    order = np.argsort(x, kind="stable")
    x, y = np.asarray(x, dtype=float)[order], np.asarray(y, dtype=float)[order]
    steps = np.diff(x)
    gaps = np.flatnonzero(steps > GAP * np.median(steps)) + 1 if len(steps) else []
    return np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)


def figures(values, span):
    """Values to four digits of the range that is shown: shorter files."""
    digits = 4 - int(np.floor(np.log10(span))) if span > 0 else 4
    return np.round(np.asarray(values, dtype=float), digits)


def stretches(y):
    """Where each run of numbers between NaNs starts and ends."""
    edges = np.flatnonzero(np.diff(np.r_[False, np.isfinite(y), False]))
    return list(zip(edges[::2], edges[1::2]))


def text(value):
    """A table's cell: numbers to four figures, anything else escaped."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}" if np.isfinite(value) else "&ndash;"
    return html.escape(str(value))
