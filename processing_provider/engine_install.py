"""
The engine's own environment in QGIS's profile: made, tested and removed by programs that QGIS does not wait for.

Every installation has a folder of its own, and a file names the one that is complete. So an installation that fails or
is cancelled leaves the older one as it is, and none has to be moved while a virus scanner or a tool has files open.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import namedtuple
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QLockFile, QObject, QProcess, QTimer, QUrl, pyqtSignal
from qgis.PyQt.QtNetwork import QNetworkProxy

from . import engine_process, engine_python, interpreters
from .engine_python import executable_in
from .install_failures import explained, kind_of
from .words import spoken, tr

EMPTY = 26e6                 # bytes of an environment without packages
CORE, DEEP = 600e6, 1100e6   # bytes that are written while the packages are installed: downloads, and what is in them
# what shows whether an interpreter can make the environment; its words are those of pip and of Python
PROBE = f"""import sys
version = "%s.%s" % sys.version_info[:2]
if version not in {interpreters.VERSIONS}:
    sys.exit("requires a different Python: " + version)
import ensurepip, venv"""
# a program with a session of its own can be ended together with all that it started
ALONE = "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"

Answer = namedtuple("Answer", "code said")


class Failed(Exception):
    """Steps cannot go on. Its text is the sentence for the user."""


@dataclass(frozen=True)
class Step:
    """A program to be run."""

    command: list
    words: str = ""               # what it does, for the user
    percent: int = 0              # how far the work is when it starts,
    until: int = 0                # and when it has filled
    folder: Path = None           # this folder with
    bytes: float = 0              # so much


class Work(QObject):
    """
    Runs the steps that a generator yields, one after another, and sends it the `Answer` of each.

    What the generator returns becomes the `result`. The `sentence` says how it ended: the one given for success, or
    that of the Failed which the generator raised.
    """

    said = pyqtSignal(str)          # what programs say
    progress = pyqtSignal(int)      # percent; `words` say what is being done
    finished = pyqtSignal(bool)     # whether it was successful

    def __init__(self, parent=None):
        super().__init__(parent)
        self._steps = self._process = self._step = None
        self._reset()

    def _reset(self):
        self.log, self.words, self.percent, self.sentence, self.result = "", "", 0, "", None

    def running(self):
        return self._steps is not None

    def start(self, steps, done=""):
        """Run the steps of a generator; `done` is the sentence for success. Nothing else may be running."""
        self._reset()
        self._steps, self._done = steps, done
        self._go_on(None)

    def cancel(self):
        """End at once what is running."""
        if not self.running():
            return
        if self._process is not None:
            self._process.blockSignals(True)
            end(self._process)
        self._finish(False, tr("Cancelled: nothing was changed."))

    def _go_on(self, answer):
        if self._process is not None:
            self._process.deleteLater()
            self._process = None
        try:
            self._step = self._steps.send(answer)
        except StopIteration as done:
            self.result = done.value
            self._finish(True, self._done)
        except Failed as failure:
            self._finish(False, str(failure))
        except OSError as error:
            self._tell(f"{error}\n")
            self._finish(False, explained(str(error)))
        else:
            self._run()

    def _finish(self, success, sentence):
        steps, self._steps, self._process, self.sentence = self._steps, None, None, sentence
        steps.close()
        self.finished.emit(success)

    def _run(self):
        self._output = ""
        self.words = self._step.words or self.words
        self._move(self._step.percent)
        process = self._process = QProcess(self)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setStandardInputFile(QProcess.nullDevice())
        process.setProcessEnvironment(surroundings(self._step))
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._not_started)
        program, *arguments = map(str, self._step.command)
        self._tell("> " + " ".join([program, *arguments]) + "\n")
        if os.name != "nt" and arguments[0] == "-m":   # such as start programs themselves
            arguments = ["-c", ALONE, program, *arguments]
        process.start(program, arguments)
        if self._step.folder:
            QTimer.singleShot(500, partial(self._measure, self._step))

    def _read(self):
        text = bytes(self._process.readAllStandardOutput()).decode("utf-8", "replace").replace("\r\n", "\n")
        self._output += text
        self._tell(text)

    def _tell(self, text):
        self.log += text
        self.said.emit(text)

    def _move(self, percent):
        self.percent = max(self.percent, percent)
        self.progress.emit(self.percent)

    def _measure(self, step):
        """Move on by what is in the step's folder, as often as looking takes little of the time."""
        if self.running() and self._step is step:
            began = time.monotonic()
            share = min(1, size_of(step.folder) / step.bytes)
            self._move(round(step.percent + (step.until - step.percent) * share))
            QTimer.singleShot(max(500, int(10000 * (time.monotonic() - began))), partial(self._measure, step))

    def _ended(self, code, status):
        self._read()
        self._go_on(Answer(code if status == QProcess.ExitStatus.NormalExit else -1, self._output))

    def _not_started(self, error):
        if error == QProcess.ProcessError.FailedToStart:
            self._tell(self._process.errorString() + "\n")
            self._go_on(Answer(-1, self._process.errorString()))


def end(process):
    """End a program and all that it started."""
    if os.name == "nt":
        QProcess.execute("taskkill", ["/T", "/F", "/PID", str(process.processId())])
    else:
        with contextlib.suppress(OSError):   # it has no session of its own, or has just ended
            os.killpg(process.processId(), signal.SIGKILL)
    process.kill()
    process.waitForFinished(5000)


def size_of(folder):
    """How many bytes the files in a folder hold. What vanishes meanwhile does not count."""
    total, folders = 0, [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def surroundings(step):
    """The environment of a step's program: as the engine's, and what pip and uv need."""
    variables = engine_python.environment(Path(step.command[0]))
    for name, value in {"PYTHONUNBUFFERED": "1", "PIP_USER": "0", **proxy_variables()}.items():
        variables.insert(name, value)
    if step.folder and (step.folder / "tmp").is_dir():   # where downloads go, and not to a disk that may be small
        for name in ("TMPDIR", "TEMP", "TMP"):
            variables.insert(name, str(step.folder / "tmp"))
    return variables


def proxy_variables():
    """QGIS's proxy, where its options name one, as the variables that pip and uv read."""
    manager = QgsNetworkAccessManager.instance()
    proxy = manager.fallbackProxy()
    schemes = {QNetworkProxy.ProxyType.HttpProxy: "http", QNetworkProxy.ProxyType.HttpCachingProxy: "http",
               QNetworkProxy.ProxyType.Socks5Proxy: "socks5h"}
    if proxy.type() not in schemes or not proxy.hostName():
        return {}
    url = QUrl()
    url.setScheme(schemes[proxy.type()])
    url.setHost(proxy.hostName())
    url.setPort(proxy.port() or -1)
    if proxy.user():
        url.setUserName(proxy.user())
        url.setPassword(proxy.password())
    address = url.toString(QUrl.ComponentFormattingOption.FullyEncoded)
    without = ",".join(QUrl(excluded).host() or excluded for excluded in manager.excludeList() if excluded)
    named = {"http_proxy": address, "https_proxy": address, "no_proxy": without}
    return {**named, **{name.upper(): value for name, value in named.items()}}   # lower case counts first on Unix


# the steps of each work

def installing(requirements, index=""):
    """
    The steps that make the engine's environment anew: `requirements` is a file, `index` a further one for pip.

    The older environment stays until the new one is complete and has passed its test. Returns what it has (see `state`
    in engine/selftest.py).
    """
    lock = None
    try:
        engines = engine_python.engines()
        engines.mkdir(parents=True, exist_ok=True)
        sweep()
        needed = CORE + (DEEP if Path(requirements).name == "requirements-deep.txt" else 0)
        _check_room(engines, needed)
        folder = Path(tempfile.mkdtemp(prefix="env-", dir=engines))
        lock = lock_of(folder)
        lock.tryLock(0)
        python = yield from making(folder)
        (folder / "tmp").mkdir(exist_ok=True)
        command = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off",
                   "--only-binary=:all:", "--retries=3", "--requirement", requirements]
        yield from done(Step(command + (["--extra-index-url", index] if index else []),
                              tr("Downloading and installing packages"), 10, 95, folder, needed))
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        found = yield from testing(python, 96)
        engine_python.complete(folder)
        return found
    finally:
        if lock:
            lock.unlock()
        sweep()


def lock_of(folder):
    """The lock of an environment that is being made, which counts as long as the QGIS that took it is there."""
    lock = QLockFile(str(folder.with_name(f"making-{folder.name}")))
    lock.setStaleLockTime(0)
    return lock


def _check_room(folder, needed):
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Failed(tr("The engine needs {needed} GB on the disk of {folder}, where {free} GB are free. Make room, "
                        "and choose Install again.").format(needed=f"{needed / 1e9:.1f}", folder=folder,
                                                            free=f"{free / 1e9:.1f}"))


def making(folder):
    """Steps that make an empty environment with the first interpreter that can, or with uv. Returns its Python."""
    machine, python, said = engine_python.machine(), executable_in(folder), []
    for base in interpreters.candidates(machine, os.path.isfile):
        for command in ([base, "-c", PROBE], [base, "-m", "venv", "--clear", folder],
                        [python, "-m", "pip", "--version"]):
            answer = yield Step(command, tr("Making an environment"), 1, 10, folder, EMPTY)
            if answer.code:
                said.append(answer.said)
                break
        else:
            return python
    uv = interpreters.uv(machine, os.path.isfile)
    if uv:
        shutil.rmtree(folder, ignore_errors=True)
        yield from done(Step([uv, "venv", "--seed", "--python", interpreters.RANGE, folder],
                              tr("Making an environment with uv")))
        return python
    if kind_of("\n".join(said))[0] is None:
        raise Failed(tr("No Python was found that can make the engine's environment. Install Python 3.12 or uv, and "
                        "choose Install again."))
    raise Failed(explained("\n".join(said)))


def done(step):
    """A step that has to succeed. Gives what it said."""
    answer = yield step
    if answer.code:
        raise Failed(explained(answer.said))
    return answer.said


def testing(python, percent=0):
    """The step that has the engine test itself. Returns what it has (see `state` in engine/selftest.py)."""
    return (yield from _asking(python, "--self-test", tr("Testing the engine"), percent))


def looking(python):
    """The step that asks what the engine's Python has. Returns that (see `state` in engine/selftest.py)."""
    return (yield from _asking(python, "--state", "", 0))


def _asking(python, question, words, percent):
    answer = yield Step([python, engine_python.ROOT / "bootstrap.py", question], words, percent)
    lines = [line for line in answer.said.splitlines() if line.startswith(('{"result"', '{"error"'))]
    given = {}
    with contextlib.suppress(ValueError):   # a line that was cut off
        given = json.loads(lines[-1]) if lines else {}
    if "result" in given:
        return given["result"]
    if "error" in given and not kind_of(given.get("traceback", ""))[0]:
        raise Failed(spoken(given["error"], given["arguments"]))
    raise Failed(explained(given.get("traceback") or answer.said))


def remove():
    """Remove the engine's environment."""
    engine_python.complete(None)
    sweep()


def sweep():
    """
    Delete every environment but the complete one, those in which tools run, and those that are being made, also by
    another QGIS of this profile.

    Nobody waits for it. What cannot be deleted is, the next time.
    """
    keep = {engine_python.private(), *(folder for python in engine_process.running for folder in Path(python).parents)}
    for folder in engine_python.engines().glob("env-*"):
        if folder not in keep and (lock := lock_of(folder)).tryLock(0):
            lock.unlock()
            threading.Thread(target=shutil.rmtree, args=(folder, True), name=f"sweep {folder}").start()
