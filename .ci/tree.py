"""Checks the files of the tree: length, links, what must not be named. Prints every finding, then fails."""

import os
import re
import sys

SKIPPED_FOLDERS = {".git", "target", "out", "node_modules", "__pycache__"}
SOURCE = (".rs", ".py", ".sh", ".js", ".mjs")
MAX_SOURCE_LINES = 600

# Written so that no pattern matches its own text. Cargo.lock names the registry on its own account.
NOT_NAMED = [
    ("package registry", re.compile(
        r"crates[.]io|docs[.]rs\b|npmjs[.]|pypi[.]org|pythonhosted[.]org|rubygems[.]org|proxy[.]golang[.]org|pkg[.]go[.]dev"
        r"|repo1?[.]maven[.]|search[.]maven[.]|registry[.]yarnpkg")),
    ("path of a machine", re.compile(r"(?<![\w.-])/(?:home|root|work|Users)/\w")),
]
FLOAT = re.compile(r"\bf(?:32|64)\b")
UNSAFE = re.compile(r"\bunsafe\b")
# The one crate that calls C itself (docs/adr/0029-topic-ids.md); its own lints stand in its manifest.
MAY_BE_UNSAFE = "crates/kafka-ffi/"
NO_FLOATS = ("crates/rating/src/", "crates/pipeline/src/")
DEPENDENCY_PAGE = "docs/adr/0002-dependencies.md"
OURS = {"rating", "format", "directory", "pipeline", "kafka-ffi", "runtime", "oracle", "testkit"}
LINK = re.compile(r"!?\[[^\]\n]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")


def files():
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), ".")


def code_only(line):
    """A line of Rust without its comment; close enough for finding words."""
    return re.sub(r"(?<!:)//.*", "", line)


def without_fences(text):
    """Markdown with the lines of code blocks and inline code emptied, so that line numbers stay."""
    lines, fence = [], None
    for line in text.split("\n"):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark.group(1)
            lines.append("")
        elif fence is not None:
            if line.strip().startswith(fence):
                fence = None
            lines.append("")
        else:
            lines.append(re.sub(r"`[^`]*`", "`code`", line))
    return lines


def anchors(path):
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    found, inside = set(), False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            inside = not inside
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if heading and not inside:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1))
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            number, unique = 0, slug
            while unique in found:
                number += 1
                unique = f"{slug}-{number}"
            found.add(unique)
        found.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
    return found


def check_links(path, text):
    for number, line in enumerate(without_fences(text), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            name, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not os.path.exists(file):
                yield number, f"link to {target}: no such file"
            elif anchor and file.endswith(".md") and anchor not in anchors(file):
                yield number, f"link to {target}: no such heading"


def check(path, text):
    lines = text.split("\n")
    if path.endswith(SOURCE) and len(text.splitlines()) > MAX_SOURCE_LINES:
        yield len(lines), f"more than {MAX_SOURCE_LINES} lines"
    if os.path.basename(path) != "Cargo.lock":
        for what, pattern in NOT_NAMED:
            for number, line in enumerate(lines, 1):
                if pattern.search(line):
                    yield number, f"names a {what}: {pattern.search(line).group(0)}"
    if path.endswith(".rs"):
        for number, line in enumerate(lines, 1):
            code = code_only(line)
            if UNSAFE.search(code) and not path.startswith(MAY_BE_UNSAFE):
                yield number, "unsafe"
            if path.startswith(NO_FLOATS) and FLOAT.search(code):
                yield number, "a float where money is decided"
    if path.endswith(".md"):
        yield from check_links(path, text)
    if re.fullmatch(r"crates/[^/]+/Cargo\.toml", path) and not path.startswith(MAY_BE_UNSAFE) and "[lints]\nworkspace = true" not in text:
        yield 1, "does not take over the lints of the workspace"
    if path == MAY_BE_UNSAFE + "Cargo.toml" and 'undocumented_unsafe_blocks = "deny"' not in text:
        yield 1, "allows what no comment explains"


def dependencies(manifests):
    """Names of all direct dependencies that are not crates of ours."""
    found = set()
    for path in manifests:
        section = ""
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith("["):
                    section = line.strip(" []\n").split(".")
                    continue
                entry = re.match(r"([A-Za-z0-9_-]+)(?:\.workspace)?\s*=", line)
                if section and section[-1].endswith("dependencies") and entry and "path = " not in line:
                    found.add(entry.group(1))
    return found - OURS


def check_dependencies(manifests):
    """The table of DEPENDENCY_PAGE names each direct dependency, and no other."""
    with open(DEPENDENCY_PAGE, encoding="utf-8") as file:
        rows = [line.split("|")[1] for line in file if line.startswith("| ") and not line.startswith(("| crate", "| ---"))]
    told = {name for row in rows for name in re.findall(r"[a-z][a-z0-9_-]*[a-z0-9]", re.sub(r"pinned to|(?<= )[\d.]+(?= |,|$)", "", row))}
    used = dependencies(manifests)
    for name in sorted(used - told):
        yield f"the dependency {name} has no line"
    for name in sorted(told - used):
        yield f"{name} is no dependency"


def main():
    findings = count = 0
    for path in files():
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError:
            continue
        count += 1
        for number, finding in check(path.replace(os.sep, "/"), text):
            findings += 1
            print(f"{path}:{number}: {finding}")
    manifests = [path for path in files() if os.path.basename(path) == "Cargo.toml"]
    for finding in check_dependencies(manifests):
        findings += 1
        print(f"{DEPENDENCY_PAGE}:1: {finding}")
    print(f"{count} files, {findings} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
