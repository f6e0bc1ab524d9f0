"""
Build the help as HTML, from the tools' declarations, the models and the Markdown in docs: pages.py [TARGET].

Words in italics that are the label of a tool or model become a link to its page.
"""

import configparser
import html
import json
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from markdown import markdown

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.append(str(ROOT))
import bootstrap

bootstrap.load()
from subpixel.engine import declare
from subpixel.engine.declare import Group
from subpixel.tools import all_tools

INPUTS = (declare.RasterInput, declare.RastersInput, declare.SpectraInput, declare.FeaturesInput, declare.FileInput)
SHOWN = ("COUNT", "KEEP", "RATIO")   # numbers that an example command gives; the tests' short runs set others too
ENDINGS = {declare.RasterOutput: ".tif", declare.SpectraOutput: ".gpkg", declare.TableOutput: ".gpkg",
           declare.FeaturesOutput: ".gpkg", declare.ReportOutput: ".html", declare.FolderOutput: ""}
KINDS = {declare.RasterInput: "raster", declare.RastersInput: "rasters, or their folder", declare.BandsInput: "bands",
         declare.SpectraInput: "layer of spectra", declare.FeaturesInput: "points or polygons",
         declare.FieldInput: "field", declare.FileInput: "file", declare.Integer: "whole number",
         declare.Real: "number", declare.Choice: "choice", declare.Flag: "yes or no", declare.Text: "text",
         declare.DatesInput: "dates", declare.RasterOutput: "raster", declare.FolderOutput: "folder of rasters",
         declare.LayersOutput: "list of rasters", declare.SpectraOutput: "layer of spectra",
         declare.TableOutput: "table", declare.FeaturesOutput: "layer", declare.ReportOutput: "HTML report",
         declare.FileOutput: "file", declare.NumberOutput: "number"}
EXTENSIONS = ["tables", "fenced_code", "toc", "sane_lists", "attr_list"]


@dataclass(frozen=True)
class Model:
    """A shipped model: what its file tells of it. `parameters` and `outputs` are (name, label, help, default, type)."""

    id: str
    label: str
    group: Group
    paragraphs: tuple
    parameters: tuple
    outputs: tuple
    steps: tuple

    @classmethod
    def read(cls, file):
        model = unpacked(ET.parse(file).getroot())
        definitions = [(name, one["description"], model["help"].get(name) or one["help"],
                        one["default"] if one["default"] is not None else
                        "none" if one["flags"] & OPTIONAL else "required", one["parameter_type"])
                       for name, one in model["parameterDefinitions"].items()]
        places = {child["id"]: (child["component_pos_y"], child["component_pos_x"])
                  for child in model["children"].values()}
        return cls(model["model_name"], model["help"]["TITLE"], Group[model["help"]["GROUP"].upper()],
                   tuple(model["help"]["ALG_DESC"].split("\n\n")),
                   tuple(one for one in definitions if one[4] not in MADE),
                   tuple(one for one in definitions if one[4] in MADE),
                   tuple(child["alg_id"] for child in sorted(model["children"].values(),
                                                             key=lambda child: places[child["id"]])))


OPTIONAL = 8   # QgsProcessingParameterDefinition.Flag.FlagOptional
# QGIS's types of a model's inputs and outputs that are files, and what these end with
GIVEN = {"raster": ".tif", "multilayer": "", "source": ".gpkg", "vector": ".gpkg"}
MADE = {"rasterDestination": ".tif", "vectorDestination": ".gpkg", "sink": ".gpkg", "fileDestination": ".html",
        "folderDestination": ""}


def unpacked(option):
    """What an <Option> of QGIS's XML holds."""
    kind = option.get("type")
    if kind == "Map":
        return {child.get("name"): unpacked(child) for child in option}
    if kind in ("List", "StringList"):
        return [unpacked(child) for child in option]
    return {"int": int, "double": float, "bool": "true".__eq__}.get(kind, str)(option.get("value")) \
        if option.get("value") is not None else None


def models():
    """Every shipped model."""
    return [Model.read(file) for file in sorted((ROOT / "models").glob("*.model3"))]


# the pages

def pages():
    """Every page of the help: its path below the target, and its text."""
    tools, ready = all_tools(), models()
    labels = {one.label: one.id for one in [*tools.values(), *ready]}
    costs = measured()
    built = {"index.html": page("Subpixel", index(tools.values(), ready), "")}
    for tool in tools.values():
        built[f"tools/{tool.id}.html"] = page(tool.label, linked(of_tool(tool, costs), labels, ""), "../")
    for model in ready:
        built[f"tools/{model.id}.html"] = page(model.label, linked(of_model(model, tools), labels, ""), "../")
    for source in sources():
        path = source.relative_to(DOCS).with_suffix(".html").as_posix()
        up = "../" * path.count("/")
        title, body = written(source)
        built[path] = page(title, linked(body, labels, up + "tools/"), up)
    return built


def sources():
    """The Markdown pages."""
    return [DOCS / "guide.md", DOCS / "first-map.md", *sorted((DOCS / "recipes").glob("*.md"))]


def measured():
    """What each tool cost, by its id, with what the table says of all of them under None."""
    file = ROOT / "benchmarks" / "results" / "tool_costs.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    return {**{row["tool"]: row for row in table["rows"]}, None: table}


def page(title, body, up):
    """A whole page; `up` leads from its folder to the target."""
    name = "Subpixel" if title == "Subpixel" else f"{title} – Subpixel"
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<link rel="stylesheet" href="{up}style.css"></head>\n<body><nav><a href="{up}index.html">Subpixel</a> '
            f'<a href="{up}guide.html">User guide</a> <a href="{up}guide.html#recipes">Recipes</a> '
            f'<a href="{up}index.html#tools">All tools</a></nav>\n<main>\n{body}\n</main></body></html>\n')


def index(tools, ready):
    """The first page: every tool in the order of the work."""
    general = configparser.ConfigParser()
    general.read(ROOT / "metadata.txt", encoding="utf-8")
    parts = [f"<h1>Subpixel {general['general']['version']}</h1>",
             f'<p class="lead">{html.escape(general["general"]["description"])}.</p>',
             '<p><a href="guide.html">The user guide</a> leads from the first map to events in a series, and '
             '<a href="guide.html#recipes">five recipes</a> show it on real scenes.</p>',
             '<h2 id="tools">All tools, in the order of the work</h2>']
    for group in Group:
        members = [one for one in tools if one.group is group]
        rows = [(one.id, one.label, one.help()[0]) for one in members]
        rows += [(one.id, one.label, one.paragraphs[0]) for one in ready if one.group is group]
        if rows:
            parts.append(f"<h3>{html.escape(group.value)}</h3>\n<table class=\"list\">")
            parts += [f'<tr><td><a href="tools/{id}.html">{html.escape(label)}</a></td><td>{html.escape(words)}</td>'
                      "</tr>" for id, label, words in rows]
            parts.append("</table>")
    return "\n".join(parts)


def of_tool(tool, costs):
    """A tool's page."""
    lead, *more = tool.help()
    parts = [heading(tool.label, tool.id, tool.group), f'<p class="lead">{html.escape(lead)}</p>', paragraphs(more)]
    if tool.prefer:
        parts.append(f"<h2>When to prefer it</h2>\n<p>{html.escape(tool.prefer)}</p>")
    ordinary = [one for one in tool.parameters() if not one.advanced]
    advanced = [one for one in tool.parameters() if one.advanced]
    parts += ["<h2>Parameters</h2>", table(map(parameter_row, ordinary), "Default")]
    if advanced:
        parts += ["<h3>Advanced parameters</h3>", table(map(parameter_row, advanced), "Default")]
    parts += ["<h2>Outputs</h2>", table(map(output_row, tool.outputs()), "")]
    parts += [examples(f"subpixel:{tool.id}", example(tool)),
              "<h2>Reference</h2>", f"<p>{html.escape(tool.citation)}.{''.join(map(doi, tool.doi))}</p>"]
    if tool.id in costs:
        parts.append(cost(costs[tool.id], costs[None]))
    return "\n".join(parts)


def of_model(model, tools):
    """A model's page."""
    lead, *more = model.paragraphs
    steps = [tools[step.split(":")[1]].label for step in model.steps if step.startswith("subpixel:")]
    values = {name: name.lower() + GIVEN[kind] for name, _, _, default, kind in model.parameters
              if kind in GIVEN and default == "required"}
    values.update({name: name.lower() + MADE[kind] for name, _, _, _, kind in model.outputs})
    parts = [heading(model.label, model.id, model.group), f'<p class="lead">{html.escape(lead)}</p>', paragraphs(more),
             "<h2>Steps</h2>", "<ol>", *(f"<li><em>{html.escape(step)}</em></li>" for step in steps), "</ol>",
             "<p>Open it in the model designer (right-click it in the toolbox) to see how the steps are joined, and to "
             "exchange one.</p>", "<h2>Parameters</h2>"]
    parts.append(table([(name, label, html.escape(words), "", default)
                        for name, label, words, default, _ in model.parameters], "Default"))
    made = [(name, label, html.escape(words), "", "") for name, label, words, _, _ in model.outputs]
    parts += ["<h2>Outputs</h2>", table(made, ""), examples(f"subpixel:{model.id}", values)]
    return "\n".join(parts)


def heading(label, id, group):
    return (f"<h1>{html.escape(label)}</h1>\n<p class=\"by\"><code>subpixel:{id}</code>, in the group "
            f"{html.escape(group.value)}</p>")


def paragraphs(texts):
    return "\n".join(f"<p>{html.escape(text)}</p>" for text in texts)


def doi(doi):
    return f' <a href="https://doi.org/{html.escape(doi)}">doi:{html.escape(doi)}</a>'


def table(rows, last):
    """Parameters or outputs: (name, label, help as HTML, kind, last column's value)."""
    lines = [f"<table><tr><th>Name</th><th>What it is</th><th>{last}</th></tr>"]
    for name, label, words, kind, value in rows:
        of = f' <span class="kind">{html.escape(kind)}</span>' if kind else ""
        lines.append(f"<tr><td><code>{name}</code></td><td><b>{html.escape(label)}</b>{of}<br>{words}</td>"
                     f'<td class="last">{html.escape(str(value))}</td></tr>')
    return "\n".join([*lines, "</table>"])


def parameter_row(parameter):
    kind = KINDS[type(parameter)]
    low, high = (getattr(parameter, end, None) for end in ("minimum", "maximum"))
    if low is not None and high is not None:
        kind += f", {figure(low)} to {figure(high)}"
    elif low is not None:
        kind += f", at least {figure(low)}"
    elif high is not None:
        kind += f", at most {figure(high)}"
    words = html.escape(parameter.help)
    if isinstance(parameter, declare.Choice):
        words += "".join(f"<br><code>{value}</code> {html.escape(meaning)}"
                         for value, meaning in parameter.options.items())
    if parameter.default is not None:
        default = {True: "yes", False: "no"}[parameter.default] if isinstance(parameter, declare.Flag) \
            else figure(parameter.default)
    else:
        default = "none" if parameter.optional else "required"
    return parameter.name, parameter.label, words, kind, default


def output_row(output):
    asked = "" if output.create else "if asked for"
    return output.name, output.label, html.escape(output.help), KINDS[type(output)], asked


def figure(value):
    return f"{value:g}" if isinstance(value, float) else value


def example(tool):
    """The values of the example command: the layers of the tool's example, its choices, and the main output."""
    values = {}
    for parameter in tool.parameters():
        value = tool.example.get(parameter.name)
        if value is None:
            continue
        if isinstance(parameter, INPUTS):
            values[parameter.name] = value + ending(parameter, value)
        elif isinstance(parameter, (declare.Choice, declare.Text, declare.FieldInput)) or parameter.name in SHOWN:
            values[parameter.name] = value
    made = [output for output in tool.outputs() if type(output) in ENDINGS or isinstance(output, declare.FileOutput)]
    main = [output for output in made if not output.optional] or made[:1]
    for output in main:
        end = ENDINGS.get(type(output)) if type(output) in ENDINGS else "." + output.extensions[0]
        values[output.name] = output.name.lower() + end
    return values


def ending(parameter, name):
    """What a file of that name ends with; several rasters are given as their folder."""
    if "." in name or isinstance(parameter, declare.RastersInput):
        return ""
    return ".tif" if isinstance(parameter, declare.RasterInput) else ".gpkg"


def examples(id, values):
    """The example as a command and in Python."""
    words = " \\\n    ".join([f"qgis_process run {id}", *(
        f"--{name}='{value}'" if re.search(r"[^\w.]", str(value)) else f"--{name}={value}"
        for name, value in values.items())])
    python = ",\n    ".join(f'"{name}": {json.dumps(value)}' for name, value in values.items())
    return (f"<h2>From the command line</h2>\n<pre><code>{html.escape(words)}</code></pre>\n<h2>From Python, in QGIS"
            f"</h2>\n<pre><code>import processing\n\nresults = processing.run(\"{id}\", {{\n    "
            f"{html.escape(python, quote=False)}}})</code></pre>")


def cost(row, table):
    """What to expect of time and memory."""
    if isinstance(row["seconds"], str):
        time = f"It was stopped after {row['seconds'].split()[-1]} seconds without having finished."
    else:
        time = f"It took {rounded(row['seconds'])} s of processor time"
        time += ", the engine's start included." if row["tool"] == "fcls" else \
            f", {rounded(row['ratio to FCLS'])} times what FCLS takes on the EnMAP scene."
    machine = table["machine"].split(",")[0]
    return (f"<h2>Time and memory</h2>\n<p>Measured once with default settings on this input: "
            f"{html.escape(row['input'])}. {time} It held up to {row['MiB']} MiB of memory. ({html.escape(machine)}, "
            "one thread, with other work on the machine: an order of magnitude.)</p>")


def rounded(value):
    """To two figures."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def written(source):
    """A Markdown page: its title, and its body with links from where the HTML lies."""
    text = source.read_text(encoding="utf-8")
    folder = source.relative_to(DOCS).parent.as_posix()
    up = "../" * (1 if folder == "." else 2) + ("" if folder == "." else folder + "/")
    def link(match):
        path = match[2]
        return f'{match[1]}="{path[:-3]}.html' if path.endswith(".md") else f'{match[1]}="{up}{path}'
    body = re.sub(r'(href|src)="([^":#]+)(?=["#])', link, markdown(text, extensions=EXTENSIONS))
    return text.splitlines()[0].removeprefix("# "), body


def linked(body, labels, folder):
    """Italics that are the label of a tool as a link to its page."""
    def link(match):
        id = labels.get(html.unescape(match[1]))
        return f'<a href="{folder}{id}.html">{match[1]}</a>' if id else match[0]
    return re.sub(r"<em>([^<]+)</em>", link, body)


def build(target):
    """Write every page and their style, and take away pages of what is no more."""
    files = {target / path: text for path, text in pages().items()}
    files[target / "style.css"] = (DOCS / "style.css").read_text(encoding="utf-8")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for file in set(target.rglob("*.html")) - set(files):
        file.unlink()


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "html")
