"""Where Python interpreters lie beside QGIS, on each platform: a function of what is there, and of nothing else."""

from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

VERSIONS = ("3.12", "3.13", "3.11", "3.14")   # that the pinned packages are made for, in the order to be tried,
RANGE = ">=3.11,<3.15"                        # and in uv's words
APPLES = "/usr/bin"                           # on a Mac, programs that only offer to install the developer's tools
STORE = "WindowsApps"                         # on Windows, programs that only open the store


@dataclass(frozen=True)
class Machine:
    """What tells where interpreters are."""

    system: str      # sys.platform
    prefix: str      # sys.exec_prefix of QGIS's Python
    version: str     # of QGIS's Python, such as 3.12
    program: str     # QGIS itself
    home: str        # of the user
    path: tuple      # the folders of PATH

    def place(self, folder):
        """A folder as a path of this machine's kind."""
        return (PureWindowsPath if self.system == "win32" else PurePosixPath)(folder)


def own(machine, exists):
    """QGIS's own interpreter as a program: the first that exists of where it may be, or else the first."""
    places = _own(machine)
    return next((place for place in places if exists(place)), places[0])


def candidates(machine, exists):
    """The interpreters that exist and may make an environment, QGIS's own first."""
    return [place for place in dict.fromkeys([*_own(machine), *_others(machine)]) if exists(place)]


def uv(machine, exists):
    """The program uv, or None."""
    name, home = "uv.exe" if machine.system == "win32" else "uv", machine.place(machine.home)
    folders = [machine.place(folder) for folder in machine.path]
    if machine.system == "darwin":
        folders.append(machine.place("/opt/homebrew/bin"))
    places = [folder / name for folder in [*folders, home / ".local" / "bin", home / ".cargo" / "bin"]]
    return next((place for place in places if exists(place)), None)


def _own(machine):
    """Where QGIS's own interpreter may be. `sys.executable` is QGIS itself on Windows and in bundles of macOS."""
    prefix = machine.place(machine.prefix)
    exact = f"python{machine.version}"
    if machine.system == "win32":   # OSGeo4W and the standalone installer: ROOT/apps/Python312, ROOT/bin; conda: ENV
        return [prefix / "python.exe", prefix / "python3.exe", prefix.parent.parent / "bin" / "python3.exe"]
    if machine.system == "darwin":  # Contents/MacOS/bin in older bundles; in newer ones a script that sets PYTHONHOME
        programs = machine.place(machine.program).parent
        return [prefix / "bin" / exact, programs / "bin" / exact, programs / "bin" / "python3", programs / "python",
                programs / exact]
    return [prefix / "bin" / exact, prefix / "bin" / "python3", machine.place("/usr/bin") / exact]


def _others(machine):
    """Where other interpreters may be."""
    folders = [machine.place(folder) for folder in machine.path]
    if machine.system == "win32":
        installed = [machine.place(machine.home) / "AppData" / "Local" / "Programs" / "Python",
                     machine.place("C:/Program Files")]
        return [folder / f"Python{version.replace('.', '')}" / "python.exe" for folder in installed
                for version in VERSIONS] + [folder / "python.exe" for folder in folders if folder.name != STORE]
    names = ["python3", *(f"python{version}" for version in VERSIONS)]
    if machine.system == "darwin":
        frameworks = machine.place("/Library/Frameworks/Python.framework/Versions")
        folders += [machine.place(folder) for folder in ("/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin")]
        return [frameworks / version / "bin" / f"python{version}" for version in VERSIONS] + [
            folder / name for folder in folders if str(folder) != APPLES for name in names]
    folders += [machine.place(folder) for folder in ("/usr/bin", "/usr/local/bin", "/app/bin")]
    return [folder / name for folder in folders for name in names]
