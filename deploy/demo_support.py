"""What demo.py starts, and ends again; and how it writes on the screen."""

import ctypes
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PROGRAMS = ["rater", "rater-load", "rater-services", "rater-verify"]
STARTED = time.monotonic()


class Trouble(Exception):
    """Why it cannot go on; with the exit code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def say(text=""):
    print(text, flush=True)


def head(title):
    say(f"\n== {title}  [{time.monotonic() - STARTED:.0f} s]")


def rows(lines, indent="  "):
    """Columns as wide as they have to be; columns of figures, with their titles, to the right."""
    lines = [[str(cell) for cell in line] for line in lines]
    columns = list(zip(*lines))
    widths = [max(map(len, column)) for column in columns]
    is_figures = [all(re.match(r"[-\d]|$", cell) for cell in column[1:]) for column in columns]
    for line in lines:
        cells = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, is_figures)]
        say(indent + "  ".join(cells).rstrip())


def figure(value, unit="short"):
    """A value as its unit says."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{100 * value:.1f} %"
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    text = f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
    return text + {"s": " s", "reqps": "/s", "ops": "/s", "cps": "/s", "Bps": " B/s"}.get(unit, "")


class Started:
    """Everything that was started, so that everything is ended."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}
        self.libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def start(self, name, command, stdin=subprocess.DEVNULL, stdout=None):
        """Starts a process in a session of its own: Ctrl-C at a terminal is for this script, which then ends it."""
        log = open(self.folder / f"{name}.log", "ab")
        with log:
            process = subprocess.Popen(
                [str(part) for part in command], stdin=stdin, stdout=stdout or log, stderr=log, env=environment(), cwd=self.folder,
                start_new_session=True, preexec_fn=self.end_with_us)
        self.processes[name] = process
        return process

    def end_with_us(self):
        """In the child: the kernel kills it when this script is killed in a way that runs no code of ours."""
        if self.libc:
            death_signal = 1
            self.libc.prctl(death_signal, signal.SIGKILL)

    def run(self, name, command):
        """Runs a command to its end; what it put out."""
        process = self.start(name, command, stdout=subprocess.PIPE)
        said = process.communicate()[0].decode()
        del self.processes[name]
        if process.returncode != 0:
            raise Trouble(3, f"{name}: exit code {process.returncode}\n{said}{self.last_words(name)}")
        return said

    def last_words(self, name):
        text = (self.folder / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Trouble(3, f"{name} ended by itself, exit code {process.returncode}\n{self.last_words(name)}")

    def end(self, name, by=signal.SIGTERM):
        """Ends one; its exit code."""
        process = self.processes.pop(name)
        if process.stdin:
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(by)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def end_all(self):
        """The services end at the end of their input and remove their folders; nobody else has anything to lose."""
        services = [process for process in self.processes.values() if process.stdin]
        for process in self.processes.values():
            if process.stdin:
                process.stdin.close()
            else:
                process.kill()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        return len(services)


def environment():
    """Ours without settings of rater, and without services of somebody else, which nobody may stop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RATER_") or name == "RATER_SERVICES_DIR"}
    return {**kept, "NO_COLOR": "1"}


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def services_folder():
    for name, below in [("RATER_SERVICES_DIR", ""), ("XDG_CACHE_HOME", "rater-services"), ("HOME", ".cache/rater-services")]:
        if os.environ.get(name):
            return Path(os.environ[name]) / below
    raise Trouble(2, "neither RATER_SERVICES_DIR, XDG_CACHE_HOME nor HOME is set")


def find_prometheus(given):
    folder = given or os.environ.get("RATER_TEST_PROMETHEUS")
    places = [folder] if folder else [*os.environ.get("PATH", "").split(os.pathsep), services_folder() / "prometheus/usr/bin"]
    for place in places:
        if (Path(place) / "prometheus").is_file():
            return Path(place) / "prometheus"
    raise Trouble(2, "no program prometheus: install one (Debian, Ubuntu: apt-get install prometheus; macOS: brew install prometheus),\n"
                     "or let the tests fetch one: cargo test -p rater --test dashboards")


def find_programs(folder):
    missing = [name for name in PROGRAMS if not (folder / name).is_file()]
    if missing:
        raise Trouble(2, f"not in {folder}: {', '.join(missing)}; build them: cargo build --workspace --bins")
    return {name: folder / name for name in PROGRAMS}


def get(address, path, timeout_s=10):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout_s) as answer:
        return answer.read().decode()


def wait_for(what, limit_s, is_there, started):
    deadline = time.monotonic() + limit_s
    while not is_there():
        started.check()
        if time.monotonic() > deadline:
            raise Trouble(3, f"{what}: not within {limit_s} s")
        time.sleep(0.2)


def answers(address, path):
    try:
        get(address, path)
    except (OSError, urllib.error.URLError):
        return False
    return True
