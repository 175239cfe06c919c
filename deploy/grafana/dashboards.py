#!/usr/bin/env python3
"""Writes the dashboards into deploy/grafana/dashboards; with --check says which are not as they would be written."""

import json
import pathlib
import sys

from panels import dashboard, graph, row, stat, table

FOLDER = pathlib.Path(__file__).parent / "dashboards"
JOB = 'job=~"$job"'


def rate(metric, labels="", by="", window="$__rate_interval"):
    """Sum of a counter's rate, by labels."""
    selector = f"{JOB}, {labels}" if labels else JOB
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector}}}[{window}]))"


def increase(metric, labels="", by="", window="1h"):
    return rate(metric, labels, by, window).replace("(rate(", "(increase(")


def share(part, whole):
    """0 where there is nothing to have a share of."""
    return f"{part} / clamp_min({whole}, 1e-9)"


def in_use(expression, metric, by):
    """Without the series of levels and currencies that nothing has been counted for: all of them are there from the start, at 0."""
    return f"{expression} and on ({by}) (sum by ({by}) ({metric}{{{JOB}}}) > 0)"


def quantile(q, metric, labels="", by="stage", window="$__rate_interval"):
    return f"histogram_quantile({q}, {rate(metric + '_bucket', labels, f'{by}, le', window)})"


OUTCOMES = ["guided", "duplicate", "suspended"]
STAGES = ["intake", "guide", "rate"]
PHASES = ["gather", "prepare", "execute", "send", "commit"]
RESULTS = ["committed", "aborted", "uncertain"]
STATES = ["running", "standby", "restoring", "waiting", "starting", "stopped"]
SERVICES = ["data", "voice", "sms", "other", "unknown"]
SOURCES = ["rated", "bundle", "bundle_fee", "zero_quantity", "no_tariff"]

OF_RATE, WAITS, BUNDLE = 'stage="rate"', 'outcome="suspended"', 'source="bundle"'

SUSPENDED_SHARE = share(rate("rater_records_total", 'outcome="suspended"'), rate("rater_records_total"))
DUPLICATE_SHARE = share(rate("rater_records_total", 'outcome="duplicate"'), rate("rater_records_total"))
SUSPENDED_LEGS_SHARE = share(rate("rater_legs_total", 'outcome="suspended"'), rate("rater_legs_total"))
FAILED_SHARE = share(rate("rater_transactions_total", 'result!="committed"', "stage"), rate("rater_transactions_total", "", "stage"))
LAG = f"sum by (topic) (rater_consumer_lag_records{{{JOB}}})"
CLOCK_BEHIND = f"time() - min by (stage) (rater_clock_timestamp_seconds{{{JOB}}} > 0)"

overview = dashboard(
    "rater-overview", "Rater / Overview", "Does money flow? One look, then Pipeline or Revenue assurance.",
    [
        row("At a glance"),
        stat("Charged in the last hour", "short", in_use(increase("rater_charged_amount_total", 'level="1"', "currency"), "rater_charged_amount_total", "currency"),
             "close to the same hour of other days, in units of each currency, for customers to their resellers (level 1).",
             "see Records in: if they fell too, the feed is at fault; if not, Suspense by reason says what waits.",
             legend="{{currency}}", decimals=2, width=5),
        stat("Records in", "reqps", rate("rater_records_total"),
             "the usual of this time of day.", "0 with no lag is a feed that stopped: ask mediation. 0 with lag is the pipeline: see Pipeline.",
             width=3, decimals=1),
        stat("Suspended", "percentunit", SUSPENDED_SHARE,
             "below 1 %.", "Suspense by reason; docs/suspense.md says for each reason what to do.", warn=0.005, bad=0.01, width=3, decimals=2),
        stat("Duplicates", "percentunit", DUPLICATE_SHARE,
             "below 1 %: they are not charged again.", "above 5 % some producer sends again what it has sent.", warn=0.02, bad=0.05, width=3, decimals=2),
        stat("Waiting in topics", "short", f"sum(rater_consumer_lag_records{{{JOB}}})",
             "seconds of traffic, falling after a burst.", "growing for minutes: Pipeline, Lag.", warn=100_000, bad=1_000_000, width=3),
        stat("Age when rated (p99)", "s", f"max({quantile(0.99, 'rater_record_age_seconds', OF_RATE)})",
             "what mediation needs plus seconds.", "Age by stage in Pipeline says whether the feed or the pipeline is late.",
             warn=120, bad=300, width=3),
        stat("Workers not at work", "short", f'sum(rater_workers{{{JOB}, state!~"running|standby"}})',
             "0; some while a process starts or partitions move.", "Workers by state, then the log of the process.", warn=1, bad=3, width=2),
        stat("Alerts", "short", f'count(ALERTS{{{JOB}, alertstate="firing"}}) or vector(0)',
             "0.", "open Prometheus, Alerts: each names its page of docs/runbooks.md.", warn=1, bad=2, width=2),
        row("Money and records"),
        graph("Charged per hour, by level", "short",
              [(in_use(f"3600 * {rate('rater_charged_amount_total', '', 'level, currency')}", "rater_charged_amount_total", "level, currency"),
                "level {{level}} {{currency}}")],
              "the daily curve; level 0 is endpoint to customer, each further one is a parent more. Levels are never added up.",
              "one level falls alone: its tariffs or bundles changed. All fall: Records in."),
        graph("Records in = guided + duplicate + suspended", "reqps", [(rate("rater_records_total", "", "outcome"), "{{outcome}}")],
              "nearly all guided; the height of the stack is what came in.",
              "suspended grows: Suspense by reason. The stack falls to 0: the feed, or the pipeline stands.", names=OUTCOMES, stack=True),
        graph("Suspense by reason", "reqps", [(f"topk(8, {rate('rater_suspended_total', '', 'reason')})", "{{reason}}")],
              "a few unknown endpoints. At most eight reasons are shown.",
              "docs/suspense.md names the remedy of each reason; what waits is in the topic of suspense."),
        graph("Use that no tariff priced", "percentunit",
              [(share(rate("rater_charges_total", f'source="{source}"'), rate("rater_charges_total")), source) for source in SOURCES[1:]],
              "bundles at their usual share, no_tariff only where resellers are free on purpose.",
              "a share that grows without a reason is use that nobody pays for: Revenue assurance.", names=SOURCES[1:]),
        row("Machinery"),
        graph("Lag by topic", "short", [(LAG, "{{topic}}")],
              "near 0, short hills after bursts.", "growing while commits go on: more workers. Growing without commits: the log of the stage."),
        graph("Workers by state", "short", [(f"sum by (state) (rater_workers{{{JOB}}})", "{{state}}")],
              "all running, standby where there are more workers than partitions.",
              "waiting: /readyz of the process says for what. stopped: the process ends; its exit code is explained in docs/operating.",
              names=STATES, stack=True),
    ],
)


def phases(stage):
    return graph(f"Where time goes: {stage}", "s", [(rate("rater_batch_duration_seconds_sum", f'stage="{stage}"', "phase"), "{{phase}}")],
                 "mostly gather, which is waiting for messages; the sum is the number of workers at most.",
                 "no gather left: the stage is the bottleneck. commit long: the broker. prepare long: directory or registry.",
                 names=PHASES, stack=True, width=8)


pipeline = dashboard(
    "rater-pipeline", "Rater / Pipeline", "Batches, transactions, lag, state, directory and processes.",
    [
        row("Batches and transactions"),
        *[phases(stage) for stage in STAGES],
        graph("Batches", "ops", [(rate("rater_batch_duration_seconds_count", 'phase="commit"', "stage"), "{{stage}}")],
              "2 to 10 a second for each worker under load.", "0 under lag: the stage stands; its log says why.", names=STAGES, width=8),
        graph("Commit (p99)", "s", [(quantile(0.99, "rater_batch_duration_seconds", 'phase="commit"'), "{{stage}}")],
              "below 100 ms on brokers nearby.", "look at the brokers: disks, replication, under-replicated partitions.", names=STAGES, width=8, warn=1),
        graph("Transactions by result", "ops", [(rate("rater_transactions_total", "", "result"), "{{result}}")],
              "committed; a few aborted when groups change.", "uncertain ones cost a restore of the state each: look at the brokers.",
              names=RESULTS, width=8),
        graph("Transactions that failed", "percentunit", [(FAILED_SHARE, "{{stage}}")],
              "0 %.", "above 5 % for 10 minutes the alert AbortsHigh fires; its runbook says where to look.", names=STAGES, width=8, warn=0.05),
        graph("Records in a batch of guide", "short",
              [(share(rate("rater_records_total"), rate("rater_batch_duration_seconds_count", 'phase="commit", stage="guide"')), "guide")],
              "tens at night, thousands under load.", "at --batch-messages all the time: guide is behind.", names=["guide"], width=8),
        graph("Commands by outcome", "ops", [(rate("rater_commands_total", "", "outcome"), "{{outcome}}")],
              "applied.", "refused: the topic of replies says why each was.", names=["applied", "refused", "duplicate", "suspended"], width=8),
        row("Lag and age"),
        graph("Lag by topic", "short", [(LAG, "{{topic}}")],
              "near 0, short hills after bursts.", "look at Batches, whether the stage that reads it commits."),
        table("Partitions with the most lag", "short",
              f"topk(15, sum by (topic, partition) (rater_consumer_lag_records{{{JOB}}}))",
              "all of a topic alike.", "one partition alone: a hot key, or a record its worker waits for; the log names the partition.",
              columns={"topic": "topic", "partition": "partition"}),
        graph("Age of records (p50)", "s", [(quantile(0.5, "rater_record_age_seconds"), "{{stage}}")],
              "stages close together.", "intake old: the feed is late. rate much older than intake: the pipeline is slow.", names=STAGES, log=True, low=None),
        graph("Age of records (p99)", "s", [(quantile(0.99, "rater_record_age_seconds"), "{{stage}}")],
              "as mediation delivers.", "as above; the alert RecordsLate fires above 300 s.", names=STAGES, log=True, low=None, warn=300),
        row("Workers, clock and state"),
        graph("Workers by state", "short", [(f"sum by (state) (rater_workers{{{JOB}}})", "{{state}}")],
              "running and standby.", "waiting: see /readyz; restoring for minutes: changelogs are large, or the broker is slow.", names=STATES, stack=True, width=8),
        graph("Clock behind now", "s", [(CLOCK_BEHIND, "{{stage}}")],
              "seconds to a minute.", "growing: a partition of an input is far behind, or one worker before this stage stands. Bundles then "
              "expire late.", names=STAGES, width=8, warn=600),
        graph("Clock waits for", "s", [(f"topk(8, max by (stage, topic, partition) (rater_clock_held_seconds{{{JOB}}}))", "{{stage}}: {{topic}}/{{partition}}")],
              "seconds.", "growing: who reads this partition of this topic stands, or is far behind.", width=8, warn=600),
        graph("Due work behind", "s", [(f"max by (stage) (rater_due_behind_seconds{{{JOB}}})", "{{stage}}")],
              "0.", "growing: more falls due than is done, see the runbook of DueWorkBehind.", width=8, warn=600),
        graph("Complete to, behind now", "s", [(f"time() - min(rater_complete_to_timestamp_seconds{{{JOB}}} > 0)", "accounts")],
              "as the clock of rate.", "the state of accounts is final up to then only.", width=8, warn=600),
        graph("Slices", "ops", [(rate("rater_slices_total", "", "stage"), "{{stage}}")],
              "0, and bursts at the ends of months.", "all the time: more falls due than is done.", width=8),
        graph("Ticks", "ops", [(rate("rater_ticks_total", "", "result"), "{{result}}")],
              "written as often as --tick-every says.", "failed or none: nobody moves the clock; refused: a wrong clock, or a foreign writer.",
              names=["written", "failed", "refused"], width=8),
        graph("State in memory", "short", [(f"sum by (stage) (rater_state_entries{{{JOB}}})", "{{stage}}")],
              "flat for rate; guide remembers --duplicate-window of records.", "compare with docs/operating, sizing.", names=STAGES[1:], width=8),
        stat("Directory: last good data", "s", f"time() - min(rater_directory_snapshot_timestamp_seconds{{{JOB}}})",
             "time since the start where reference data are files; a second or so where they come from a store.",
             "old with a store: it does not answer; 60 s are bridged, then guide waits.", width=4, height=8),
        stat("Directory: last load", "short", f"min(rater_reference_reload_successful{{{JOB}}})",
             "good.", "refused: the log has every error with file and line; older data go on being used.",
             texts={1: "good", 0: "refused"}, warn=1, bad=0.5, width=4, height=8),
        table("Programs", "short", f"sum by (instance, version, revision) (rater_build_info{{{JOB}}})",
              "one version.", "two versions for longer than an upgrade takes: finish or roll back.",
              columns={"version": "version", "revision": "revision"}, width=8),
        row("Processes"),
        graph("CPU", "short", [(f"sum by (instance) (rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval]))", "{{instance}}")],
              "below the cores that the process has.", "at its limit with lag: more cores or processes.", width=6),
        graph("Memory", "bytes", [(f"sum by (instance) (process_resident_memory_bytes{{{JOB}}})", "{{instance}}")],
              "flat after hours.", "growing without more accounts or ids: keep it, and report it.", width=6),
        graph("Open files", "short", [(f"sum by (instance) (process_open_fds{{{JOB}}})", "{{instance}}")],
              "tens.", "growing: connections to brokers come and go.", width=6),
        graph("Uptime", "s", [(f"time() - max by (instance) (process_start_time_seconds{{{JOB}}})", "{{instance}}")],
              "a line that rises.", "saw teeth: it is started again and again; its exit code says why.", width=6),
    ],
    time="now-1h",
)

USAGE = 'sum(rate(rater_usage_{unit}_total{{{job}, outcome="guided"}}[1h]{offset}))'


def against_last_week(title, unit_of_metric, unit):
    queries = [(USAGE.format(unit=unit_of_metric, job=JOB, offset=""), "now"),
               (USAGE.format(unit=unit_of_metric, job=JOB, offset=" offset 1w"), "last week")]
    return graph(title, unit, queries, "both lines together, an hour's average each.",
                 "now below a fifth of last week for 30 minutes is the alert UsageLow: a feed is missing. Above: a burst, or a loop in mediation.",
                 names=["now", "last week"], width=8, quiet="a week of history is there (last week)")


revenue = dashboard(
    "rater-revenue", "Rater / Revenue assurance", "Is everything that was used also charged, once?",
    [
        row("Is all usage there?"),
        against_last_week("Data: now and last week", "bytes", "Bps"),
        against_last_week("Voice: now and last week", "seconds", "short"),
        against_last_week("Messages: now and last week", "messages", "cps"),
        graph("Records by service", "reqps", [(rate("rater_records_total", "", "service"), "{{service}}")],
              "each service on its own daily curve; unknown is what could not be decoded.",
              "one service gone: its feed. unknown grows: a producer changed its form.", names=SERVICES),
        graph("Charged per hour against last week", "percentunit",
              [(f"{rate('rater_charged_amount_total', '', 'level, currency', '1h')} / "
                f"({rate('rater_charged_amount_total', '', 'level, currency', '1h').replace('[1h]', '[1h] offset 1w')} > 0)",
                "level {{level}} {{currency}}")],
              "around 100 %.", "usage unchanged but money not: a tariff, an alias or a bundle changed; `rater explain` and `rater quote` work single records out.",
              quiet="a week of history is there"),
        row("What waits"),
        stat("Records suspended, 1 h", "percentunit",
             share(increase("rater_records_total", 'outcome="suspended"'), increase("rater_records_total")),
             "below 1 %.", "work the reasons below, most frequent first.", warn=0.005, bad=0.01, decimals=3),
        stat("Legs suspended, 1 h", "percentunit",
             share(increase("rater_legs_total", 'outcome="suspended"'), increase("rater_legs_total")),
             "below 1 %: one level waits while the others are charged.", "tariff_missing, no_rate or blocked: mend the tariff, then recycle.",
             warn=0.005, bad=0.01, decimals=3),
        stat("Duplicates, 1 h", "percentunit",
             share(increase("rater_records_total", 'outcome="duplicate"'), increase("rater_records_total")),
             "below 1 %.", "above 5 % for 30 minutes the alert DuplicatesHigh fires: find the producer by the source of its records.",
             warn=0.02, bad=0.05, decimals=3),
        stat("Broken control totals, 24 h", "short", f"sum(increase(rater_control_mismatches_total{{{JOB}}}[24h]))",
             "0, always.", "stop and call: runbook ControlTotalsMismatch. Nothing of the batch was committed.", warn=0.001, bad=0.001),
        table("Suspended in the last 24 h, by reason", "short",
              f"sort_desc({increase('rater_suspended_total', '', 'reason', '24h')})",
              "small numbers; rows of 0 are reasons that did not occur.", "docs/suspense.md has the remedy of each.", columns={"reason": "reason"}, width=8),
        graph("Suspended share by reason", "percentunit",
              [(f"topk(8, {rate('rater_suspended_total', '', 'reason')} / on () group_left () "
                f"clamp_min({rate('rater_records_total')}, 1e-9))", "{{reason}}")],
              "flat.", "a step up at a time is a change: a tariff version, a new network, a new firmware of a producer."),
        graph("Suspended legs by level", "percentunit",
              [(in_use(share(rate("rater_legs_total", WAITS, "level"), rate("rater_legs_total", "", "level")), "rater_legs_total", "level"),
                "level {{level}}")],
              "0 on all levels.", "one level alone: the tariffs of that kind of payer."),
        row("What is free"),
        graph("Charges by what they come from", "percentunit",
              [(share(rate("rater_charges_total", f'source="{source}"'), rate("rater_charges_total")), source) for source in SOURCES],
              "each share steady.", "no_tariff or zero_quantity grow: use that is free by accident would show here first.", names=SOURCES, stack=True),
        graph("Covered by bundles, by level", "percentunit",
              [(in_use(share(rate("rater_charges_total", BUNDLE, "level"), rate("rater_charges_total", "", "level")), "rater_charges_total", "level"),
                "level {{level}}")],
              "as sold.", "near 100 % on a level: bundles larger than meant."),
        graph("Mean charge by level", "short",
              [(in_use(share(rate("rater_charged_amount_total", "", "level", "1h"), rate("rater_charges_total", "", "level", "1h")),
                       "rater_charges_total", "level"), "level {{level}}")],
              "steady; currencies are added up here, so read it as a trend only.",
              "a step: prices, increments or the mix of services changed."),
        graph("Legs for each guided record", "short",
              [(share(rate("rater_legs_total", "", "", "1h"), rate("rater_records_total", 'outcome="guided"', "", "1h")), "legs")],
              "the depth of the hierarchy, steady.", "falling: legs are not rated; see Lag of the guided topic.", names=["legs"]),
    ],
    time="now-24h",
)

DASHBOARDS = {"overview": overview, "pipeline": pipeline, "revenue": revenue}


def main():
    stale = []
    for name, content in DASHBOARDS.items():
        path = FOLDER / f"{name}.json"
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(path)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path}: not what deploy/grafana/dashboards.py writes; run it")
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
