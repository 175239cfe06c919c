#!/usr/bin/env python3
"""Feeds rater state that grows, and prints what state takes and what a run costs, as ratios within each case.

    cargo build --release -p rater
    python3 benches/state.py [--binary target/release/rater] [--list] [NAME ...]

Every case is made here, in a temporary folder, and goes through the program as a whole; docs/performance.md has the figures.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

MIB = 1 << 20
FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)


def text(moment):
    """A moment as the program reads it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def reference(bundles="", zones="", endpoints=1):
    """Reference data of a customer with endpoints."""
    meters = "\n".join(f"  meter-{number}: {{ customer: acme, imsi: \"{imsi(number)}\" }}" for number in range(endpoints))
    return f"""format: rater/v1
zones:
  home: {{ networks: [234] }}
{zones}
tariffs:
  plan: {{ currency: GBP, versions: [{{ from: 2025-01-01T00:00:00Z, rates: [{{ service: data, price: 0.10/MB }}] }}] }}
bundles:
  small: {{ currency: GBP, elements: [{{ service: data, amount: 1 MB }}] }}
{bundles}
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  acme: {{ kind: customer, parent: northstar, currency: GBP, tariff: plan }}
endpoints:
{meters}
"""


def imsi(number):
    """The IMSI of an endpoint."""
    return f"23415{number:010d}"


def usage(number, moment, meter=0):
    """A usage record."""
    return dict(id=f"u{number}", service="data", quantity=1000, event_time=text(moment), imsi=imsi(meter), network="234-15")


def purchase(number, bundle, moment, meter=None):
    """A command that buys a bundle for the customer, or for one endpoint of it."""
    command = dict(command_id=f"c{number}", kind="buy_bundle", account_id="acme", issued_by="northstar", effective_time=text(moment), bundle_id=bundle)
    if meter is not None:
        command["endpoint_id"] = f"meter-{meter}"
    return command


def tick(moment):
    """A tick."""
    return dict(tick=text(moment))


class Folder:
    """An output folder, with the program that works in it."""

    def __init__(self, program, place, reference_text):
        self.program, self.place, self.runs = program, Path(place), 0
        self.place.mkdir()
        (self.place / "rating.yaml").write_text(reference_text)

    def rate(self, lines):
        """Rates lines; returns the CPU time in seconds."""
        self.runs += 1
        path = self.place / f"input-{self.runs}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [self.program, "rate", path, "-r", self.place / "rating.yaml", "-o", self.place / "out", "--threads", "1", "--quiet"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ended.returncode not in (0, 3):
            sys.exit(f"{command}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def state_bytes(self):
        """The bytes of the state store."""
        return (self.place / "out" / ".rater" / "state.redb").stat().st_size

    def replies(self):
        """The number of commands that were refused."""
        told = (self.place / "out" / "notifications.jsonl").read_text()
        return sum("command_refused" in line for line in told.splitlines())


def row(*cells):
    """Prints a row of a table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title, *names):
    """Prints the head of a table."""
    print(f"\n### {title}\n")
    row(*names)
    row(*("---" for _ in names))


def dictionary(program, room):
    """Instances of one bundle, whose zone has no networks or 200."""
    count = 100_000
    networks = ", ".join(f'"{200 + number // 100}-{number % 100:02d}"' for number in range(200))
    wide = f"  wide: {{ networks: [{networks}] }}"
    head(f"{count:,} instances of one bundle", "zone", "state", "ratio", "CPU of a restart with one record", "ratio")
    plain = None
    for name, zones, zone in [("none", "", ""), ("of 200 networks", wide, ", zone: wide")]:
        bundles = f"  pack: {{ currency: GBP, scope: endpoint, elements: [{{ service: data, amount: 1 MB{zone} }}] }}"
        folder = Folder(program, room / name.split()[0], reference(bundles, zones, count))
        folder.rate(purchase(number, "pack", FIRST, number) for number in range(count))
        alone = statistics.median(folder.rate([usage(f"{name}{again}", FIRST + timedelta(days=1))]) for again in range(5))
        figures = (folder.state_bytes(), alone)
        plain = plain or figures
        row(name, f"{figures[0] / MIB:.1f} MiB", f"{figures[0] / plain[0]:.2f}", f"{figures[1]:.2f} s", f"{figures[1] / plain[1]:.2f}")


def ended(program, room):
    """Records of an endpoint that had many bundles, all of them behind the horizon."""
    records = 20_000
    head(f"{records:,} records of an endpoint with ended bundles behind the horizon", "bundles", "CPU", "ratio")
    bundles = "  day: { currency: GBP, scope: endpoint, lasts: 1 day, elements: [{ service: data, amount: 1 GB }] }"
    folders, later = {}, FIRST + timedelta(days=200)
    for count in (0, 3_000):
        folder = folders[count] = Folder(program, room / f"ended-{count}", reference(bundles))
        folder.rate(purchase(number, "day", FIRST + timedelta(minutes=number), 0) for number in range(count))
        folder.rate([tick(later)])
        # A few commits, with which it leaves.
        folder.rate(usage(f"w{number}", later, 0) for number in range(records * 2))
    times = {count: [] for count in folders}
    for again in range(9):
        for count, folder in folders.items():
            times[count].append(folder.rate(usage(f"a{again}-{number}", later, 0) for number in range(records)))
    for count, all_times in times.items():
        median = statistics.median(all_times)
        row(f"{count:,}", f"{median:.3f} s", f"{median / statistics.median(times[0]):.2f}")


def purchases(program, room):
    """Purchases of one account."""
    head("Purchases of one account", "purchases", "CPU", "CPU of each", "refused", "state")
    for count in (25_000, 50_000, 100_000):
        folder = Folder(program, room / f"purchases-{count}", reference())
        nothing = folder.rate([])
        cpu = folder.rate(purchase(number, "small", FIRST + timedelta(seconds=number)) for number in range(count)) - nothing
        row(f"{count:,}", f"{cpu:.2f} s", f"{cpu / count * 1e6:.1f} us", folder.replies(), f"{folder.state_bytes() / MIB:.1f} MiB")


CASES = {"dictionary": dictionary, "ended": ended, "purchases": purchases}


def main():
    """Runs the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/rater")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("cases", nargs="*", metavar="NAME")
    given = parser.parse_args()
    unknown = [name for name in given.cases if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if given.list:
        for name, case in CASES.items():
            print(f"{name}: {case.__doc__}")
        return
    for name in given.cases or CASES:
        with tempfile.TemporaryDirectory(prefix="rater-state-") as room:
            CASES[name](str(Path(given.binary).resolve()), Path(room))


if __name__ == "__main__":
    main()
