"""Why an installation failed, as a sentence for the user: a function of what the programs said, and of nothing else."""

import re

from .words import tr

# what was said, and the kind of failure that it tells; the first that is found counts, so causes come before effects
SIGNS = (
    ("disk", r"\[Errno 28\]|No space left on device|\[Errno 122\]|Disk quota exceeded|\[WinError 112\]"),
    ("venv", r"No module named '?(venv|ensurepip)|ensurepip is not\s+available"),
    ("path", r"Long Path support|\[WinError 206\]|File name too long"),
    ("lock", r"\[WinError (5|32)\]|\[Errno 13\]|PermissionError"),
    ("proxy", r"ProxyError|[Cc]annot connect to proxy|407 Proxy Auth|Tunnel connection failed|proxy authentication"
              r"|Missing dependencies for SOCKS|tunnel error"),
    ("certificate", r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|certificate verify failed|SSLError"
                    r"|TLS CA certificate bundle|invalid peer certificate"),
    ("refused", r"HTTP error 40[13]|\b40[13] Client Error|HTTP status client error \(40[13]"),
    ("network", r"NewConnectionError|Connection refused|name resolution|getaddrinfo failed|Network is unreachable"
                r"|No route to host|ConnectTimeoutError|ReadTimeoutError|Read timed out|Connection reset"
                r"|RemoteDisconnected|ConnectionError|IncompleteRead|HTTP error 5\d\d|error sending request"),
    ("python", r"require a different python version|requires a different Python|Requires-Python"),
    ("platform", r"No matching distribution found for (?P<package>[^\s(]+)|(?P<wheel>\S+) is not a supported wheel"),
    ("library", r"DLL load failed[^\n]*|\[WinError 126\][^\n]*|\S+: cannot open shared object file"
                r"|[^\n]*Library not loaded[^\n]*"))


def kind_of(said):
    """The kind of failure that programs told, and the match that shows it; (None, None) where it is none of those."""
    for kind, sign in SIGNS:
        found = re.search(sign, said)
        if found:
            return kind, found
    return None, None


def explained(said):
    """The sentence for what programs said before they failed."""
    kind, found = kind_of(said)
    if kind == "disk":
        return tr("There is no room left on the disk for the engine. Make room, and choose Install again.")
    if kind == "venv":
        return tr("The Python that was found cannot make environments: its module venv or ensurepip is missing. "
                  "Install it (on Debian and Ubuntu: apt install python3-venv), or install Python 3.12 or uv, and "
                  "choose Install again.")
    if kind == "path":
        return tr("A file's path is longer than this system allows. On Windows, enable long paths (the setting "
                  "LongPathsEnabled), or use a QGIS profile in a folder with a shorter name, and choose Install again.")
    if kind == "lock":
        return tr("A file could not be written or replaced: another program holds it, such as a virus scanner or a "
                  "tool that is running, or the folder may not be written to. Wait for tools to end, or except QGIS's "
                  "profile folder from the scanner, and choose Install again.")
    if kind == "proxy":
        return tr("The proxy did not let the download pass. Check its address, user and password in Settings > Options "
                  "> Network, and choose Install again.")
    if kind == "certificate":
        return tr("The certificate of the package index is not trusted. Where a company's firewall looks into "
                  "connections, name the file with its certificate in the environment variable PIP_CERT, and "
                  "choose Install again.")
    if kind == "refused":
        return tr("The package index refuses access. Check its address and the password that pip is configured with, "
                  "and choose Install again.")
    if kind == "network":
        return tr("The package index cannot be reached. Check the connection to the internet, or the proxy in Settings "
                  "> Options > Network, and choose Install again.")
    if kind == "python":
        return tr("The packages are not made for the version of Python that was found. Install Python 3.12 or uv, and "
                  "choose Install again.")
    if kind == "platform":
        return tr("The package index gives no {package} for this computer's system, processor and version of Python. "
                  "Install Python 3.12 or uv, or configure pip with an index that has it, and choose Install "
                  "again.").format(
                      package=found["package"] or found["wheel"])
    if kind == "library":
        return tr("A library of the system is missing that the packages need: {name}. On Windows, install Microsoft's "
                  "Visual C++ Redistributable; elsewhere, the library. Then choose Install again.").format(
                      name=found[0].strip())
    return tr("The installation failed: {reason}. The log says more.").format(reason=_last(said))


def _last(said):
    """The last line that reports an error, or else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["?"]
    errors = [line for line in lines if re.match(r"(ERROR|error|\w*Error)\b", line)]
    return (errors or lines)[-1].rstrip(".")
