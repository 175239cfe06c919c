#!/usr/bin/env python3
"""The whole service in trouble, on one machine: real Kafka, Cassandra and Prometheus, two processes of rater, generated usage.

    cargo build --workspace --bins
    python3 -B deploy/demo.py            # about 4 minutes, to look at
    python3 -B deploy/demo.py --short    # about 2 minutes, for checks

It breaks one thing after the other, shows which metrics moved, which alerts fired and what the dashboards say, mends it, and verifies at
the end that nothing is missing and nothing is there twice. Exit codes: 0 all as it should be, 1 an alert that did not fire, something that
did not heal or a difference, 2 something that is needed is not there, 3 a program that failed, 130 told to end.

Needs what the tests need: Java and Maven for the services, a Prometheus (in PATH, or the one that the tests have fetched). Only the standard
library. All that it starts ends with it, even by SIGKILL; only its temporary folder is left then.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from demo_monitoring import LEAST_RANGE_S, LIMITS_OF, Prometheus, look, panels, show_panels
from demo_support import (
    Started, Trouble, answers, figure, find_programs, find_prometheus, free_address, head, rows, say, services_folder, wait_for)

DEPLOY = Path(__file__).resolve().parent
PREFIX = "demo."
SEED = ["--seed", "1", "--customers", "50"]
KNOWN, WITH_STRANGERS = 500, 1000
USAGE_RATE, STRANGERS_RATE = 200, 20
STAGES = ["intake", "guide", "rate", "recycle"]


@dataclass(frozen=True)
class Form:
    """How long things take."""

    factor: int  # times in rules are divided by it
    calm_s: int  # of traffic before the first trouble
    lead_s: int  # for so long a store that does not answer is no trouble
    linger_s: int  # a trouble lasts this long at least
    panels: int  # that are shown of those that moved


FULL = Form(factor=30, calm_s=25, lead_s=20, linger_s=35, panels=16)
SHORT = Form(factor=90, calm_s=5, lead_s=4, linger_s=0, panels=6)
# A charge names the version of the reference data. The verifier's engine reads files, whose version is a hash; a store counts. So with a
# store the bytes of charges differ, and only their number is compared here; amounts are those of the balance deltas, which are compared.
EDITION = "charges as of the engine"
# For so long nothing but ticks has come.
DRAINED_S = 11
FIRES_WITHIN_S, HEALS_WITHIN_S, STARTS_WITHIN_S = 150, 120, 180


class Deployment:
    """Services, directory, topics, two processes and what sends usage."""

    def __init__(self, started, programs, form, prometheus):
        self.started, self.programs, self.form = started, programs, form
        services = {name: started.start(name, [programs["rater-services"], name], subprocess.PIPE, subprocess.PIPE)
                    for name in ["kafka", "cassandra"]}
        addresses = {name: self.address(name, service) for name, service in services.items()}
        self.brokers, self.store = addresses["kafka"], addresses["cassandra"]
        say(f"  kafka at {self.brokers}, cassandra at {self.store}")
        self.reference = started.folder / "reference"
        self.write_reference(self.reference, KNOWN)
        self.store_at = ["--store-nodes", self.store, "--store-keyspace", "demo"]
        self.kafka_at = ["--kafka-brokers", self.brokers, "--topic-prefix", PREFIX]
        self.rater("directory", "migrate", *self.store_at, "--store-replication", "1")
        say("  directory: " + self.rater("directory", "load", *self.store_at, *self.reference_files(self.reference)).strip())
        sizes = [part for kind in ["input", "intaken", "guided", "output"] for part in (f"--{kind}-partitions", "4")]
        self.rater("topics", "apply", *self.kafka_at, *sizes)
        # Before the first tick: what comes before all time would be too late after it.
        started.run("grants", self.load(KNOWN, 1000, 1, ["--grants", "--reference", self.reference]))
        self.listens = {"rater-1": free_address(), "rater-2": free_address()}
        for name in self.listens:
            self.start_rater(name)
        for name in self.listens:
            self.wait_ready(name)
        self.prometheus = Prometheus(started, prometheus, form, list(self.listens.values()))
        say(f"  two processes: {', '.join(self.listens.values())}; prometheus at {self.prometheus.address}")
        self.start_load("usage", KNOWN, USAGE_RATE)

    def address(self, name, service):
        """The line that the service prints when it answers; none if it ends before."""
        line = service.stdout.readline().decode().strip()
        if not line:
            raise Trouble(3, f"{name} did not start\n{self.started.last_words(name)}")
        return line

    def write_reference(self, folder, endpoints):
        self.started.run("reference", [self.programs["rater-load"], *SEED, "--endpoints", str(endpoints),
                                       "--reference", folder, "--reference-only"])

    @staticmethod
    def reference_files(folder):
        return [folder / "rating.yaml", folder / "endpoints.csv"]

    def rater(self, *arguments):
        return self.started.run(f"rater {arguments[0]} {arguments[1]}".replace(" ", "-"), [self.programs["rater"], *arguments])

    def start_rater(self, name):
        self.started.start(name, [
            self.programs["rater"], "run", "--directory", "store", *self.store_at, "--directory-lead", f"{self.form.lead_s} s",
            "--grants", "ignore", *self.kafka_at, "--listen", self.listens[name], "--tick-every", "1 s"])

    def wait_ready(self, name):
        wait_for(f"{name} is ready", STARTS_WITHIN_S, lambda: answers(self.listens[name], "/readyz"), self.started)

    def load(self, endpoints, rate, records, more=()):
        """The command that sends usage of now."""
        return [self.programs["rater-load"], *SEED, "--endpoints", str(endpoints), "--brokers", self.brokers, "--live", "--rate", str(rate),
                "--records", str(records), "--usage-topic", f"{PREFIX}usage", "--commands-topic", f"{PREFIX}account-commands", *more]

    def start_load(self, name, endpoints, rate):
        """For an hour, if nobody ends it."""
        self.started.start(name, self.load(endpoints, rate, rate * 3600))

    def cassandra_process(self):
        """The id of the node's process, as the starter keeps it in the folder of the run."""
        log = re.search(r"^log (.*?);", (self.started.folder / "cassandra.log").read_text(), re.MULTILINE)
        ids = list((Path(log[1]).parent.parent / "processes").iterdir())
        if len(ids) != 1:
            raise Trouble(3, f"cassandra: not one process but {len(ids)}")
        return int(ids[0].name)

    def lag(self):
        return self.prometheus.number("sum(rater_consumer_lag_records)")


# After so long without a sign of life a process has left its groups.
SESSION_S = 10

# Sends what is no record, until it is ended.
NO_RECORDS = r"""
import itertools, sys, time
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
for number in itertools.count():
    for text in (b"\x00\xff\xfe no record \x80", b'{"record_id": "cut in the mid', b'{"weather": "rain"}', b""):
        producer.produce(sys.argv[2], text, key=str(number))
    producer.poll(0.4)
    time.sleep(0.4)
"""


def python_with_kafka(started):
    """A Python with a client of Kafka: the one that the tests have made, else one of our own in the temporary folder."""
    for program in [Path(sys.executable), *(services_folder() / "python").glob("*/bin/python")]:
        if subprocess.run([program, "-c", "import confluent_kafka"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return program
    say("  making a Python with confluent-kafka")
    started.run("venv", [sys.executable, "-m", "venv", started.folder / "python"])
    program = started.folder / "python/bin/python"
    started.run("pip", [program, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "confluent-kafka"])
    return program


@dataclass(frozen=True)
class Case:
    """Something that breaks: how, by what it is seen, and how it is mended."""

    name: str
    told: str
    alerts: tuple
    metrics: tuple
    make: object
    mend: object
    mended: str
    lasts_s: int  # at least


def cases(deployment):
    started = deployment.started

    def kill():
        started.end("rater-2", signal.SIGKILL)

    def start_again():
        deployment.start_rater("rater-2")
        deployment.wait_ready("rater-2")

    def freeze():
        os.kill(deployment.cassandra_process(), signal.SIGSTOP)

    def thaw():
        os.kill(deployment.cassandra_process(), signal.SIGCONT)

    def send_garbage():
        deployment.start_load("strangers", WITH_STRANGERS, STRANGERS_RATE)
        started.start("no-records", [python_with_kafka(started), "-c", NO_RECORDS, deployment.brokers, f"{PREFIX}usage"])

    def end_garbage():
        for name in ["strangers", "no-records"]:
            started.end(name)

    window = f"{LEAST_RANGE_S + 1}s"
    lag = ("sum by (topic) (rater_consumer_lag_records)", "short")
    records = (f"sum by (outcome) (rate(rater_records_total[{window}]))", "reqps")
    return [
        Case("a process is killed", f"SIGKILL to the second of two processes; its partitions go to the first after {SESSION_S} s (session)",
             ("WorkerStopped",),
             (("up", "short"), ('sum by (instance) (rater_workers{state="running"})', "short"),
              (f"sum by (instance) (rate(rater_records_total[{window}]))", "reqps"), lag,
              (f"sum by (result) (rate(rater_transactions_total[{window}]))", "ops")),
             kill, start_again, "the process is started again", max(SESSION_S + 5, deployment.form.linger_s)),
        Case("the store stands still",
             f"SIGSTOP to Cassandra; what is cached is served for {deployment.form.lead_s} s; then, or for an endpoint that is not, guide waits",
             ("DirectoryStale",),
             (("time() - min(rater_directory_snapshot_timestamp_seconds)", "s"),
              (f"sum by (result) (rate(rater_directory_lookups_total[{window}]))", "reqps"),
              ('sum by (stage) (rater_workers{state="waiting"})', "short"), records, lag),
             freeze, thaw, "SIGCONT to Cassandra", deployment.form.linger_s),
        Case("garbage on the topic of usage",
             f"{STRANGERS_RATE} records a second of which half have endpoints that nobody knows, and some messages that are no record",
             ("SuspenseHigh",),
             (records, (f"sum by (reason) (rate(rater_suspended_total[{window}])) > 0", "reqps"),
              ("sum(rater_suspense_open_records)", "short"), lag),
             send_garbage, end_garbage, "the senders are ended", deployment.form.linger_s),
    ]


class Demo:
    def __init__(self, deployment):
        self.deployment, self.prometheus, self.form = deployment, deployment.prometheus, deployment.form
        self.panels = panels()
        self.summary = []
        self.failures = []

    def watch(self, is_over, limit_s, is_told=True):
        """Until it is over: tells what alerts do. Seconds until each first fired, and whether it was over in time."""
        begun, known, fired = time.monotonic(), self.prometheus.alerts(), {}
        while True:
            self.deployment.started.check()
            now, after_s = self.prometheus.alerts(), time.monotonic() - begun
            for name in sorted({*known, *now}):
                if now.get(name) != known.get(name) and is_told:
                    say(f"  {after_s:5.1f} s  {name} {now.get(name, 'is over')}")
                if now.get(name) == "firing":
                    fired.setdefault(name, after_s)
            known = now
            if is_over(now, after_s):
                return fired, after_s, True
            if after_s > limit_s:
                return fired, after_s, False
            time.sleep(0.3)

    def metrics(self, case):
        return {(expression, ", ".join(labels[name] for name in sorted(labels) if name not in ("job", "__name__"))): (value, unit)
                for expression, unit in case.metrics for labels, value in self.prometheus.query(expression)}

    def calm(self):
        """Every worker has its partitions, nothing fires, and next to nothing waits."""
        # Of cycle one worker has the one partition.
        workers = len(STAGES) * len(self.deployment.listens) + 1

        def is_calm(alerts, _):
            running = self.prometheus.number('sum(rater_workers{state="running"})')
            return not alerts and running == workers and (self.deployment.lag() or 0) < USAGE_RATE * 2

        if not self.watch(is_calm, HEALS_WITHIN_S)[2]:
            self.failures.append(f"not calm after {HEALS_WITHIN_S} s: {self.prometheus.alerts()}, lag {self.deployment.lag()}")

    def flow(self):
        head("Money flows")
        wait_for("charges", 60, lambda: self.prometheus.number("sum(rater_charges_total)"), self.deployment.started)
        self.watch(lambda _, after_s: after_s >= self.form.calm_s, self.form.calm_s)
        self.calm()
        lines = [["DASHBOARD", "", "NOW"]]
        for (panel, legend), value in look(self.prometheus, self.panels).items():
            if panel.is_glance or panel.place == "Overview: Charged per hour, by level":
                lines.append([panel.place, legend, figure(value, panel.unit)])
        rows(lines)

    def go_through(self, number, case):
        head(f"Trouble {number}: {case.name}")
        self.calm()
        metrics, shown = self.metrics(case), look(self.prometheus, self.panels)
        say(f"  {case.told}\n  expected: {', '.join(case.alerts)}\n")
        case.make()
        fired, _, is_in_time = self.watch(
            lambda alerts, after_s: after_s >= case.lasts_s and all(alerts.get(name) == "firing" for name in case.alerts),
            FIRES_WITHIN_S)
        say()
        now = self.metrics(case)
        lines = [["METRIC", "", "BEFORE", "NOW"]]
        for key in {**metrics, **now}:
            unit = (now.get(key) or metrics.get(key))[1]
            lines.append([*key, *(figure(found.get(key, (None,))[0], unit) for found in (metrics, now))])
        rows(lines)
        show_panels(shown, look(self.prometheus, self.panels), self.form.panels)
        say(f"\n  mended: {case.mended}")
        begun = time.monotonic()
        case.mend()
        _, _, is_healed = self.watch(lambda alerts, _: not any(name in alerts for name in case.alerts), HEALS_WITHIN_S)
        healed_s = time.monotonic() - begun
        others = sorted(set(fired) - set(case.alerts))
        for alert in case.alerts:
            self.summary.append([case.name, alert, f"{fired[alert]:.0f} s" if alert in fired else "NEVER",
                                 f"{healed_s:.0f} s" if is_healed else "NOT", ", ".join(others)])
        if not is_in_time:
            # Those that have fired may not have done so at once.
            missing = [alert for alert in case.alerts if alert not in fired] or ["all of them at once"]
            self.failures.append(f"{case.name}: did not fire within {FIRES_WITHIN_S} s: {', '.join(missing)}")
        if not is_healed:
            self.failures.append(f"{case.name}: not healed after {HEALS_WITHIN_S} s: {self.prometheus.alerts()}")

    def verify(self):
        head("Everything is healed: what was sent is all there, once")
        deployment, started = self.deployment, self.deployment.started
        started.end("usage")
        # Ticks go on, so a partition is behind by one of them and the mark that ends its transaction; the gauge moves every 5 s.
        least = f"max(min_over_time(rater_consumer_lag_records[{DRAINED_S}s]))"
        if not self.watch(lambda _, after_s: after_s > DRAINED_S and self.prometheus.number(least) <= 2, HEALS_WITHIN_S)[2]:
            self.failures.append(f"{self.prometheus.number(least)} messages of a partition wait after {HEALS_WITHIN_S} s")
        say("  nothing but ticks is on its way; the processes are told to stop")
        waiting = self.prometheus.number("sum(rater_suspense_open_records)")
        say(f"  {figure(waiting)} records and legs wait, with their originals:")
        reasons = self.prometheus.query("sort_desc(sum by (reason) (rater_suspended_total) > 0)")
        rows([["REASON", "SINCE THE LAST START"], *([labels["reason"], figure(value)] for labels, value in reasons)], "    ")
        for name in deployment.listens:
            code = started.end(name)
            if code != 0:
                self.failures.append(f"{name}: exit code {code}\n{started.last_words(name)}")
        process = started.start("verify", [deployment.programs["rater-verify"], "--brokers", deployment.brokers, "--topic-prefix", PREFIX,
                                           "--reference", deployment.reference, "--json"], stdout=subprocess.PIPE)
        said = process.communicate()[0].decode()
        del started.processes["verify"]
        if process.returncode not in (0, 1):
            raise Trouble(3, f"rater-verify: exit code {process.returncode}\n{started.last_words('verify')}")
        self.judge(json.loads(said))

    def judge(self, report):
        """Differences are failures, but one: see EDITION."""
        lines, failures = [["CHECK", "EXPECTED", "FOUND", ""]], []
        for row in report["rows"]:
            is_edition = row["check"] == EDITION and row["expected"] == row["found"] and row["differences"] > 0
            mark = "✓" if row["differences"] == 0 else "(1)" if is_edition else f"✗ {row['differences']} differences"
            lines.append([row["check"], row["expected"], row["found"], mark])
            if row["differences"] and not is_edition:
                failures.append(f"{row['check']}: {row['expected']} expected, {row['found']} found")
        rows(lines)
        if any(line[-1] == "(1)" for line in lines):
            say("  (1) as many, but not the same bytes: charges name the version of the store, the engine's that of the files;\n"
                "      their amounts are those of the balance deltas")
        if failures:
            self.failures.append("the verification found differences: " + "; ".join(failures))
            for words in report["shown"]:
                say(f"  {words}")

    def run(self):
        firing = ", ".join(sorted(rule["name"] for rule in self.prometheus.rules()))
        say(f"  rules of deploy/prometheus/rules, with their times divided by {self.form.factor} (no range below {LEAST_RANGE_S} s) and the limits of\n"
            f"  {', '.join(LIMITS_OF)}, so that they fire while you look: {firing}")
        self.flow()
        for number, case in enumerate(cases(self.deployment), 1):
            self.go_through(number, case)
        self.verify()
        head("Summary")
        rows([["TROUBLE", "ALERT EXPECTED", "FIRED AFTER", "HEALED AFTER", "FIRED AS WELL"], *self.summary])
        for failure in self.failures:
            say(f"✗ {failure}")
        if not self.failures:
            say("✓ every alert fired, everything healed, nothing is missing and nothing is there twice")
        return 1 if self.failures else 0


def arguments():
    target = os.environ.get("CARGO_TARGET_DIR", DEPLOY.parent / "target")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="about two minutes")
    parser.add_argument("--bin", type=Path, default=Path(os.environ.get("RATER_DEMO_BIN", Path(target) / "debug")),
                        help="folder of the programs [environment: RATER_DEMO_BIN; default: target/debug]")
    parser.add_argument("--prometheus", metavar="FOLDER", help="folder of Prometheus [environment: RATER_TEST_PROMETHEUS; default: PATH]")
    parser.add_argument("--keep-logs", type=Path, metavar="FOLDER", help="copy the logs of all programs there at the end")
    return parser.parse_args()


def told_to_end(number, _frame):
    raise KeyboardInterrupt(signal.Signals(number).name)


def main():
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, told_to_end)
    started = None
    folder = Path(tempfile.mkdtemp(prefix="rater-demo-"))
    try:
        programs, prometheus = find_programs(options.bin.resolve()), find_prometheus(options.prometheus)
        form = SHORT if options.short else FULL
        started = Started(folder)
        head("Kafka, Cassandra, directory, topics, two processes, Prometheus")
        return Demo(Deployment(started, programs, form, prometheus)).run()
    except Trouble as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return trouble.code
    except KeyboardInterrupt as told:
        print(f"ended by {told}", file=sys.stderr)
        return 130
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if started:
            started.end_all()
        if options.keep_logs:
            options.keep_logs.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, options.keep_logs)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
