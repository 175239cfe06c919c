"""How panels and dashboards are written: what all of them have in common."""

import itertools

# Okabe and Ito's colours: told apart by the colour-blind, and in grey.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#999999"
COLOURS = [BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY]
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def targets(queries, instant):
    letters = "ABCDEFGH"
    for letter, (expression, legend) in zip(letters, queries, strict=False):
        yield {
            "refId": letter,
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            "instant": instant,
            "range": not instant,
        }


def steps(warn, bad):
    """Blue, then orange, then vermilion; a value below `warn` is fine. Where less is worse `bad` is below `warn`."""
    if warn is None:
        return {"mode": "absolute", "steps": [{"color": BLUE, "value": None}]}
    if bad is None:
        bad_steps = []
    else:
        bad_steps = [{"color": RED, "value": bad}]
    if bad is not None and bad < warn:
        return {"mode": "absolute", "steps": [
            {"color": RED, "value": None}, {"color": ORANGE, "value": bad}, {"color": BLUE, "value": warn}]}
    return {"mode": "absolute", "steps": [{"color": BLUE, "value": None}, {"color": ORANGE, "value": warn}, *bad_steps]}


def colour(name, value):
    return {"matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": value}}]}


def description(normal, act, quiet):
    text = f"Normal: {normal} Otherwise: {act}"
    return f"{text} quiet: only when {quiet}" if quiet else text


def stat(title, unit, expression, normal, act, *, legend="", warn=None, bad=None, decimals=None, width=4, height=4, quiet=None, texts=None):
    """One figure. `texts` gives words for values."""
    defaults = {"unit": unit, "thresholds": steps(warn, bad), "color": {"mode": "thresholds"}, "noValue": "no data"}
    if decimals is not None:
        defaults["decimals"] = decimals
    if texts:
        options = {str(value): {"text": text, "index": index} for index, (value, text) in enumerate(texts.items())}
        defaults["mappings"] = [{"type": "value", "options": options}]
    return {
        "type": "stat", "title": title, "description": description(normal, act, quiet), "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": list(targets([(expression, legend)], instant=True)),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "background_solid",
                    "graphMode": "none", "textMode": "auto" if legend == "" else "value_and_name", "orientation": "auto", "justifyMode": "center"},
    }


def graph(title, unit, queries, normal, act, *, names=(), stack=False, warn=None, bad=None, low=0, width=12, height=8, quiet=None, log=False):
    """Lines over time. `names` are the series that are known beforehand, which keep their colour; others go from blue to purple."""
    custom = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 60 if stack else 8, "showPoints": "never", "spanNulls": False,
              "lineInterpolation": "stepAfter" if stack else "linear",
              "stacking": {"mode": "normal" if stack else "none", "group": "A"},
              "thresholdsStyle": {"mode": "dashed" if warn is not None else "off"},
              "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"}}
    defaults = {"unit": unit, "custom": custom, "thresholds": steps(warn, bad), "noValue": "no data",
                "color": {"mode": "continuous-BlPu"} if not names else {"mode": "palette-classic"}}
    if low is not None and not log:
        defaults["min"] = low
    return {
        "type": "timeseries", "title": title, "description": description(normal, act, quiet), "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": list(targets(queries, instant=False)),
        "fieldConfig": {"defaults": defaults,
                        "overrides": [colour(name, value) for name, value in zip(names, itertools.cycle(COLOURS), strict=False)]},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
    }


def table(title, unit, expression, normal, act, *, columns, width=12, height=8, quiet=None):
    """One row per series, largest first; `columns` renames labels, and those that are not named are left out."""
    rename = {**columns, "Value": "value"}
    order = {name: index for index, name in enumerate([*columns, "Value"])}
    panel = {
        "type": "table", "title": title, "description": description(normal, act, quiet), "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [{**target, "format": "table"} for target in targets([(expression, "")], instant=True)],
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"align": "auto"}, "noValue": "no data"}, "overrides": []},
        "options": {"showHeader": True, "sortBy": [{"displayName": "value", "desc": True}]},
        "transformations": [{"id": "organize", "options": {
            "excludeByName": {"Time": True, "job": True, "instance": True}, "indexByName": order, "renameByName": rename}}],
    }
    return panel


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "gridPos": {"w": COLUMNS, "h": 1}, "panels": []}


def placed(panels):
    """Panels with their places, from left to right and from top to bottom, and numbers."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        width = panel["gridPos"]["w"]
        if x + width > COLUMNS:
            x, y, height = 0, y + height, 0
        panel["id"] = number
        panel["gridPos"] = {"x": x, "y": y, **panel["gridPos"]}
        x, height = x + width, max(height, panel["gridPos"]["h"])
        yield panel


def dashboard(uid, title, text, panels, time="now-6h"):
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0, "refresh": 1,
         "current": {}, "options": [], "regex": "", "multi": False, "includeAll": False},
        {"name": "job", "label": "Job", "type": "query", "datasource": DATASOURCE, "hide": 0, "refresh": 2, "sort": 1,
         "query": {"query": "label_values(rater_build_info, job)", "refId": "job"}, "definition": "label_values(rater_build_info, job)",
         "current": {}, "options": [], "regex": "", "multi": True, "includeAll": True, "allValue": ".+"},
    ]
    links = [{"type": "dashboards", "title": "Rater", "tags": ["rater"], "asDropdown": False, "includeVars": True, "keepTime": True,
              "targetBlank": False, "icon": "dashboard", "tooltip": "", "url": ""}]
    alerts = {"name": "Alerts", "type": "dashboard", "enable": True, "iconColor": RED, "datasource": DATASOURCE,
              "expr": 'ALERTS{job=~"$job", alertstate="firing"}', "titleFormat": "{{alertname}}", "textFormat": "{{severity}}", "step": "60s"}
    return {
        "uid": uid, "title": title, "description": text, "tags": ["rater"], "schemaVersion": 39, "version": 1, "editable": False,
        "graphTooltip": 1, "refresh": "30s", "time": {"from": time, "to": "now"}, "timezone": "", "links": links,
        "annotations": {"list": [alerts]}, "templating": {"list": variables}, "panels": list(placed(panels)),
    }
