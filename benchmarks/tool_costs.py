"""
What each tool costs: processor time and memory of one run with default settings, in a process of its own as QGIS starts
it. The tools' help pages quote the table.

    tool_costs.py [TOOL ...]   measures these tools, or those that were not measured yet, and writes the table

Measurements are kept in .cache/tool_costs, so that one that was interrupted goes on.
"""

import json
import os
import resource
import subprocess
import sys

from harness import ROOT, SCENES, record

from subpixel.engine import declare
from subpixel.tools import all_tools

FOLDER = ROOT / ".cache" / "tool_costs"
CAP = 600      # seconds of processor time, after which a tool is stopped
COUNT = 6
SIZES = {
    "scene": "EnMAP Potsdam, 128 x 64 pixels, 224 bands",
    "pair": "EnMAP Potsdam, 32 x 16 pixels, 224 bands, with an image of 128 x 64 pixels, 10 bands",
    "images": "simulated sequence, 6 dates of 50 x 50 pixels, 111 bands",
    "fractions": "simulated fractions, 6 dates of 50 x 50 pixels, 3 materials",
    "events": "simulated series, 24 dates of 64 x 64 pixels, 111 bands, with samples of events",
    "series": "simulated series of fractions, 24 dates of 64 x 64 pixels, 3 materials",
    "library": "Berlin library, 75 spectra, 111 bands",
    "nothing": "nothing but settings"}


def engine(tool, values, outputs):
    """Run a tool in the engine: its result, seconds of processor time, and peak memory in MiB; None over the cap."""
    folder = FOLDER / "run"
    folder.mkdir(exist_ok=True)
    job = folder / "job.json"
    job.write_text(json.dumps({"tool": tool, "values": values, "outputs": outputs, "version": "benchmark"}))
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with open(folder / "answers", "w") as answers, open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "bootstrap.py"), str(job)], stdout=answers, stderr=log,
            env={**os.environ, **threads}, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CAP, CAP)))
        _, status, usage = os.wait4(process.pid, 0)   # the usage of this child alone
    seconds = usage.ru_utime + usage.ru_stime
    if seconds > CAP - 1:
        return None, seconds, usage.ru_maxrss / 1024
    last = json.loads((folder / "answers").read_text().splitlines()[-1])
    if status or "result" not in last:
        raise RuntimeError(f"{tool}: {last} {(folder / 'log').read_text()[-2000:]}")
    return last["result"], seconds, usage.ru_maxrss / 1024


def raster(path):
    return {"path": str(path), "crs": None}


def rasters(name, output="IMAGES"):
    return [raster(path) for path in sorted((FOLDER / name / output).glob("*.tif"))]


def made(tool, name, values):
    """Run a tool whose outputs are inputs here, once; they lie in the folder `name`. Returns its result."""
    folder = FOLDER / name
    answer = folder / "result.json"
    if not answer.exists():
        folder.mkdir(parents=True, exist_ok=True)
        result, _, _ = engine(tool, values, {output.name: str(folder / output.name)
                                             for output in all_tools()[tool].outputs()
                                             if not isinstance(output, (declare.NumberOutput, declare.LayersOutput))})
        answer.write_text(json.dumps(result))
    return json.loads(answer.read_text())


def spectra(result, output="ENDMEMBERS"):
    return {"features": result["spectra"][output]["features"], "source": "benchmark"}


def inputs():
    """The values of the tools' parameters: by kind of input, those of its parameters by name."""
    scene = raster(SCENES / "enmap_potsdam" / "enmap_potsdam_block_128x64.tif")
    library = spectra(made("importspectra", "library", {"FILE": str(SCENES / "libraries" / "library_berlin.sli")}))
    endmembers = spectra(made("vca", "endmembers", {"INPUT": scene, "COUNT": COUNT}))
    made("fcls", "abundances", {"INPUT": scene, "ENDMEMBERS": endmembers})
    made("waldpair", "pair", {"INPUT": scene})
    hsi, msi = (raster(FOLDER / "pair" / name) for name in ("HSI", "MSI"))
    made("glphs", "fused", {"HSI": hsi, "MSI": msi})
    made("simulatesequence", "images", {"ENDMEMBERS": library})
    made("simulatestates", "series", {"ROWS": 64, "COLUMNS": 64})
    events = made("simulateevents", "events", {"ENDMEMBERS": library, "ROWS": 64, "COLUMNS": 64})
    box = {"geometry": {"type": "Polygon", "coordinates": [[[20, 20], [30, 20], [30, 30], [20, 30], [20, 20]]]},
           "id": 1, "attributes": {"name": "box"}}
    samples = {"features": [{"geometry": {"type": "Point", "coordinates": one["point"]}, "id": number,
                             "attributes": one["attributes"]}
                            for number, one in enumerate(spectra(events, "SAMPLES")["features"])]}
    half = {name: {**endmembers, "features": endmembers["features"][part]}
            for name, part in (("WANTED", slice(0, 2)), ("BACKGROUND", slice(2, None)))}
    return {
        "scene": {"INPUT": scene, "ENDMEMBERS": endmembers, "COUNT": COUNT, "CLIP": True, "ABUNDANCES": raster(
            FOLDER / "abundances" / "ABUNDANCES"), "REFERENCE": raster(FOLDER / "abundances" / "ABUNDANCES"), **half},
        "pair": {"HSI": hsi, "MSI": msi, "INPUT": scene, "FUSED": raster(FOLDER / "fused" / "FUSED"),
                 "REFERENCE": scene, "RATIO": 4},
        "images": {"IMAGES": rasters("images"), "COUNT": 3, "START": {"features": [box]}},
        "fractions": {"IMAGES": rasters("images", "ABUNDANCES"), "FEATURES": {"features": [box]}},
        "events": {"IMAGES": rasters("events"), "SAMPLES": samples, "DATEFIELD": "eventdate"},
        "series": {"IMAGES": rasters("series")},
        "library": {"ENDMEMBERS": library, "REFERENCE": library, "FILE": str(
            SCENES / "libraries" / "library_berlin.sli")},
        "nothing": {}}


KINDS = {declare.Group.FUSION: "pair", declare.Group.TIME: "images", declare.Group.EVENTS: "events",
         declare.Group.STATES: "series"}   # any other group: scene
OTHERS = {"abundancechange": "fractions", "abundanceprofile": "fractions", "tracker": "images",
          "tunehyperparameters": "scene", "comparefusion": "pair", "importspectra": "library",
          "exportspectra": "library", "compareendmembers": "library", "simulatescene": "library",
          "simulatesequence": "library", "simulateevents": "library", "simulatestates": "nothing"}
LIBRARIES = {"ista": {}, "lista": {}, "sunsal": {}, "mesma": {"MATERIALFIELD": "level_2", "SCALE": 1e4}}
MODELS = {"applyredsunn": ("redsunn", {"EPOCHS": 1}), "applyfilter": ("kalmannet", {"STEPS": 20}),
          "applyevents": ("padnmf", {"EPOCHS": 1})}   # learning is made short: applying takes as long


def kind_of(tool):
    return OTHERS.get(tool.id) or KINDS.get(tool.group, "scene")


def input_of(tool):
    return SIZES[kind_of(tool)] + (", with the Berlin library of 75 spectra" if tool.id in LIBRARIES else "")


def values_of(tool, given):
    """What the tool is run on: of its kind's inputs those that it must have or that tell how many there are."""
    known = given[kind_of(tool)]
    also = ("COUNT", "ENDMEMBERS", "REFERENCE", "DATEFIELD", "RATIO", "CLIP", "WANTED")
    values = {parameter.name: known[parameter.name] for parameter in tool.parameters()
              if parameter.name in known and (parameter.name in also or not parameter.optional)}
    if tool.id in LIBRARIES:
        values.update(LIBRARIES[tool.id], ENDMEMBERS=given["library"]["ENDMEMBERS"])
    if tool.id in ("simulateevents", "simulatesequence", "ardnmf", "ardnmfd", "nmfd", "mnfinverse"):
        values.pop("COUNT", None)
    if tool.id == "tunehyperparameters":
        values["INPUT"] = known["INPUT"]
    if tool.id == "mnfinverse":
        made("mnf", "mnf", {"INPUT": known["INPUT"]})
        values["INPUT"] = raster(FOLDER / "mnf" / "OUTPUT")
    if tool.id == "extractspectra":
        values["SAMPLES"] = centres(known["INPUT"])
    if tool.id in MODELS:
        learner, settings = MODELS[tool.id]
        made(learner, f"model-{learner}", {**values_of(all_tools()[learner], given), **settings})
        values["MODEL"] = str(FOLDER / f"model-{learner}" / "MODEL")
    return values


def centres(scene):
    """A point in the scene, for what takes samples."""
    import rasterio
    with rasterio.open(scene["path"]) as file:
        x, y = file.xy(file.height // 2, file.width // 2)
    return {"features": [{"geometry": {"type": "Point", "coordinates": [x, y]}, "id": 1, "attributes": {}}]}


def measure(id, given):
    """One run of a tool, with the outputs that its dialog asks for, and the report."""
    tool, folder = all_tools()[id], FOLDER / "out"
    folder.mkdir(exist_ok=True)
    outputs = {output.name: str(folder / ".".join([f"{id}-{output.name}", *getattr(output, "extensions", ())[:1]]))
               for output in tool.outputs()
               if not isinstance(output, (declare.NumberOutput, declare.LayersOutput))
               and (output.create or isinstance(output, declare.ReportOutput))}
    result, seconds, peak = engine(id, values_of(tool, given), outputs)
    return {"seconds": seconds, "finished": result is not None, "MiB": peak}


def main(ids):
    FOLDER.mkdir(parents=True, exist_ok=True)
    given = inputs()
    for id in ids or all_tools():
        kept = FOLDER / f"{id}.json"
        if ids or not kept.exists():
            try:
                kept.write_text(json.dumps(measure(id, given)))
            except RuntimeError as problem:
                print(problem, file=sys.stderr)
                continue
        print(id, kept.read_text(), flush=True)
    found = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    unit = found["fcls"]["seconds"]
    rows = [{"tool": id, "input": input_of(all_tools()[id]),
             "seconds": one["seconds"] if one["finished"] else f"more than {CAP}",
             "ratio to FCLS": round(one["seconds"] / unit, 1) if one["finished"] else None, "MiB": round(one["MiB"])}
            for id, one in sorted(found.items())]
    record("tool_costs", "What each tool costs", rows, 0, NOTES)


NOTES = f"""\
One run of each tool in the engine with its default settings, {COUNT} endmembers of VCA where it asks for endmembers \
or their number (3 on the sequence), and the outputs that its dialog asks for and the report. Seconds are of processor \
time, user and system, with one thread for linear algebra, the engine's start and imports included (half a second, \
more than two with torch): on an idle machine a run takes about as long, with more cores less. They were taken once, \
on a machine with other work on it: read them as orders of magnitude. A tool is stopped after {CAP} seconds. MiB: the \
largest memory that the process held; one that has only imported the packages holds some 60 MiB, with torch 240."""


if __name__ == "__main__":
    main(sys.argv[1:])
