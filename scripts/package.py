"""
Build the zip that QGIS installs and the plugin repository takes: package.py [FOLDER], by default into dist/.

It holds what is committed, and the help made from that: the same commit gives the same bytes. Prints the zip's path.
"""

import configparser
import io
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("__init__.py", "plugin.py", "bootstrap.py", "metadata.txt", "icon.svg", "LICENSE", "README.md", "CHANGELOG.md",
         "requirements.txt", "requirements-deep.txt", "algorithms", "tools", "engine", "processing_provider", "ui",
         "models", "i18n", "docs/html")
PICTURES = "docs/**/*.png"   # which pages and README show


def git(*arguments):
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True).stdout


def files_of(source):
    """What goes in, sorted by name."""
    files = set(source.glob(PICTURES))
    for part in PARTS:
        path = source / part
        if not path.exists():
            raise SystemExit(f"{part} is not committed, but belongs into the package.")
        files.update(path.rglob("*") if path.is_dir() else [path])
    return sorted(file for file in files if file.is_file())


def build(folder):
    """Write the zip of the last commit into a folder, and return its path."""
    moment = time.gmtime(int(git("log", "-1", "--format=%ct")))[:6]
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))).extractall(source)
        subprocess.run([sys.executable, "-B", source / "scripts" / "pages.py"], check=True)
        metadata = configparser.ConfigParser()
        metadata.read(source / "metadata.txt", encoding="utf-8")
        target = Path(folder) / f"subpixel-{metadata['general']['version']}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w") as package:
            for file in files_of(source):
                entry = zipfile.ZipInfo(f"subpixel/{file.relative_to(source).as_posix()}", moment)
                entry.external_attr, entry.create_system = 0o644 << 16, 3   # Unix's, on every machine
                package.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return target


if __name__ == "__main__":
    if git("status", "--porcelain"):
        print("Changes that are not committed are not in the zip.", file=sys.stderr)
    print(build(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist"))
