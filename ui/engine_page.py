"""The engine in QGIS's window: its page in the options, and the message on the first start that leads there."""

import sys

from qgis.core import Qgis, QgsApplication, QgsSettings
from qgis.gui import QgsCollapsibleGroupBoxBasic, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QLocale, QStorageInfo, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtGui import QFontDatabase, QIcon, QTextCursor
from qgis.PyQt.QtWidgets import (QApplication, QCheckBox, QFormLayout, QGroupBox, QHBoxLayout, QLabel, QLineEdit,
                                 QPlainTextEdit, QProgressBar, QPushButton, QVBoxLayout, QWidget)

from ..engine.declare import Tool
from ..processing_provider import engine_install, engine_python
from ..processing_provider.algorithm import ICON
from ..processing_provider.engine_python import Origin
from ..processing_provider.words import tr

PAGE = "subpixelEngine"         # the page's name in the options
INDEX = "subpixel/index"        # settings: where pip looks too, and
GREETED = "subpixel/greeted"    # whether the first start is over
DELAY = 2000                    # milliseconds from then to the message, so that it lies above QGIS's own


def words_of_origin(origin):
    """What led to the engine's Python."""
    return {
        Origin.VARIABLE: tr("Named by the environment variable SUBPIXEL_PYTHON. It is yours: nothing is installed into "
                            "it from here."),
        Origin.SETTING: tr("Named in Processing > Providers > Subpixel. It is yours: nothing is installed into it from "
                           "here."),
        Origin.PRIVATE: tr("Installed from this page, into your QGIS profile."),
        Origin.CHECKOUT: tr("An environment in the plugin's folder."),
        Origin.QGIS: tr("QGIS's own. Nothing is ever installed into it: Install makes an environment for the engine "
                        "alone, in your QGIS profile.")}[origin]


def words_of_packages(packages):
    """Which packages are there, and which are missing."""
    there = ", ".join(f"{package['name']} {package['found']}" for package in packages if package["found"])
    lacking = ", ".join(package["name"] for package in packages if not package["found"])
    if not there:
        return tr("not installed")
    return tr("{packages}; missing: {lacking}").format(packages=there, lacking=lacking) if lacking else there


def outdated(packages):
    """Whether packages are there in another version than the one wanted. What follows + only tells the build."""
    return any(package["found"] and package["found"].partition("+")[0] != package["wanted"] for package in packages)


class EnginePage(QgsOptionsPageWidget):
    """
    Which Python runs the engine and what it has; installs, checks and removes the engine's own environment.

    What is started here goes on in `work` when the options are closed.
    """

    finished = pyqtSignal(bool)   # an installation or a check has ended: whether it was successful

    def __init__(self, work, parent=None):
        super().__init__(parent)
        self.setObjectName(PAGE)
        self._work, self._looker = work, engine_install.Work(self)
        layout = QVBoxLayout(self)
        for part in (self._what_is_there(), self._what_can_be_done(), self._how_it_goes(), self._how_it_ended(),
                     self._what_was_said()):
            layout.addWidget(part)
        layout.addStretch()
        self._looker.finished.connect(self._show_packages)
        work.said.connect(self._add_to_log)
        work.progress.connect(self._show_progress)
        work.finished.connect(self._show_end)
        self._add_to_log(work.log)
        self._show_progress(work.percent)
        self._show_status("", True)
        self._enable()

    def showEvent(self, event):
        super().showEvent(event)
        self.look()

    def hideEvent(self, event):
        self._looker.cancel()   # the page may not come back
        super().hideEvent(event)

    # what the page shows

    def _what_is_there(self):
        box = QGroupBox(tr("Engine"))
        form = QFormLayout(box)
        self._python, self._origin, self._core, self._torch, self._disk = (
            _lines(name) for name in ("python", "origin", "core", "torch", "disk"))
        for words, label in ((tr("Python"), self._python), (tr("Origin"), self._origin), (tr("Packages"), self._core),
                             (tr("Deep learning"), self._torch), (tr("Free disk"), self._disk)):
            form.addRow(words, label)
        return box

    def _what_can_be_done(self):
        box = QGroupBox(tr("Environment for the engine alone"))
        layout = QVBoxLayout(box)
        size, linux = _lines("size"), _lines("linux")
        size.setText(tr("Downloads 120 MB, takes 0.5 GB on the disk."))
        linux.setText(tr("On Linux the usual index gives PyTorch for NVIDIA's graphics cards, of several GB. For the "
                         "one that computes on the processor, enter the address of the index that PyTorch's "
                         "installation page names for CPU."))
        self._deep = QCheckBox(tr("Deep learning too (PyTorch): 200 MB more to download, 0.9 GB more on the disk"))
        self._deep.setObjectName("deep")
        self._index = QLineEdit(QgsSettings().value(INDEX, ""))
        self._index.setObjectName("index")
        self._index.setPlaceholderText(tr("none: as pip is configured"))
        index = QWidget()
        form = QFormLayout(index)
        form.setContentsMargins(20, 0, 0, 0)
        form.addRow(tr("Further package index"), self._index)
        if sys.platform == "linux":
            form.addRow(linux)
        self._deep.toggled.connect(index.setVisible)
        index.setVisible(False)
        self._install = _button("install", tr("Install"), tr(
            "Make the environment and test it. One that is there stays in use until the new one is complete."))
        self._check = _button("check", tr("Check"), tr(
            "Have the engine test itself: it unmixes a small image whose fractions are known."))
        self._remove = _button("remove", tr("Remove"), tr("Delete the environment that was installed from here."))
        buttons = QHBoxLayout()
        for button, action in ((self._install, self.install), (self._check, self.check), (self._remove, self.remove)):
            button.clicked.connect(action)
            buttons.addWidget(button)
        buttons.addStretch()
        for part in (size, self._deep, index):
            layout.addWidget(part)
        layout.addLayout(buttons)
        return box

    def _how_it_goes(self):
        self._going = QWidget()
        layout = QHBoxLayout(self._going)
        layout.setContentsMargins(0, 0, 0, 0)
        self._words, self._bar = QLabel(), QProgressBar()
        self._bar.setObjectName("progress")
        cancel = _button("cancel", tr("Cancel"), "")
        cancel.clicked.connect(self._work.cancel)
        for part in (self._words, self._bar, cancel):
            layout.addWidget(part)
        layout.setStretchFactor(self._bar, 1)
        return self._going

    def _how_it_ended(self):
        self._ended = QWidget()
        layout = QHBoxLayout(self._ended)
        layout.setContentsMargins(0, 0, 0, 0)
        self._icon, self._status = QLabel(), _lines("status")
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._status, 1)
        return self._ended

    def _what_was_said(self):
        self._log_box = QgsCollapsibleGroupBoxBasic(tr("Log"))
        self._log_box.setCollapsed(True)
        self._log = QPlainTextEdit()
        self._log.setObjectName("log")
        self._log.setReadOnly(True)
        self._log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._log.setMinimumHeight(180)
        QVBoxLayout(self._log_box).addWidget(self._log)
        return self._log_box

    # what is done

    def look(self):
        """Show which Python runs the engine, and ask it what it has."""
        python, origin = engine_python.chosen()
        disk = QStorageInfo(QgsApplication.qgisSettingsDirPath())
        self._python.setText(str(python))
        self._origin.setText(words_of_origin(origin))
        self._disk.setText(tr("{size} where your QGIS profile is").format(size=QLocale().formattedDataSize(
            disk.bytesAvailable(), 1, QLocale.DataSizeFormat.DataSizeSIFormat)))
        self._looker.cancel()
        for label in (self._core, self._torch):
            label.setText("...")
        self._looker.start(engine_install.looking(python))
        self._enable()

    def install(self):
        """Make the engine's environment."""
        self.apply()
        requirements = "requirements-deep.txt" if self._deep.isChecked() else "requirements.txt"
        index = self._index.text().strip() if self._deep.isChecked() else ""
        self._start(engine_install.installing(engine_python.ROOT / requirements, index),
                    tr("The engine is installed and has passed its test."))

    def check(self):
        """Have the engine test itself."""
        self._start(engine_install.testing(engine_python.find()),
                    tr("The engine works: in its test it found the fractions that are known."))

    def remove(self):
        """Remove the engine's environment."""
        engine_install.remove()
        self._show_status(tr("The engine's environment is removed."), True)
        self.look()

    def apply(self):
        """Keep what was entered: QGIS asks for it when the options are closed with OK."""
        QgsSettings().setValue(INDEX, self._index.text().strip())

    def _start(self, steps, done):
        self._log.clear()
        self._show_status("", True)
        self._work.start(steps, done)
        self._enable()

    # how it goes

    def _enable(self):
        """Offer what can be done now."""
        python, origin = engine_python.chosen()
        idle = not self._work.running()
        self._going.setVisible(not idle)
        self._install.setText(tr("Install again") if engine_python.private() else tr("Install"))
        for part in (self._install, self._deep, self._index):
            part.setEnabled(idle and not origin.named)
        self._check.setEnabled(idle and self._complete())
        self._remove.setEnabled(idle and engine_python.private() is not None)

    def _complete(self):
        """Whether the engine's Python has all that most tools need."""
        return bool(self._looker.result) and all(
            package["found"] for package in self._looker.result["packages"] if not package["deep"])

    def _show_packages(self, success):
        if success:
            packages = self._looker.result["packages"]
            self._core.setText(words_of_packages([package for package in packages if not package["deep"]]))
            deep = [package for package in packages if package["deep"]]
            self._torch.setText(words_of_packages(deep))
            if all(package["found"] for package in deep):
                self._deep.setChecked(True)
            if engine_python.chosen()[1] is Origin.PRIVATE and outdated(packages):
                self._show_status(tr("The engine was installed for another version of Subpixel. Choose Install again "
                                     "to renew it."), False)
        elif self._looker.sentence:
            self._core.setText(tr("This Python does not start."))
            self._torch.clear()
        self._enable()

    def _show_progress(self, percent):
        self._words.setText(self._work.words)
        self._bar.setValue(percent)

    def _add_to_log(self, text):
        self._log.moveCursor(QTextCursor.MoveOperation.End)
        self._log.insertPlainText(text)

    def _show_status(self, words, success):
        self._ended.setVisible(bool(words))
        self._status.setText(words)
        icon = QgsApplication.getThemeIcon("/mIconSuccess.svg" if success else "/mIconWarning.svg")
        self._icon.setPixmap(icon.pixmap(16, 16))

    def _show_end(self, success):
        self._show_status(self._work.sentence, success)
        if not success:
            self._log_box.setCollapsed(False)
        self.look()
        self.finished.emit(success)


def _lines(name):
    """A label of several lines, whose text can be copied."""
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _button(name, words, tip):
    button = QPushButton(words)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button


class PageFactory(QgsOptionsWidgetFactory):
    """Makes the page whenever the options are opened."""

    def __init__(self, work):
        super().__init__("Subpixel", QIcon(ICON))
        self._work = work

    def createWidget(self, parent=None):
        return EnginePage(self._work, parent)


class Engine:
    """The part of the window that has the page, and tells of the engine in QGIS's message bar."""

    def __init__(self, iface):
        self._iface = iface
        self.work = engine_install.Work()
        self.work.finished.connect(self._tell_end)
        self._factory = PageFactory(self.work)
        iface.registerOptionsWidgetFactory(self._factory)
        engine_install.sweep()   # what a tool that ran when it was replaced left
        self._message = None
        self._later = QTimer(singleShot=True, interval=DELAY)
        self._later.timeout.connect(self._greet)
        if not QgsSettings().value(GREETED, False, type=bool):
            self._later.start()

    def unload(self):
        self._later.stop()
        self.work.finished.disconnect(self._tell_end)
        self.work.cancel()
        self._iface.unregisterOptionsWidgetFactory(self._factory)
        self._take_back()

    def open_page(self):
        """Open the options at the page."""
        self._take_back()
        self._iface.showOptionsDialog(self._iface.mainWindow(), PAGE)

    def _greet(self):
        """On the first start, where there is no engine yet, offer to install it."""
        QgsSettings().setValue(GREETED, True)
        if engine_python.trouble(Tool.requires):
            self._show(tr("The tools run in an engine of their own, which is not installed yet."),
                       Qgis.MessageLevel.Info, tr("Install..."))

    def _tell_end(self, success):
        """Tell how it ended where no page shows it."""
        if not any(isinstance(widget, EnginePage) and widget.isVisible() for widget in QApplication.allWidgets()):
            self._show(self.work.sentence, Qgis.MessageLevel.Success if success else Qgis.MessageLevel.Warning,
                       tr("Show..."))

    def _show(self, words, level, button_words):
        self._take_back()
        bar = self._iface.messageBar()
        self._message = bar.createMessage("Subpixel", words)
        button = _button("subpixelOpenEngine", button_words, "")
        button.clicked.connect(self.open_page)
        self._message.layout().addWidget(button)
        self._message.destroyed.connect(self._forget)
        bar.pushWidget(self._message, level)

    def _forget(self):
        self._message = None

    def _take_back(self):
        if self._message is not None:
            self._iface.messageBar().popWidget(self._message)
            self._message = None
