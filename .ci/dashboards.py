"""Checks what can be checked of dashboards, alerts and their runbooks without running anything. Prints every finding, then fails.

Expressions are parsed and run by a real Prometheus in crates/rater/tests/dashboards; rules are run by promtool there."""

import json
import pathlib
import re
import subprocess
import sys

METRICS_PAGE = pathlib.Path("docs/metrics.md")
RUNBOOKS = pathlib.Path("docs/runbooks.md")
RULES = sorted(pathlib.Path("deploy/prometheus/rules").glob("*.yml"))
RULE_TESTS = sorted(pathlib.Path("deploy/prometheus/tests").glob("*.yml"))
DASHBOARDS = sorted(pathlib.Path("deploy/grafana/dashboards").glob("*.json"))
# Of the client library; ALERTS and `up` are Prometheus' own.
PROCESS = {"process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds",
           "process_threads", "process_virtual_memory_bytes"}
METRIC = re.compile(r"\b((?:rater|process)_[a-z0-9_]+)\b")
DESCRIPTION = re.compile(r"Normal: .+\. Otherwise: .+\.( quiet: only when .+)?$", re.S)
COLUMNS = 24
SEVERITIES = {"critical", "warning"}


def documented():
    """Metrics by name, with whether they are histograms."""
    text = METRICS_PAGE.read_text(encoding="utf-8")
    return set(re.findall(r"`(rater_[a-z0-9_]+)`", text)) | PROCESS


def metrics_of(text, known):
    """Names that no page documents."""
    for name in METRIC.findall(text):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if name not in known and base not in known:
            yield name


def overlaps(one, other):
    apart = (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
             or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])
    return not apart


def check_panel(panel, known):
    if panel["type"] == "row":
        return
    if not panel.get("title"):
        yield "no title"
    if not DESCRIPTION.match(panel.get("description", "")):
        yield "the description does not say what is normal, and what to do otherwise"
    if panel["datasource"].get("uid") != "${datasource}":
        yield "not the data source of the variable"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "no unit"
    place = panel["gridPos"]
    if place["x"] + place["w"] > COLUMNS:
        yield "wider than the page"
    if not panel.get("targets"):
        yield "no expression"
    if len({target["refId"] for target in panel["targets"]}) != len(panel["targets"]):
        yield "two expressions of one name"
    for target in panel["targets"]:
        expression = target["expr"]
        if target["datasource"].get("uid") != "${datasource}":
            yield f"{expression}: not the data source of the variable"
        if 'job=~"$job"' not in expression:
            yield f"{expression}: does not ask for $job"
        for window in re.findall(r"\[([^\]]+)\]", expression):
            if window != "$__rate_interval" and not re.fullmatch(r"\d+[hd]", window):
                yield f"{expression}: window {window} is neither $__rate_interval nor hours"
        if re.search(r"\bby \([^)]*partition", expression) and "topk(" not in expression:
            yield f"{expression}: a series for each partition"
        for name in metrics_of(expression, known):
            yield f"{expression}: {METRICS_PAGE} does not know {name}"


def check_dashboard(dashboard, known):
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    if variables.get("datasource", {}).get("type") != "datasource" or "job" not in variables:
        yield "no variables datasource and job"
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    if len(set(ids)) != len(ids):
        yield "two panels of one id"
    titles = [panel["title"] for panel in panels]
    for title in sorted({title for title in titles if titles.count(title) > 1}):
        yield f"two panels called {title}"
    for index, panel in enumerate(panels):
        for other in panels[:index]:
            if overlaps(panel["gridPos"], other["gridPos"]):
                yield f"{panel['title']} lies over {other['title']}"
        for finding in check_panel(panel, known):
            yield f"{panel['title']}: {finding}"


def alerts(path):
    """Name and text of each alert of a file of rules."""
    parts = re.split(r"(?m)^ *- alert: (\S+)\n", path.read_text(encoding="utf-8"))
    return list(zip(parts[1::2], parts[2::2], strict=True))


def check_alert(name, text, known, sections, tests):
    severity = re.search(r"labels: \{ severity: (\w+) \}", text)
    if not severity or severity.group(1) not in SEVERITIES:
        yield "no severity"
    for part in ("summary", "description"):
        if not re.search(rf"(?m)^ *{part}: \S", text):
            yield f"no {part}"
    if f"runbook_url: {RUNBOOKS}#{name.lower()}\n" not in text:
        yield f"does not point to {RUNBOOKS}#{name.lower()}"
    if name not in sections:
        yield f"no section in {RUNBOOKS}"
    for metric in metrics_of(text, known):
        yield f"{METRICS_PAGE} does not know {metric}"
    firing = re.escape(f'alertname="{name}", alertstate="firing", ')
    if not re.search(rf"labels: 'ALERTS\{{{firing}", tests):
        yield "no test in which it fires"
    silent = rf"expr: 'ALERTS\{{alertname=\"{name}\"[^']*', eval_time: \w+, exp_samples: \[\]"
    if len(re.findall(silent, tests)) < 2:
        yield "no test in which it is silent before and after"


def check_runbook(name, text):
    for heading in ("What it means for money", "Look first", "Mend", "Escalate"):
        if f"**{heading}.**" not in text:
            yield f"{name}: no **{heading}.**"
    if "```sh" not in text:
        yield f"{name}: no commands"


def main():
    findings = []
    known = documented()
    drift = subprocess.run([sys.executable, "-B", "deploy/grafana/dashboards.py", "--check"], capture_output=True, text=True, check=False)
    findings += (drift.stdout + drift.stderr).splitlines()
    uids = {}
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        if dashboard["uid"] in uids:
            findings.append(f"{path}: same uid as {uids[dashboard['uid']]}")
        uids[dashboard["uid"]] = path
        findings += [f"{path}: {finding}" for finding in check_dashboard(dashboard, known)]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in RULE_TESTS)
    parts = re.split(r"(?m)^## (\S+)\n", RUNBOOKS.read_text(encoding="utf-8"))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    names = []
    for path in RULES:
        for name, text in alerts(path):
            names.append(name)
            findings += [f"{path}: {name}: {finding}" for finding in check_alert(name, text, known, sections, tests)]
    for name, text in sections.items():
        if name not in names:
            findings.append(f"{RUNBOOKS}: {name} is no alert")
        findings += [f"{RUNBOOKS}: {finding}" for finding in check_runbook(name, text)]
    for finding in findings:
        print(finding)
    print(f"{len(DASHBOARDS)} dashboards, {len(names)} alerts, {len(findings)} findings")
    if not DASHBOARDS or not names:
        sys.exit("nothing to check")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
