"""What watches the deployment of demo.py: a real Prometheus with our rules in a hurry, and the expressions of the dashboards."""

import json
import math
import re
import urllib.error
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from demo_support import Trouble, answers, figure, free_address, get, rows, say, wait_for

DEPLOY = Path(__file__).resolve().parent
# No range is shorter: a rate needs some scrapes, of which there is one a second.
LEAST_RANGE_S = 4
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


# Their limits are times or counts over a day, too. Others are of things that do not hurry: how old usage is when it comes, ticks, shares.
LIMITS_OF = ["DirectoryStale"]


def hurried(text, factor):
    """Rules with all their times divided: `for`, ranges, offsets; and limits, of some."""

    def shorter(least):
        return lambda match: f"{match[1]}{max(least, round(int(match[2]) * SECONDS[match[3]] / factor))}s"

    text = re.sub(r"(\[)(\d+)([smhdw])(?=\])", shorter(LEAST_RANGE_S), text)
    text = re.sub(r"(\bfor: )(\d+)([smhdw])\b", shorter(1), text)
    text = re.sub(r"(\boffset )(\d+)([smhdw])\b", shorter(LEAST_RANGE_S), text)
    rules = re.split(r"(?=- alert: )", text)
    return "".join(
        re.sub(r"> (\d{3,})\b", lambda match: f"> {math.ceil(int(match[1]) / factor)}", rule)
        if any(rule.startswith(f"- alert: {name}\n") for name in LIMITS_OF) else rule for rule in rules)


class Prometheus:
    """The real one, which scrapes both processes every second."""

    def __init__(self, started, program, form, targets):
        folder = started.folder / "prometheus"
        (folder / "rules").mkdir(parents=True)
        for rules in (DEPLOY / "prometheus/rules").glob("*.yml"):
            (folder / "rules" / rules.name).write_text(hurried(rules.read_text(encoding="utf-8"), form.factor), encoding="utf-8")
        settings = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules/*.yml"],
                    "scrape_configs": [{"job_name": "rater", "static_configs": [{"targets": targets}]}]}
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
        self.address = free_address()
        started.start("prometheus", [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                                     f"--web.listen-address={self.address}"])
        wait_for("prometheus", 60, lambda: answers(self.address, "/-/ready"), started)

    def query(self, expression):
        """Samples as (labels, number)."""
        path = f"/api/v1/query?query={urllib.parse.quote(expression)}"
        try:
            result = json.loads(get(self.address, path))["data"]["result"]
        except urllib.error.HTTPError as error:
            raise Trouble(1, f"{expression}: {error.read().decode()}") from error
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def number(self, expression):
        samples = self.query(expression)
        return samples[0][1] if samples else None

    def alerts(self):
        """State by alert: the worst of its series."""
        found = {}
        for alert in json.loads(get(self.address, "/api/v1/alerts"))["data"]["alerts"]:
            name = alert["labels"]["alertname"]
            found[name] = "firing" if "firing" in (alert["state"], found.get(name)) else "pending"
        return found

    def rules(self):
        groups = json.loads(get(self.address, "/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True)
class Panel:
    """One expression of a dashboard."""

    place: str
    unit: str
    expression: str
    legend: str
    is_glance: bool


def panels():
    """Of all dashboards: the figures at a glance first, then in the order of the dashboards."""
    found = []
    for name in ["overview", "pipeline", "revenue"]:
        dashboard = json.loads((DEPLOY / f"grafana/dashboards/{name}.json").read_text(encoding="utf-8"))
        title, row = dashboard["title"].rpartition("/")[2].strip(), ""
        for panel in dashboard["panels"]:
            row = panel["title"] if panel["type"] == "row" else row
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", f"{LEAST_RANGE_S + 1}s").replace("$job", ".+")
                unit = panel["fieldConfig"]["defaults"].get("unit", "short")
                found.append(Panel(f"{title}: {panel['title']}", unit, expression, target["legendFormat"], row == "At a glance"))
    return found


def look(prometheus, some_panels):
    """What the panels show: (panel, legend) -> value."""
    shown = {}
    for panel in some_panels:
        for labels, value in prometheus.query(panel.expression):
            legend = re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), panel.legend)
            legend = legend or ", ".join(value for name, value in labels.items() if name not in ("job", "instance", "__name__"))
            shown[panel, legend] = value
        if panel.is_glance:
            shown.setdefault((panel, ""), None) if not any(seen is panel for seen, _ in shown) else None
    return shown


def has_moved(before, now):
    """By half at least, and not by next to nothing."""
    before, now = ((value if value is not None and math.isfinite(value) else 0.0) for value in (before, now))
    return abs(now - before) > max(0.5 * abs(before), 0.02)


def show_panels(before, now, limit):
    lines = [["DASHBOARD", "", "BEFORE", "NOW"]]
    moved = 0
    for (panel, legend), value in now.items():
        was = before.get((panel, legend))
        if not panel.is_glance:
            # Times of work are many and say little; ages and lags are among the others.
            if moved >= limit or "Where time goes" in panel.place or not has_moved(was, value):
                continue
            moved += 1
        lines.append([panel.place, legend, figure(was, panel.unit), figure(value, panel.unit)])
    say()
    rows(lines)
