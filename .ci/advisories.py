"""Compares Cargo.lock with RustSec's advisories. Prints every finding, then fails if one is not known.

    python3 .ci/advisories.py              fetches the database by git
    python3 .ci/advisories.py CLONE        reads a clone of it, with or without a work tree: nothing is fetched

A finding is an advisory that is not withdrawn, about a crate of a registry, whose version is neither patched nor unaffected. Known findings stand in
`KNOWN`, each with the reason why it is no matter here; one that is no finding any more fails as well.
"""

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib

DATABASE = "https://github.com/rustsec/advisory-db"

# Id of an advisory: why it does not matter here.
KNOWN: dict[str, str] = {}

VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(\S+)")


def version(text):
    """A version as a value that sorts as SemVer 2 orders versions, and how many of its numbers were given."""
    match = VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"no version: {text!r}")
    numbers = [int(number or 0) for number in match.group(1, 2, 3)]
    given = sum(number is not None for number in match.group(1, 2, 3))
    # A version sorts behind its pre-releases; in those, numbers before words.
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in (match[4] or "").split(".") if part]
    return (*numbers, (0, parts) if parts else (1, [])), given


def next_after(lower, place):
    """The first version in which the number at a place is higher."""
    numbers = list(lower[:3])
    numbers[place] += 1
    return (*numbers[: place + 1], *[0] * (2 - place), (0, []))


def meets(candidate, comparator):
    """Says whether a version meets one comparator, such as `>= 1.2` or `^0.3.1`."""
    operator, text = COMPARATOR.fullmatch(comparator.strip()).groups()
    if text == "*":
        return True
    lower, given = version(text.removesuffix(".*"))
    match operator:
        case ">=":
            return candidate >= lower
        case ">":
            return candidate > lower
        case "<=":
            return candidate <= lower
        case "<":
            return candidate < lower
        case "=" if given == 3:
            return candidate == lower
        case "=":
            place = given - 1
        case "~":
            place = min(given - 1, 1)
        case _:
            # The first number that is not 0 stays; of `0.0` and `0` the last one given.
            place = next((at for at in range(given) if lower[at] != 0), given - 1)
    return lower <= candidate < next_after(lower, place)


def is_affected(locked, versions):
    candidate, _ = version(locked)
    ranges = versions.get("patched", []) + versions.get("unaffected", [])
    return not any(all(meets(candidate, part) for part in wanted.split(",")) for wanted in ranges)


def advisories(clone):
    """The head of each advisory, with its title."""
    archive = subprocess.run(["git", "-C", clone, "archive", "HEAD", "crates"], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            if not member.name.endswith(".md"):
                continue
            text = files.extractfile(member).read().decode()
            head, _, rest = text.removeprefix("```toml").partition("\n```")
            title = next((line.removeprefix("# ") for line in rest.splitlines() if line.startswith("# ")), "")
            yield tomllib.loads(head), title


def findings(clone, lock):
    with open(lock, "rb") as file:
        packages = [package for package in tomllib.load(file)["package"] if "source" in package]
    locked = {}
    for package in packages:
        locked.setdefault(package["name"], []).append(package["version"])
    count = 0
    for head, title in advisories(clone):
        count += 1
        advisory = head["advisory"]
        if "withdrawn" in advisory:
            continue
        for found in locked.get(advisory["package"], []):
            if is_affected(found, head["versions"]):
                yield advisory, found, head["versions"].get("patched", []), title
    if count == 0:
        sys.exit(f"error: {clone} has no advisories")
    print(f"{len(packages)} crates, {count} advisories")


def check(clone):
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    known, is_clean = set(), True
    for advisory, found, patched, title in findings(clone, "Cargo.lock"):
        identity, kind = advisory["id"], advisory.get("informational", "vulnerability")
        print(f"{identity} {advisory['package']} {found}: {kind}: {title}; patched: {', '.join(patched) or 'nowhere'}")
        if identity in KNOWN:
            known.add(identity)
            print(f"    known: {KNOWN[identity]}")
        else:
            is_clean = False
    for identity in sorted(KNOWN.keys() - known):
        is_clean = False
        print(f"{identity} is no finding any more: take it out of KNOWN")
    if not is_clean:
        sys.exit("error: findings that are not known")
    print("no findings" if not known else "no other findings")


def self_test():
    """The comparison itself: a comparator that is misread would hide a finding."""
    cases = [
        ("1.2.3", ">= 1.2.3", True), ("1.2.3-rc.1", ">= 1.2.3", False), ("1.2.3-rc.2", "> 1.2.3-rc.1", True),
        ("1.10.0", "> 1.9", True), ("0.2.9", "^0.2.3", True), ("0.3.0", "^0.2.3", False), ("0.0.4", "^0.0.3", False),
        ("1.9.0", "^1.2", True), ("2.0.0-rc.1", "^1.2", False), ("0.1.7", "^0.1", True), ("0.2.0", "^0.1", False),
        ("1.2.9", "~1.2.3", True), ("1.3.0", "~1.2.3", False), ("1.9.0", "~1", True), ("1.2.0", "=1.2", True),
        ("1.2.4", "= 1.2.3", False), ("0.9.9", "< 1.0.0-alpha", True), ("3.0.0", "*", True), ("1.5.0", "1.2", True),
    ]
    for locked, comparator, expected in cases:
        assert meets(version(locked)[0], comparator) == expected, (locked, comparator)
    versions = {"patched": [">= 1.4, < 2", ">= 2.3"], "unaffected": ["< 1.1"]}
    for locked, expected in [("1.0.9", False), ("1.1.0", True), ("1.4.2", False), ("2.0.0", True), ("2.3.0", False)]:
        assert is_affected(locked, versions) == expected, locked


self_test()
if len(sys.argv) > 1:
    check(os.path.abspath(sys.argv[1]))
else:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", DATABASE, folder], check=True)
        check(folder)
