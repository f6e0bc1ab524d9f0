"""The engine's own environment: installed, cancelled, failed, checked and removed, and why it failed."""

import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from conftest import ROOT
from qgis.core import QgsNetworkAccessManager, QgsProcessingFeedback, QgsSettings
from qgis.gui import QgsMessageBar
from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.PyQt.QtNetwork import QNetworkProxy
from qgis.PyQt.QtWidgets import QCheckBox, QLabel, QLineEdit, QProgressBar, QPushButton

PYTHON = Path(os.environ["SUBPIXEL_PYTHON"])


@pytest.fixture(scope="module")
def empty(qgis, tmp_path_factory):
    """An environment without packages: it is made once, and copied where a test is not about its making."""
    from subpixel.processing_provider import engine_install
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_install.interpreters, "candidates", lambda machine, exists: [PYTHON])
        folder = tmp_path_factory.mktemp("empty")
        assert ran(engine_install.making(folder)).result == engine_install.executable_in(folder)
    return folder


@pytest.fixture
def install(qgis, empty, tmp_path, monkeypatch):
    """The module that installs: into a folder of the test's own, with an engine that needs but one tiny package."""
    from subpixel.processing_provider import engine_install, engine_python
    plugin = tmp_path / "plügin"
    shutil.copytree(ROOT / "engine", plugin / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__.py", "bootstrap.py"):
        shutil.copy(ROOT / file, plugin)
    (plugin / "requirements.txt").write_text("made==1.0\n")
    (plugin / "requirements-deep.txt").write_text("-r requirements.txt\nmadedeep==1.0\n")
    for name in ("made", "madedeep"):
        wheel(plugin, name)
    monkeypatch.setattr(engine_python, "ROOT", plugin)
    monkeypatch.setattr(engine_python, "engines", lambda: tmp_path / "prófile" / "engine")
    monkeypatch.setattr(engine_install, "really_making", engine_install.making, raising=False)
    monkeypatch.setattr(engine_install, "making", lambda folder: none_but(engine_install.executable_in(
        shutil.copytree(empty, folder, symlinks=True, dirs_exist_ok=True))))
    monkeypatch.setattr(engine_install, "testing", lambda python, percent=0: engine_install._asking(
        python, "--state", "Testing", percent))   # the true test needs the true packages
    monkeypatch.delenv("SUBPIXEL_PYTHON")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(plugin))
    return engine_install


def wheel(folder, name):
    """A package of one empty module."""
    about = f"{name}-1.0.dist-info"
    files = {f"{name}.py": "", f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
             f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"]))


def script(path, text):
    """An executable shell script, to stand in for a program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def none_but(result):
    """Steps that are none, and return a result."""
    yield from ()
    return result


def ran(steps, meanwhile=None):
    """The work of these steps when it has ended; `meanwhile` is called with it at all that programs say."""
    from subpixel.processing_provider.engine_install import Work
    work, loop = Work(), QEventLoop()
    work.ended = []
    work.finished.connect(lambda success: (work.ended.append(success), loop.quit()))
    if meanwhile:
        work.said.connect(lambda text: meanwhile(work, text))
    work.start(steps)
    if work.running():
        QTimer.singleShot(120000, loop.quit)
        loop.exec()
    assert len(work.ended) == 1, work.log
    return work


def environments(install):
    """What is left of environments when all that is deleted in the background is."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("sweep"):
            thread.join(60)
    return sorted(path.name for path in install.engine_python.engines().iterdir())


# the work

def test_installing_cancelling_failing_and_removing(install, tmp_path, monkeypatch):
    from subpixel.processing_provider.engine_python import Origin, chosen, executable_in, private
    requirements = install.engine_python.ROOT / "requirements.txt"
    assert chosen()[1] is Origin.QGIS

    work = ran(install.installing(requirements))
    assert work.ended == [True] and work.result["packages"][0]["found"] == "1.0", work.log
    first = private()
    assert environments(install) == ["complete", first.name] and not (first / "tmp").exists()
    assert chosen() == (executable_in(first), Origin.PRIVATE)

    def cancel_soon(work, text):
        if "-m venv" in text:   # which has programs of its own by then
            QTimer.singleShot(700, work.cancel)

    with monkeypatch.context() as real:
        real.setattr(install, "making", install.really_making)
        real.setattr(install.interpreters, "candidates", lambda machine, exists: [PYTHON])
        work = ran(install.installing(requirements), cancel_soon)
    assert work.ended == [False] and work.sentence == "Cancelled: nothing was changed."
    assert not subprocess.run(["pgrep", "-f", str(first.parent)], capture_output=True).stdout
    assert private() == first and environments(install) == ["complete", first.name]

    monkeypatch.setattr(install, "making", lambda folder: none_but(executable_in(first)))
    (requirements.parent / "requirements-deep.txt").write_text("nosuchthing==1.0\n")
    (requirements.parent / "nosuchthing-1.0.tar.gz").touch()   # which would have to be compiled
    work = ran(install.installing(requirements.parent / "requirements-deep.txt"))
    assert work.ended == [False] and "gives no nosuchthing==1.0 for this computer" in work.sentence
    assert private() == first and environments(install) == ["complete", first.name]

    install.remove()
    assert private() is None and environments(install) == [] and chosen()[1] is Origin.QGIS


def test_what_another_qgis_is_making_is_left_to_it(install):
    engines = install.engine_python.engines()
    theirs, left = engines / "env-theirs", engines / "env-left"
    theirs.mkdir(parents=True)
    left.mkdir()
    crashing = ("import os, sys; from qgis.PyQt.QtCore import QLockFile; lock = QLockFile(sys.argv[1]); "
                "lock.tryLock(0); os._exit(0)")
    subprocess.run([sys.executable, "-c", crashing, engines / "making-env-left"], check=True)
    assert environments(install) == ["env-left", "env-theirs", "making-env-left"]
    lock = install.lock_of(theirs)
    assert lock.tryLock(0)
    install.remove()
    assert environments(install) == ["env-theirs", "making-env-theirs"]
    lock.unlock()
    install.remove()
    assert environments(install) == []


def test_a_tool_that_runs_keeps_its_environment(install, tmp_path):
    from subpixel.processing_provider import engine_process
    python = install.executable_in(install.engine_python.engines() / "env-used")
    python.parent.mkdir(parents=True)
    script(python, """sleep 0.2; echo '{"result": {}}'""")
    install.engine_python.complete(python.parent.parent)

    class Feedback(QgsProcessingFeedback):
        def isCanceled(self):   # is asked again and again while the engine runs
            if install.engine_python.private():
                install.remove()
                assert environments(install) == ["env-used"]
            return False

    assert engine_process.run(tmp_path / "job.json", Feedback()) == {}
    assert install.engine_python.private() is None
    install.sweep()
    assert environments(install) == []


def test_an_environment_is_locked_while_it_is_made(install, monkeypatch):
    held = []

    def making(folder):
        held.append(not install.lock_of(folder).tryLock(0))
        yield from install.done(install.Step([PYTHON, "-c", "raise SystemExit(1)"]))

    monkeypatch.setattr(install, "making", making)
    ran(install.installing(install.engine_python.ROOT / "requirements.txt"))
    assert held == [True] and environments(install) == []


def test_an_environment_is_made_by_the_first_that_can(install, tmp_path, monkeypatch):
    folder = tmp_path / "environment"
    asked = tmp_path / "asked"
    old, bare, broken = (script(tmp_path / name, f'echo {name} >> "{asked}"; echo "{says}"; exit 1') for name, says in (
        ("old", "requires a different Python: 3.9"), ("bare", "ModuleNotFoundError: No module named 'ensurepip'"),
        ("broken", "Fatal Python error: init_fs_encoding")))
    uv = script(tmp_path / "uv", f'echo uv "$@" >> "{asked}"')

    def made(bases, uv=None):
        asked.write_text("")
        monkeypatch.setattr(install.interpreters, "candidates", lambda machine, exists: bases)
        monkeypatch.setattr(install.interpreters, "uv", lambda machine, exists: uv)
        return ran(install.really_making(folder))

    work = made([old, bare, broken, tmp_path / "absent"], uv)
    assert work.ended == [True] and work.result == install.executable_in(folder)
    assert asked.read_text().split("\n")[:4] == [
        "old", "bare", "broken", f"uv venv --seed --python >=3.11,<3.15 {folder}"]
    for bases, words in (([old, bare], "module venv or ensurepip is missing"),
                         ([broken, old], "not made for the version of Python"), ([broken], "No Python was found"),
                         ([], "No Python was found")):
        assert words in made(bases).sentence
    assert "index cannot be reached" in made([bare], script(uv, "echo error sending request for url; exit 2")).sentence


def test_an_interpreter_is_taken_only_in_a_version_that_the_packages_are_made_for(install):
    from subpixel.processing_provider.interpreters import RANGE, VERSIONS
    assert RANGE == f">={min(VERSIONS)},<3.{int(max(VERSIONS).partition('.')[2]) + 1}"

    def asked(probe):
        return subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True)
    assert asked(install.PROBE).returncode == 0
    other = asked(install.PROBE.replace("'3.", "'2."))
    assert other.returncode and install.kind_of(other.stderr)[0] == "python"


def test_without_room_or_a_folder_nothing_is_begun(install, tmp_path, monkeypatch):
    requirements = install.engine_python.ROOT / "requirements.txt"
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(4e8))
        work = ran(install.installing(requirements))
        assert "needs 0.6 GB on the disk of" in work.sentence and "0.4 GB are free" in work.sentence
        full.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(1e9))
        assert "needs 1.7 GB" in ran(install.installing(requirements.with_name("requirements-deep.txt"))).sentence
    (tmp_path / "file").touch()
    monkeypatch.setattr(install.engine_python, "engines", lambda: tmp_path / "file" / "engine")
    work = ran(install.installing(requirements))
    assert work.ended == [False] and "Not a directory" in work.sentence


def test_downloads_go_to_the_disk_of_the_environment(install, tmp_path, monkeypatch):
    pip = script(tmp_path / "python", f'echo "$TMPDIR" > "{tmp_path}/told"; exit 1')
    monkeypatch.setattr(install, "making", lambda folder: none_but(pip))
    ran(install.installing(install.engine_python.ROOT / "requirements.txt"))
    folder = Path((tmp_path / "told").read_text().strip())
    assert folder.name == "tmp" and folder.parent.parent == install.engine_python.engines()


def test_an_answer_that_is_cut_off_is_none(install, tmp_path):
    work = ran(install.looking(script(tmp_path / "python", "echo '{\"result\": {\"packa'")))
    assert work.ended == [False] and work.sentence and not work.running()


def test_the_log_has_lines_of_one_kind(install):
    work = ran(install.done(install.Step([PYTHON, "-c", "import sys; sys.stdout.buffer.write(b'1\\r\\n2\\n')"])))
    assert work.log.endswith("\n1\n2\n")


def test_progress_follows_what_is_written(install, tmp_path):
    folder = tmp_path / "filled"
    folder.mkdir()
    program = ("import pathlib, sys, time\nfor number in range(4):\n"
               "    pathlib.Path(sys.argv[1], str(number)).write_bytes(bytes(1000))\n    time.sleep(0.6)")
    seen = []

    def steps():
        yield install.Step([PYTHON, "-c", program, folder], "Filling", 10, 50, folder, 4000)

    from subpixel.processing_provider.engine_install import Work
    work, loop = Work(), QEventLoop()
    work.progress.connect(seen.append)
    work.finished.connect(loop.quit)
    work.start(steps())
    loop.exec()
    assert seen[0] == 10 and seen == sorted(seen) and {20, 30, 40} & set(seen) and seen[-1] <= 50
    assert work.words == "Filling"


def test_progress_never_falls(install):
    def steps():
        for percent in (50, 1):   # as where the second interpreter is tried
            yield install.Step([PYTHON, "--version"], "Trying", percent)

    assert ran(steps()).percent == 50


def test_qgiss_proxy_is_handed_to_pip(install):
    manager = QgsNetworkAccessManager.instance()
    assert install.proxy_variables() == {}
    try:
        manager.setFallbackProxyAndExcludes(
            QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "proxy.example", 3128, "ana", "p@ss/w"),
            ["http://inside.example", "direct.example", ""], [])
        variables = install.surroundings(install.Step([PYTHON]))
        for name in ("https_proxy", "HTTP_PROXY"):
            assert variables.value(name) == "http://ana:p%40ss%2Fw@proxy.example:3128"
        assert variables.value("NO_PROXY") == "inside.example,direct.example" and variables.value("PIP_USER") == "0"
        manager.setFallbackProxyAndExcludes(QNetworkProxy(QNetworkProxy.ProxyType.Socks5Proxy, "::1", 1080), [], [])
        assert install.proxy_variables()["https_proxy"] == "socks5h://[::1]:1080"
    finally:
        manager.setFallbackProxyAndExcludes(QNetworkProxy(), [], [])


# failures: what programs said, as recorded, and the kind that it is

RETRYING = ("WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection "
            "broken by '{}': /simple/numpy/\nERROR: Could not find a version that satisfies the requirement "
            "numpy==2.4.6 (from versions: none)\nERROR: No matching distribution found for numpy==2.4.6\n")
REFUSED = "Failed to establish a new connection: [Errno 111] Connection refused"
RECORDED = [
    ("network", RETRYING.format(f"NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection>: {REFUSED}')")),
    ("network", RETRYING.format("NewConnectionError('<...>: Failed to establish a new connection: [Errno -2] Name or "
                                "service not known')")),
    ("network", RETRYING.format("NewConnectionError('<...>: Failed to establish a new connection: [Errno 11001] "
                                "getaddrinfo failed')")),
    ("network", RETRYING.format("ReadTimeoutError(\"HTTPSConnectionPool(host='x', port=443): Read timed out.\")")),
    ("network", RETRYING.format("ConnectionResetError(104, 'Connection reset by peer')")),
    ("network", "error: Failed to install seed packages into virtual environment\n  cause: Failed to fetch: `x`\n"
                "  cause: error sending request for url (https://x/simple/pip/)\n  cause: client error (Connect)\n"),
    ("proxy", RETRYING.format(f"ProxyError('Cannot connect to proxy.', NewConnectionError('<...>: {REFUSED}'))")),
    ("proxy", RETRYING.format("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy "
                              "Authentication Required'))")),
    ("proxy", "ERROR: Could not install packages due to an OSError: Missing dependencies for SOCKS support.\n"),
    ("certificate", RETRYING.format("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] "
                                    "certificate verify failed: self-signed certificate (_ssl.c:1006)'))")),
    ("certificate", "ERROR: Could not install packages due to an OSError: Could not find a suitable TLS CA certificate "
                    "bundle, invalid path: /x.pem\n"),
    ("certificate", "  cause: invalid peer certificate: UnknownIssuer\n"),
    ("refused", "ERROR: HTTP error 403 while getting https://x/numpy.whl\n"),
    ("disk", "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"),
    ("disk", "Error: [Errno 28] No space left on device"),
    ("disk", "ERROR: Could not install packages due to an OSError: [WinError 112] Es steht nicht genug Speicherplatz "
             "auf dem Datenträger zur Verfügung\n"),
    ("venv", "The virtual environment was not created successfully because ensurepip is not\navailable.  On "
             "Debian/Ubuntu systems, you need to install the python3-venv\npackage using the following command.\n"),
    ("venv", "Traceback (most recent call last):\nModuleNotFoundError: No module named 'ensurepip'\n"),
    ("venv", "/usr/bin/python3: No module named venv\n"),
    ("lock", "ERROR: Could not install packages due to an OSError: [WinError 5] Zugriff verweigert: 'C:\\\\x.pyd'\n"),
    ("lock", "PermissionError: [WinError 32] The process cannot access the file because it is being used by another "
             "process: 'C:\\\\x'\n"),
    ("lock", "[Errno 13] Permission denied: '/home/ana/x'"),
    ("path", "ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory: 'C:\\\\x.h'\n"
             "HINT: This error might have occurred since this system does not have Windows Long Path support "
             "enabled.\n"),
    ("python", "ERROR: Ignored the following versions that require a different python version: 2.4.6 Requires-Python "
               ">=3.11\nERROR: No matching distribution found for numpy==2.4.6\n"),
    ("python", "ERROR: Package 'numpy' requires a different Python: 3.9.18 not in '>=3.11'\n"),
    ("platform", "ERROR: Could not find a version that satisfies the requirement rasterio==1.4.4 (from versions: 1.3.9)"
                 "\nERROR: No matching distribution found for rasterio==1.4.4\n"),
    ("platform", "ERROR: torch-2.13.0-cp311-cp311-win_arm64.whl is not a supported wheel on this platform.\n"),
    ("library", "ImportError: DLL load failed while importing _multiarray_umath: Das angegebene Modul wurde nicht "
                "gefunden.\n"),
    ("library", "OSError: [WinError 126] The specified module could not be found. Error loading \"c10.dll\" or one of "
                "its dependencies.\n"),
    ("library", "ImportError: libstdc++.so.6: cannot open shared object file: No such file or directory\n"),
    (None, "Collecting numpy\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nsomething\n"), (None, "")]


@pytest.mark.parametrize("kind, said", RECORDED)
def test_recorded_failures_are_told_apart(kind, said, qgis):
    from subpixel.processing_provider.install_failures import kind_of
    assert kind_of(said)[0] == kind


def test_every_kind_of_failure_has_a_sentence_of_its_own(qgis):
    from subpixel.processing_provider.install_failures import SIGNS, explained
    said = dict(RECORDED)
    assert set(said) == {kind for kind, _ in SIGNS} | {None}
    sentences = {explained(words) for words in said.values()}
    assert len(sentences) == len(said) and all(sentence.endswith(".") for sentence in sentences)
    assert "gives no torch-2.13.0-cp311-cp311-win_arm64.whl for" in explained(said["platform"])
    assert "need: libstdc++.so.6: cannot open shared" in explained(said["library"])
    assert explained("Collecting numpy\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nx") == (
        "The installation failed: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES. The log says more.")


class Refuser(http.server.BaseHTTPRequestHandler):
    """A proxy that wants a password."""

    def do_CONNECT(self):
        self.send_response(407, "Proxy Authentication Required")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def served():
    """Start a server on this computer; gives its address."""
    servers = []

    def serve(certificate=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuser)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"{'https' if certificate else 'http'}://localhost:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def failing(install, monkeypatch):
    """The kind of failure that pip itself tells, for the address of an index, and what else is in its environment."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CERT", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def failing(index, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        command = [PYTHON, "-m", "pip", "install", "--no-input", "--retries=1", "--index-url", index, "nosuchthing"]
        work = ran(install.done(install.Step(command)))
        assert work.ended == [False] and work.sentence == install.explained(work.log)
        return install.kind_of(work.log)[0]
    return failing


def test_pip_tells_that_an_index_does_not_answer(failing):
    assert failing("http://127.0.0.1:9/simple") == "network"


def test_pip_tells_that_a_proxy_wants_a_password(failing, served):
    assert failing("https://index.invalid/simple", https_proxy=served()) == "proxy"


def test_pip_tells_that_a_certificate_is_not_trusted(failing, served, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here to make a certificate")
    file = tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", file, "-out", file, "-days",
                    "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    assert failing(f"{served(file)}/simple") == "certificate"


# the page

@pytest.fixture
def page(install):
    """The page as the options show it, and how to wait for it."""
    from subpixel.ui.engine_page import EnginePage
    page = EnginePage(install.Work())

    def wait(signal):
        loop = QEventLoop()
        signal.connect(loop.quit)
        QTimer.singleShot(120000, loop.quit)
        loop.exec()
    page.wait = wait
    page.part = lambda kind, name: page.findChild(kind, name)
    page.says = lambda name: page.findChild(QLabel, name).text()
    page.offers = lambda: [button.objectName() for button in page.findChildren(QPushButton) if button.isEnabled()
                           and button.isVisible()]
    page.show()
    page.wait(page._looker.finished)
    yield page
    page.close()


def test_the_page_installs_checks_and_removes(install, page, monkeypatch):
    assert page.offers() == ["install"] and page.says("core") == "not installed"
    assert page.says("origin").startswith("QGIS's own.")
    page.part(QCheckBox, "deep").setChecked(True)
    page.part(QLineEdit, "index").setText(" file:///nosuchindex ")
    page.part(QPushButton, "install").click()
    assert page.offers() == ["cancel"] and not page.part(QCheckBox, "deep").isEnabled()
    page.wait(page.finished)
    assert page.says("status") == "The engine is installed and has passed its test."
    assert "--extra-index-url file:///nosuchindex\n" in page._work.log == page._log.toPlainText()
    assert QgsSettings().value("subpixel/index") == "file:///nosuchindex"
    assert page.part(QProgressBar, "progress").value() >= 95
    page.wait(page._looker.finished)
    assert page.offers() == ["install", "check", "remove"]
    assert page.part(QPushButton, "install").text() == "Install again"
    assert (page.says("core"), page.says("torch")) == ("made 1.0", "madedeep 1.0")
    assert page.says("origin") == "Installed from this page, into your QGIS profile."
    assert page.says("python").startswith(str(install.engine_python.private()))

    page.look()
    page.look()   # while it is still looking
    assert page.says("core") == "..."
    page.wait(page._looker.finished)
    page.part(QPushButton, "check").click()
    page.wait(page.finished)
    assert page.says("status").startswith("The engine works")

    (install.engine_python.ROOT / "requirements.txt").write_text("made==1.1\n")   # as with a new version of the plugin
    page._show_status("", True)
    page.look()
    page.wait(page._looker.finished)
    assert "for another version of Subpixel" in page.says("status")

    page.part(QPushButton, "remove").click()
    page.wait(page._looker.finished)
    assert page.offers() == ["install"] and environments(install) == []


def test_a_further_index_is_asked_only_for_deep_learning(install, page, monkeypatch):
    asked = []
    monkeypatch.setattr(install, "installing", lambda requirements, index: none_but(
        asked.append((requirements.name, index))))
    page.part(QLineEdit, "index").setText("file:///index")
    for deep in (False, True):
        page.part(QCheckBox, "deep").setChecked(deep)
        page.install()
    assert asked == [("requirements.txt", ""), ("requirements-deep.txt", "file:///index")]


def test_the_page_says_why_it_failed_and_cancels(install, page, monkeypatch):
    monkeypatch.setattr(install, "making", lambda folder: install.done(install.Step(
        [PYTHON, "-c", "import sys; sys.exit('[Errno 28] No space left on device')"])))
    page.part(QCheckBox, "deep").setChecked(True)
    page.part(QPushButton, "install").click()
    page.wait(page.finished)
    assert page.says("status").startswith("There is no room left") and "No space left" in page._log.toPlainText()
    assert not page._log_box.isCollapsed()
    page.wait(page._looker.finished)
    assert page.part(QCheckBox, "deep").isChecked()   # to install again

    monkeypatch.setattr(install, "making", lambda folder: install.done(install.Step(
        [PYTHON, "-c", "import time; time.sleep(60)"])))
    page.part(QPushButton, "install").click()
    page.part(QPushButton, "cancel").click()
    assert page.says("status") == "Cancelled: nothing was changed." and "cancel" not in page.offers()


def test_a_python_that_the_user_named_is_left_alone(install, tmp_path, monkeypatch):
    from subpixel.ui.engine_page import EnginePage
    monkeypatch.setenv("SUBPIXEL_PYTHON", str(tmp_path / "nothing"))
    page = EnginePage(install.Work())
    page.show()
    assert not page.findChild(QPushButton, "install").isEnabled()
    assert page.findChild(QLabel, "origin").text().startswith("Named by the environment variable SUBPIXEL_PYTHON.")
    loop = QEventLoop()
    page._looker.finished.connect(loop.quit)
    loop.exec()
    assert page.findChild(QLabel, "core").text() == "This Python does not start."
    monkeypatch.setenv("SUBPIXEL_PYTHON", str(PYTHON))
    (install.engine_python.ROOT / "requirements.txt").write_text("numpy==0.1\n")
    page.look()
    loop.exec()
    assert page.findChild(QLabel, "core").text().startswith("numpy 2")   # another version than the one wanted: theirs
    assert page.findChild(QLabel, "status").text() == ""
    page.look()
    page.hide()
    assert not page._looker.running()
    page.close()


@pytest.mark.parametrize("wanted, found, expected", [("2.13.0", "2.13.0+cpu", False), ("2.13.0", "2.12.1+cpu", True),
                                                     ("1.0", "1.1", True), ("1.0", None, False)])
def test_packages_of_another_version_are_outdated(qgis, wanted, found, expected):
    from subpixel.ui.engine_page import outdated
    assert outdated([{"wanted": wanted, "found": found}]) == expected


class Interface:
    """As much of QGIS's window as the engine's part asks for."""

    def __init__(self):
        self.bar, self.factories, self.opened = QgsMessageBar(), [], []
        self.registerOptionsWidgetFactory, self.unregisterOptionsWidgetFactory = (
            self.factories.append, self.factories.remove)

    def messageBar(self):
        return self.bar

    def mainWindow(self):
        return None

    def showOptionsDialog(self, parent, page):
        self.opened.append(page)


def test_the_first_start_offers_to_install_and_unloading_takes_all_back(install, monkeypatch):
    from subpixel.ui import engine_page
    from subpixel.ui.engine_page import GREETED, PAGE, Engine
    monkeypatch.setattr(engine_page, "DELAY", 0)
    QgsSettings().remove(GREETED)
    window, loop = Interface(), QEventLoop()
    Engine(window).unload()   # before it has greeted
    QTimer.singleShot(100, loop.quit)
    loop.exec()
    assert window.bar.items() == []
    engine = Engine(window)
    QTimer.singleShot(100, loop.quit)
    loop.exec()
    assert "not installed yet" in window.bar.currentItem().text() and len(window.factories) == 1
    window.bar.currentItem().findChild(QPushButton).click()
    assert window.opened == [PAGE] == [window.factories[0].createWidget().objectName()]
    engine.work.start(install.done(install.Step([PYTHON, "-c", "import time; time.sleep(60)"])))
    engine.unload()
    assert window.factories == [] and window.bar.items() == [] and not engine.work.running()

    second = Engine(window)   # that start was the first
    QTimer.singleShot(100, loop.quit)
    loop.exec()
    assert window.bar.items() == []
    second.work.finished.connect(loop.quit)
    for program, words in (("raise SystemExit('[Errno 28]')", "no room left"), ("", "It is done.")):
        second.work.start(install.done(install.Step([PYTHON, "-c", program])), "It is done.")
        loop.exec()
        assert words in window.bar.currentItem().text()   # the options are closed, so it is told here
    second.unload()
