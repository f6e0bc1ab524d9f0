"""Runs the engine as a process of its own, relays what it says, and ends it at once on Cancel."""

import json

from qgis.core import QgsProcessingException
from qgis.PyQt.QtCore import QProcess

from . import engine_python
from .words import spoken, tr

POLL = 100  # milliseconds between two looks at Cancel

running = []   # the Pythons of the engines that run now, one for each


class UnreadableInput(Exception):
    """The engine's GDAL cannot open some rasters; QGIS's own may."""

    def __init__(self, names, sentence):
        self.names = names
        super().__init__(sentence)


def run(job_file, feedback):
    """
    Run the engine on a job.

    Returns
    -------
    dict
        The engine's result, or None where the user cancelled.

    Raises
    ------
    QgsProcessingException
        With the sentence for the user; details are in the log.
    UnreadableInput
        A raster has to be copied with QGIS's GDAL first.
    """
    python = engine_python.find()
    process = QProcess()
    process.setProcessEnvironment(engine_python.environment(python))
    answers = _Answers(feedback)
    running.append(python)
    try:
        process.start(str(python), [str(engine_python.ROOT / "bootstrap.py"), str(job_file)])
        if not process.waitForStarted(10000):
            raise QgsProcessingException(tr("Subpixel's engine does not start ({python}): {reason}.").format(
                python=python, reason=process.errorString()))
        while process.state() != QProcess.ProcessState.NotRunning:
            process.waitForReadyRead(POLL)
            answers.take(process)
            if feedback.isCanceled():
                return None
        answers.take(process)
    finally:
        if process.state() != QProcess.ProcessState.NotRunning:
            process.kill()
            process.waitForFinished(5000)
        running.remove(python)
    return answers.conclude(process)


class _Answers:
    """What the engine has said so far."""

    def __init__(self, feedback):
        self._feedback, self._rest, self._log = feedback, b"", b""
        self._result = self._error = None

    def take(self, process):
        self._log = (self._log + bytes(process.readAllStandardError()))[-20000:]
        lines = (self._rest + bytes(process.readAllStandardOutput())).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            try:
                answer = dict(json.loads(line.decode("utf-8")))
            except (ValueError, TypeError):   # what an environment prints while its Python starts
                self._log += line + b"\n"
            else:
                self._understand(answer)

    def _understand(self, answer):
        if "progress" in answer:
            self._feedback.setProgress(answer["progress"])
        elif "message" in answer:
            self._feedback.pushInfo(spoken(answer["message"], answer["arguments"]))
        elif "warning" in answer:
            self._feedback.pushWarning(spoken(answer["warning"], answer["arguments"]))
        elif "result" in answer:
            self._result = answer["result"]
        elif "error" in answer:
            self._error = answer

    def conclude(self, process):
        log = self._log.decode("utf-8", "replace").strip()
        if log:
            self._feedback.pushDebugInfo(log)
        if self._error:
            sentence = spoken(self._error["error"], self._error["arguments"])
            if self._error.get("traceback"):
                self._feedback.pushDebugInfo(self._error["traceback"])
            if "unreadable" in self._error:
                raise UnreadableInput(self._error["unreadable"], sentence)
            raise QgsProcessingException(sentence)
        if self._result is None:
            raise QgsProcessingException(tr(
                "Subpixel's engine stopped before it was done ({reason}, exit code {code}). Nothing was written. "
                "Perhaps the system ended it for lack of memory; the log holds what it said last.").format(
                    reason=process.errorString(), code=process.exitCode()))
        return self._result
