"""
Parameter sets at random, made from the tools' declarations, and what becomes of them in QGIS: see scripts/fuzz.

A set goes all the way that a run in QGIS goes. Only the engine is one that stays, so that a run takes milliseconds.
"""

import argparse
import json
import math
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 60     # seconds that a run may take
AS_ASKED = 15     # seconds after which a run is ended that was asked for many steps: it would end, some day
# what costs time in proportion: small in sets that are meant to run
COSTLY = set("""
    ITERATIONS EPOCHS LEARNING DRAWS SWEEPS BURNIN MEMBERS PARTICLES STEPS RESTARTS MIXTURES STARTS TRIALS INNER
    LAYERS ROWS COLUMNS DATECOUNT WIDTH SKEWERS POINTS PIXELS SAMPLECOUNT UNLABELLED FOLDS BATCH PUREPIXELS
    FUNCTIONS NMAX PATIENCE SAMPLE DISCRIMINATIVE MAXMODELS MOST SUBSPACE MAPRANK ABUNDANCERANK ENDMEMBERRANK
    RANKBANDS RANKROWS RANKCOLS TERMS HARMONICS COUNT BACKGROUNDS MIXED LENGTH SMALLEST LARGEST
    """.split())


class Engine:
    """An engine that stays; it stands in for `engine_process.run`."""

    def __init__(self):
        self.program, self.patience = HERE / "engine_server.py", PATIENCE
        self._process, self._code, self.late = None, None, False

    def run(self, file, feedback):
        """Run a job as `engine_process.run` does."""
        from subpixel.processing_provider import engine_process
        if self._process is None:
            self._start()
        answers = engine_process._Answers(feedback)
        job = json.loads(Path(file).read_text(encoding="utf-8"))
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        end, self.late = time.monotonic() + self.patience, False
        while answers._result is None and answers._error is None:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.late, line = True, None
            if line is None:
                self._ended(answers)
                break
            answers._understand(json.loads(line))
        return answers.conclude(self)

    def _ended(self, answers):
        """The process is over, or is ended: what it said last goes to the log."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self.late else 10)
        self._code = self._process.poll()
        self._said.seek(0)
        answers._log = self._said.read()[-3000:]
        self.close()

    def errorString(self):
        return "no end" if self.late else "ended"

    def exitCode(self):
        return self._code

    def _start(self):
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen([os.environ["SUBPIXEL_PYTHON"], str(self.program)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
                                         encoding="utf-8", cwd=HERE)
        self._lines = queue.Queue()

        def read(stream, lines):
            with stream:
                for line in stream:
                    lines.put(line)
            lines.put(None)

        threading.Thread(target=read, args=(self._process.stdout, self._lines), daemon=True).start()

    def close(self):
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.wait()
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._said.close()
            self._process = None


class Fuzzer:
    """
    Makes sets, runs them and judges what comes out.

    Parameters
    ----------
    examples : conftest.Examples
    folder : Path
        For what is made: strange inputs, and each run's outputs.
    """

    def __init__(self, examples, folder):
        import strange

        from subpixel.tools import all_tools
        self.tools, self.examples, self._folder, self._strange = all_tools(), examples, folder, strange
        self._inputs = folder / "inputs"
        self._inputs.mkdir()
        self._rasters = strange.rasters(self._inputs, examples)
        self._sequences = strange.sequences(self._inputs, examples, self._rasters)
        self._features = strange.features(self._inputs, examples)
        self._files = strange.files(self._inputs, examples)
        self._objects = strange.objects(examples)
        self.engine, self._unforeseen, self._stack = Engine(), [], ExitStack()

    def __enter__(self):
        """Put the engine that stays in place, and keep the provider's own errors, which QGIS makes sentences of."""
        from subpixel.processing_provider import engine_process
        from subpixel.processing_provider.algorithm import ToolAlgorithm
        self._stack.callback(os.chdir, os.getcwd())
        self._stack.callback(self.engine.close)
        self._stack.enter_context(patch.object(engine_process, "run", self.engine.run))
        for name in ("checkParameterValues", "validateInputCrs", "prepareAlgorithm", "processAlgorithm"):
            self._stack.enter_context(patch.object(ToolAlgorithm, name, self._watched(getattr(ToolAlgorithm, name))))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def family(self, name):
        """Ids of the tools of a group, by the name of its constant."""
        return [id for id, tool in self.tools.items() if tool.group.name == name.upper()]

    # making

    def case(self, ids, seed, number):
        """One set: the tool's id, its values, the folder of its outputs, and whether it asks for many steps."""
        rng = np.random.default_rng([seed, number])
        tool = self.tools[ids[number % len(ids)]]
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        os.chdir(out)   # where an output without a folder would go
        values = self._good(tool, rng, out)
        things = [*tool.parameters(), *(output for output in tool.outputs() if self._ending(output) is not None)]
        inputs = [thing for thing in things if "Input" in type(thing).__name__]
        wanted = [things[place] for place in rng.permutation(len(things))[:int(rng.choice([0, 0, 1, 1, 2]))]]
        if inputs and rng.random() < 0.6:   # what is strange about data is found no sooner than in the run
            wanted.append(inputs[int(rng.integers(len(inputs)))])
        many = False
        for thing in wanted:
            values[thing.name] = self._odd(thing, rng, out, values.get(thing.name))
            value = values[thing.name]
            many |= thing.name in COSTLY and isinstance(value, (int, float)) and not value <= 50
        return tool.id, values, out, many

    @staticmethod
    def _ending(output):
        from subpixel.engine import declare
        endings = {declare.RasterOutput: ".tif", declare.SpectraOutput: ".gpkg", declare.TableOutput: ".gpkg",
                   declare.FeaturesOutput: ".gpkg", declare.ReportOutput: ".html", declare.FolderOutput: ""}
        if type(output) in endings:
            return endings[type(output)]
        return f".{output.extensions[0]}" if isinstance(output, declare.FileOutput) else None

    def _good(self, tool, rng, out):
        """The example's values, some others changed within their range, and places for some outputs."""
        from subpixel.engine import declare
        values = {}
        for parameter in tool.parameters():
            name = parameter.name
            if name in tool.example:
                given = tool.example[name]
                data = "Input" in type(parameter).__name__ and not isinstance(
                    parameter, (declare.BandsInput, declare.FieldInput, declare.DatesInput))
                values[name] = self.examples[given] if data else given
            elif rng.random() < 0.25:
                if isinstance(parameter, declare.Choice):
                    values[name] = str(rng.choice(list(parameter.options)))
                elif isinstance(parameter, declare.Flag):
                    values[name] = bool(rng.random() < 0.5)
                elif isinstance(parameter, (declare.Integer, declare.Real)):
                    values[name] = self._within(parameter, rng)
        for output in tool.outputs():
            if self._ending(output) is not None and (not output.optional or rng.random() < 0.7):
                values[output.name] = str(out / (output.name.lower() + self._ending(output)))
        return values

    @staticmethod
    def _within(parameter, rng):
        from subpixel.engine import declare
        low = parameter.minimum if parameter.minimum is not None else -10
        usual = parameter.default if parameter.default is not None else low + 1
        if parameter.name == "BATCH":   # of one pixel, a pass through the scene takes minutes
            low = 20
        high = min(parameter.maximum if parameter.maximum is not None else math.inf,
                   max(low, 6) if parameter.name in COSTLY else low + 4 * (abs(usual - low) + 1))
        value = low + rng.choice([0, 1e-6, rng.random(), 1]) * (high - low)
        return round(value) if isinstance(parameter, declare.Integer) else float(value)

    def _odd(self, thing, rng, out, given):
        from subpixel.engine import declare

        def one(values):
            values = list(values.values()) if isinstance(values, dict) else list(values)
            return values[int(rng.integers(len(values)))]

        odd = self._strange
        if rng.random() < 0.15:
            return one(self._objects)
        if isinstance(thing, declare.Output):
            return one(odd.targets(self._inputs, self.examples, out / (thing.name.lower() + self._ending(thing))))
        if isinstance(thing, declare.RasterInput):
            return one(self._rasters)
        if isinstance(thing, declare.RastersInput):
            return one(self._sequences)
        if isinstance(thing, (declare.SpectraInput, declare.FeaturesInput)):
            return one(self._features)
        if isinstance(thing, declare.FileInput):
            return one(self._files)
        if isinstance(thing, declare.FieldInput):
            return one(odd.NAMES)
        if isinstance(thing, declare.BandsInput):
            return one(odd.BANDS)
        if isinstance(thing, declare.DatesInput):
            return one(odd.DATES)
        if isinstance(thing, (declare.Integer, declare.Real)):
            return odd.number(thing, rng)
        if isinstance(thing, declare.Choice):
            return one([*thing.options, 0, 1, 99, -1, None, [], *odd.WORDS])
        if isinstance(thing, declare.Flag):
            return one([True, False, "maybe", 2, [], *odd.WORDS])
        text = given if isinstance(given, str) and given else thing.default
        return odd.near(text, rng) if text and rng.random() < 0.5 else one([*odd.WORDS, *odd.DATES, 5, 0.5, *odd.NAMES])

    # running

    def _watched(self, method):
        from qgis.core import QgsProcessingException

        def watched(algorithm, *arguments):
            try:
                return method(algorithm, *arguments)
            except QgsProcessingException:
                raise
            except Exception:
                self._unforeseen.append(traceback.format_exc())
                raise
        return watched

    def judge(self, id, values, out, many):
        """Run a set. Returns what became of it (refused, failed, done, as asked, or fault) and the words for it."""
        from conftest import Feedback
        from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingException, QgsProject
        self._unforeseen.clear()
        self.engine.patience, self.engine.late = AS_ASKED if many else PATIENCE, False
        began, feedback, said = time.monotonic(), Feedback(), []
        feedback.pushDebugInfo = said.append
        before = set(self._inputs.iterdir())
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{id}")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        verdict, words, results = "done", "", {}
        try:
            passed, words = algorithm.checkParameterValues(values, context)
            if not passed:
                verdict = "refused"
            else:
                results, done = algorithm.run(values, context, feedback, {}, False)
                if not done:   # the preparation failed, and QGIS has reported why
                    verdict, words = "failed", " ".join(feedback.errors)
        except QgsProcessingException as error:
            verdict, words = "failed", str(error)
        except Exception as error:
            verdict, words = "fault", f"{type(error).__name__}: {error}"
        took = time.monotonic() - began
        if self.engine.late:
            return ("as asked", f"ended after {AS_ASKED} s") if many else ("fault", f"no end after {PATIENCE} s")
        fault = self._fault(id, verdict, words, out, results, said, set(self._inputs.iterdir()) - before)
        if fault:
            return "fault", f"{fault}: {words}\n" + "\n".join([*said, *self._unforeseen])
        return ("fault", f"took {took:.0f} s") if took > PATIENCE else (verdict, words)

    def _fault(self, id, verdict, words, out, results, said, added):
        """What is wrong about how a run ended, or None."""
        left = [path for path in out.rglob("*")]
        if self._unforeseen:
            return "an error of the provider's own"
        if verdict == "fault":
            return "no sentence"
        if verdict != "done" and not words.strip():
            return "no words"
        if "did not foresee" in words or any("Traceback" in text for text in said):
            return "unforeseen"
        if "stopped before it was done" in words:
            return "the engine crashed"
        if verdict == "failed" and not words.rstrip().endswith((".", "!", "?")):
            return "no whole sentence"
        if verdict != "done":
            return f"left {left[0]}" if left or added else None
        if any(path.name.startswith((".subpixel", "subpixel-")) for path in left):
            return "staging left"
        return self._missing(id, results)

    def _missing(self, id, results):
        """What a run that claims to have worked has not given."""
        from subpixel.engine import declare
        for output in self.tools[id].outputs():
            value = results.get(output.name)
            if isinstance(output, declare.NumberOutput):
                if value is not None and not math.isfinite(value):
                    return f"{output.name} is {value}"
            elif not isinstance(output, declare.LayersOutput) and value and not Path(value).exists():
                return f"{output.name} is not there"
        return None


def readable(value):
    """A value as JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return [readable(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def child(arguments):
    """Run the sets from `--first` on; a line of JSON for each when it begins and when it has ended."""
    sys.path[:0] = [str(HERE), str(ROOT)]
    import bootstrap
    bootstrap.load()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    from conftest import Examples, application
    with application(), tempfile.TemporaryDirectory(prefix="fuzz ") as folder:
        made = Path(folder, "examples")
        made.mkdir()
        with Fuzzer(Examples(made), Path(folder)) as fuzzer:
            ids = [arguments.tool] if arguments.tool else fuzzer.family(arguments.family)
            for number in range(arguments.first, arguments.first + arguments.count):
                id, values, out, many = fuzzer.case(ids, arguments.seed, number)
                case = {"case": number, "tool": id,
                        "values": {name: readable(value) for name, value in values.items()}}
                answers.write(json.dumps(case) + "\n")
                began = time.monotonic()
                verdict, words = fuzzer.judge(id, values, out, many)
                answers.write(json.dumps({**case, "verdict": verdict, "words": words,
                                          "seconds": round(time.monotonic() - began, 2)}) + "\n")


def parent(arguments):
    """Run the sets in a QGIS of their own; where that ends, the set is a fault and another one goes on after it."""
    log, counts = ROOT / ".cache" / "fuzz" / f"{arguments.tool or arguments.family}-{arguments.seed}.jsonl", {}
    log.parent.mkdir(parents=True, exist_ok=True)
    first, end = arguments.first, arguments.first + arguments.count
    with open(log, "w", encoding="utf-8") as file:
        while first < end:
            words = [sys.executable, __file__, arguments.family, "--child", "--seed", str(arguments.seed), "--first",
                     str(first), "--count", str(end - first), *(["--tool", arguments.tool] if arguments.tool else [])]
            running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=open(log.with_suffix(".log"), "w"),
                                       text=True)
            begun = None
            for line in running.stdout:
                begun = json.loads(line)
                if "verdict" in begun:
                    conclude(begun, counts, file)
            if begun is None:
                sys.exit(f"QGIS does not start: see {log.with_suffix('.log')}")
            if running.wait() and "verdict" not in begun:
                conclude({**begun, "verdict": "fault", "words": f"QGIS crashed ({running.returncode})"}, counts, file)
            first = begun["case"] + 1
    print(f"{arguments.tool or arguments.family}:", ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 1 if counts.get("fault") else 0


def conclude(case, counts, file):
    """Count and keep a set's verdict."""
    counts[case["verdict"]] = counts.get(case["verdict"], 0) + 1
    file.write(json.dumps(case, ensure_ascii=False) + "\n")
    file.flush()
    if case["verdict"] == "fault":
        print(json.dumps(case, indent=1, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Try parameter sets at random.")
    parser.add_argument("family", help="the group, by its id: prepare, rank, endmembers, ...")
    parser.add_argument("--count", type=int, default=1000, help="how many sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one, to try it again")
    parser.add_argument("--tool", help="only this tool of the group")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.exit(child(given) if given.child else parent(given))
