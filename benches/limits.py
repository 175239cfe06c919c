#!/usr/bin/env python3
"""Feeds rater what is absurdly long, deep, wide or many, and prints time, CPU time and peak memory of each run.

    cargo build --release -p rater
    python3 benches/limits.py [--binary target/release/rater] [--list] [NAME ...]

Every case is made here, in a temporary folder, and goes through the program as a whole; docs/operating/limits.md has the figures. A line of the
table says what came out, so that a case that is refused for another reason than its bound does not look good.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

MIB = 1 << 20
ZONES = "format: rater/v1\nzones:\n  uk: { networks: [234, 235] }\n"
OPERATOR = "accounts:\n  northstar: { kind: operator, currency: GBP }\n"
RATED = """format: rater/v1
tariffs:
  plan: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.30/MB }] }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: plan }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
"""


def usage(number, **more):
    """A record that is charged."""
    record = dict(id=f"u{number}", service="data", quantity=1000, event_time="2026-03-05T14:00:00Z", imsi="001010000000001")
    return json.dumps({**record, **more}).encode()


def between_good_lines(line):
    """A line between two that are charged."""
    return b"\n".join([usage(1), line, usage(2), b""])


CSV_HEADER = b"id,service,quantity,event_time,imsi"


def csv_row(number):
    """A row that is charged."""
    return b"c%d,data,1000,2026-03-05T14:00:00Z,001010000000001" % number


def csv_rows(rows):
    """Rows between two that are charged."""
    return b"\n".join([CSV_HEADER, csv_row(1), *rows, csv_row(2), b""])


def avro_long(value):
    """A long in Avro: zigzag and base 128."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def avro_bytes(value):
    """A length and that many bytes."""
    return avro_long(len(value)) + value


FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "service", "type": "string"},
    {"name": "quantity", "type": "long"},
    {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "imsi", "type": "string"},
]


def avro_usage(number):
    """The fields of a record that is charged."""
    fields = [avro_bytes(b"a%d" % number), avro_bytes(b"data"), avro_long(1000), avro_long(1_772_719_200_000), avro_bytes(b"001010000000001")]
    return b"".join(fields)


def container(extra, extras, codec=b"null", types=()):
    """A container of usage records with a further field, one record in a block."""
    schema = json.dumps({"type": "record", "name": "UsageRecord", "fields": [*types, *FIELDS, {"name": "extra", "type": extra}]}).encode()
    marker = b"0123456789abcdef"
    head = b"Obj\x01" + avro_long(2) + avro_bytes(b"avro.schema") + avro_bytes(schema) + avro_bytes(b"avro.codec") + avro_bytes(codec) + b"\0" + marker
    parts = [head]
    for number, value in enumerate(extras):
        block = avro_usage(number) + value
        if codec == b"deflate":
            squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
            block = squeezer.compress(block) + squeezer.flush()
        parts += [avro_long(1), avro_bytes(block), marker]
    return b"".join(parts)


def doubling(levels):
    """A type of two fields, each a type of two fields, and so on."""
    inner = "null"
    for level in range(levels):
        inner = {"type": "record", "name": f"R{level}", "fields": [{"name": "a", "type": inner}, {"name": "b", "type": f"R{level - 1}" if level else "null"}]}
    return inner


def nulls(count):
    """A type of many fields that take no bytes, and one that does."""
    fields = [{"name": f"n{at}", "type": "null"} for at in range(count)]
    return {"type": "record", "name": "Nulls", "fields": [*fields, {"name": "last", "type": "int"}]}


def half_hours():
    """Reference data with a band for every half hour on two levels."""
    bands = ", ".join(f'{{ hours: "{h // 2:02}:{h % 2 * 30:02}-{(h + 1) // 2:02}:{(h + 1) % 2 * 30:02}", price: 0.{h + 10}/min }}' for h in range(48))
    tariff = f"{{ currency: GBP, versions: [{{ from: 2026-01-01T00:00:00Z, rates: [{{ service: voice, bands: [{bands}] }}] }}] }}"
    return RATED.replace("tariffs:\n", f"tariffs:\n  calls: {tariff}\n").replace("tariff: plan }", "tariff: calls }")


def calls(seconds):
    """600 calls of that length."""
    return b"".join(usage(number, service="voice", quantity=seconds) + b"\n" for number in range(600))


def tariffs(count):
    """Tariffs of two rates."""
    rates = "          - {{ service: data, price: 0.{}/MB, increment: 100 KB }}\n          - {{ service: data, zone: uk, price: 0.15/MB, increment: 100 KB }}\n"
    one = "  plan-{:07}:\n    currency: GBP\n    versions:\n      - from: 2026-01-01T00:00:00Z\n        rates:\n" + rates
    return ZONES + "tariffs:\n" + "".join(one.format(at, at % 90 + 10) for at in range(count)) + OPERATOR


def bundles(count):
    """Bundles of one element."""
    one = "  bundle-{:07}:\n    currency: GBP\n    elements: [{{ service: data, zone: uk, amount: {} MB }}]\n"
    return ZONES + "bundles:\n" + "".join(one.format(at, at % 90 + 1) for at in range(count)) + OPERATOR


def accounts(count):
    """Customers of the operator."""
    customers = "".join(f"  customer-{at}: {{ kind: customer, parent: northstar, currency: GBP, tariff: plan }}\n" for at in range(count))
    return RATED.replace("endpoints:\n", customers + "endpoints:\n")


def endpoints(count):
    """SIMs of one customer with plans of their own."""
    one = "  sim-{}: {{ customer: acme, imsi: {}, msisdn: {}, plan: {{ tariff: plan }} }}\n"
    return RATED + "".join(one.format(at, 262010000000000 + at, 491700000000 + at) for at in range(count))


def endpoints_csv(count):
    """The same as a file of endpoints."""
    rows = "".join(f"sim-{at},acme,{262010000000000 + at},{491700000000 + at}\n" for at in range(count))
    return "endpoint,customer,imsi,msisdn\n" + rows


def rates(count, one):
    """One tariff with many rates."""
    tariff = "".join(f"          - {{ {one.format(at)}, price: 0.30/MB }}\n" for at in range(count))
    head = "tariffs:\n  plan:\n    currency: GBP\n    versions:\n      - from: 2026-01-01T00:00:00Z\n        rates:\n"
    return "format: rater/v1\n" + head + tariff + OPERATOR


DEEP = 1_000_000 - 300
CASES = {
    # Calls over time bands.
    "calls-31-days": ("rate", half_hours, lambda: calls(31 * 86_400), "jsonl", []),
    "calls-200-days": ("rate", half_hours, lambda: calls(17_000_000), "jsonl", ["--max-quantity", "voice=17000000 s"]),
    "calls-30-years": ("rate", half_hours, lambda: calls(10**9), "jsonl", ["--max-quantity", "voice=1000000000 s"]),
    # Lines.
    "line-100-mb": ("rate", RATED, lambda: between_good_lines(b"x" * 100_000_000), "jsonl", []),
    "line-without-end": ("rate", RATED, lambda: usage(1) + b"\n" + b"x" * 100_000_000, "jsonl", []),
    "lines-of-2-mb": ("rate", RATED, lambda: between_good_lines(b"\n".join([b"\x01" * (2 * MIB)] * 50)), "jsonl", []),
    "lines-recycled": ("rate", RATED, lambda: between_good_lines(b"\n".join([b"x" * (2 * MIB)] * 400)), "jsonl", ["--recycle"]),
    # JSON.
    "json-depth": ("rate", RATED, lambda: between_good_lines(usage(3)[:-1] + b',"x":' + b"[" * DEEP + b"}"), "jsonl", []),
    "json-depth-attributes": ("rate", RATED, lambda: between_good_lines(usage(3)[:-1] + b',"attributes":{"x":' + b"[" * DEEP + b"}}"), "jsonl", []),
    "json-depth-type": ("rate", RATED, lambda: between_good_lines(usage(3)[:-1] + b',"type":' + b'{"a":' * 200_000 + b"}"), "jsonl", []),
    "json-fields": ("rate", RATED, lambda: between_good_lines(usage(3)[:-1] + b"".join(b',"%x":0' % at for at in range(100_000)) + b"}"), "jsonl", []),
    "json-attributes": ("rate", RATED, lambda: between_good_lines(usage(3)[:-1] + b',"attributes":{' + b",".join(b'"%x":1.5' % at for at in range(90_000)) + b"}}"), "jsonl", []),
    "json-long-key": ("rate", RATED, lambda: between_good_lines(b'{"id":"u3","' + b"quantity" * 120_000 + b'":5}'), "jsonl", []),
    "json-exponent": ("rate", RATED, lambda: between_good_lines(usage(3).replace(b"1000,", b"1e999999999,")), "jsonl", []),
    "json-digits": ("rate", RATED, lambda: between_good_lines(usage(3).replace(b"1000,", b"1" * 900_000 + b",")), "jsonl", []),
    "json-digits-text": ("rate", RATED, lambda: between_good_lines(usage(3).replace(b"1000,", b'"' + b"0" * 900_000 + b'1000",')), "jsonl", []),
    "json-command-digits": ("rate", RATED, lambda: between_good_lines(b'{"command_id":"c","kind":"credit","account_id":"acme","issued_by":"northstar","amount":1e-99999999' + b"9" * 900_000 + b"}"), "jsonl", []),
    # CSV.
    "csv-header-100-mb": ("rate", RATED, lambda: CSV_HEADER + b"," + b"x" * 100_000_000 + b"\n" + csv_row(1) + b",\n", "csv", []),
    "csv-columns": ("rate", RATED, lambda: CSV_HEADER + b"," * 1_000_000 + b"\n" + (csv_row(1) + b"," * 1_000_000 + b"\n") * 20, "csv", []),
    "csv-attributes": ("rate", RATED, lambda: CSV_HEADER + b"".join(b",attributes.%x" % at for at in range(50_000)) + b"\n" + (csv_row(1) + b",1" * 50_000 + b"\n") * 20, "csv", []),
    "csv-row-100-mb": ("rate", RATED, lambda: csv_rows([csv_row(3) + b"," * 100_000_000]), "csv", []),
    "csv-open-quote": ("rate", RATED, lambda: csv_rows([csv_row(3) + b',"' + b"x" * 100_000_000]), "csv", []),
    "csv-open-quotes": ("rate", RATED, lambda: csv_rows([b'"x'] + [b"x" * 50] * 400_000), "csv", []),
    "csv-many-open-quotes": ("rate", RATED, lambda: csv_rows([b'""x'] + [b'x,"x'] * 20_000 + [b"x" * 50] * 40_000), "csv", []),
    "csv-quotes-of-lines": ("rate", RATED, lambda: csv_rows([b'"', b"x"] * 200_000), "csv", []),
    # Avro.
    "avro-array-of-null": ("rate", RATED, lambda: container({"type": "array", "items": "null"}, [b"\0", avro_long(1 << 60) + b"\0"]), "avro", []),
    "avro-negative-count": ("rate", RATED, lambda: container({"type": "array", "items": "long"}, [b"\0", avro_long(-(1 << 62)) + avro_long(1 << 61) + b"\0"]), "avro", []),
    "avro-map-count": ("rate", RATED, lambda: container({"type": "map", "values": "string"}, [b"\0", avro_long(1 << 62) + b"\0"]), "avro", []),
    "avro-string-length": ("rate", RATED, lambda: container("string", [b"\0", avro_long(1 << 62) + b"x"]), "avro", []),
    "avro-fields-without-bytes": ("rate", RATED, lambda: container({"type": "array", "items": nulls(9_000)}, [b"\0", avro_long(900_000) + b"\0" * 900_001]), "avro", []),
    "avro-long-symbol": ("rate", RATED, lambda: container({"type": "map", "values": {"type": "enum", "name": "E", "symbols": ["s" * 800_000]}}, [b"\0", avro_long(400_000) + b"\0\0" * 400_000 + b"\0"]), "avro", []),
    "avro-doubling-type": ("rate", RATED, lambda: container(doubling(30), [b""]), "avro", []),
    "avro-schema-fields": ("rate", RATED, lambda: container({"type": "record", "name": "R", "fields": [{"name": f"f{at}", "type": "int"} for at in range(9_000)]}, [b"\0" * 9_000]), "avro", []),
    "avro-schema-many-fields": ("rate", RATED, lambda: container({"type": "record", "name": "R", "fields": [{"name": f"f{at}", "type": "int"} for at in range(100_000)]}, [b"\0" * 100_000]), "avro", []),
    "avro-schema-symbols": ("rate", RATED, lambda: container({"type": "enum", "name": "E", "symbols": [f"s{at}" for at in range(300_000)]}, [b"\0"]), "avro", []),
    "avro-schema-branches": ("rate", RATED, lambda: container([{"type": "fixed", "name": f"F{at}", "size": 1} for at in range(50_000)], [b"\0\0"]), "avro", []),
    "avro-schema-10-mb": ("rate", RATED, lambda: container({"type": "enum", "name": "E", "symbols": [f"s{at}" for at in range(1_000_000)]}, [b"\0"]), "avro", []),
    "avro-deflate": ("rate", RATED, lambda: container("bytes", [avro_bytes(b"\0" * (250 * MIB))], b"deflate"), "avro", []),
    "avro-deflate-beyond": ("rate", RATED, lambda: container("bytes", [b"\0", avro_bytes(b"\0" * (300 * MIB))], b"deflate"), "avro", []),
    "gzip": ("rate", RATED, lambda: b"\x1f\x8b\x08" + b"\0" * 1000, "jsonl", []),
    # Reference data.
    "tariffs": ("check", lambda: tariffs(1_000_000), None, None, []),
    "bundles": ("check", lambda: bundles(1_000_000), None, None, []),
    "accounts": ("check", lambda: accounts(1_000_000), None, None, []),
    "endpoints": ("check", lambda: endpoints(1_000_000), None, None, []),
    "endpoints-csv": ("check", RATED, lambda: endpoints_csv(1_000_000).encode(), "csv", []),
    "rates-of-services": ("check", lambda: rates(100_000, "service: data{}").replace("MB", "unit"), None, None, []),
    "rates-of-rating-groups": ("check", lambda: rates(100_000, "service: data, rating_group: {}"), None, None, []),
    "rates-of-apns": ("check", lambda: rates(100_000, "service: data, apn: apn-{}.example"), None, None, []),
    "broken-tariffs": ("check", lambda: tariffs(200_000).replace("MB,", "MB/s,"), None, None, []),
}


def run(command, folder):
    """Runs a command; returns code, seconds, seconds of CPU, peak memory in MiB, and the last line of each stream."""
    begun = time.monotonic()
    out, err = open(folder / "stdout", "wb"), open(folder / "stderr", "wb")
    child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begun
    said = [(folder / name).read_bytes()[-4000:].decode(errors="replace").strip().splitlines()[-1:] for name in ("stderr", "stdout")]
    return os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, " ".join(line for lines in said for line in lines)


def outcomes(folder):
    """Counts the charges and the suspense by reason."""
    counts = {}
    for name in ("charges.jsonl", "suspense.jsonl"):
        path = folder / "out" / name
        for line in path.open("rb") if path.exists() else []:
            reason = line.split(b'"reason":"', 1)[1].split(b'"', 1)[0].decode()
            counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in counts.items())


def make(name, folder):
    """Writes the files of a case, in a process of its own: a child begins with the peak memory of its parent."""
    _, reference, data, ending, _ = CASES[name]
    if os.fork() == 0:
        (folder / "rating.yaml").write_text(reference() if callable(reference) else reference)
        if data:
            (folder / f"in.{ending}").write_bytes(data())
        os._exit(0)
    _, status = os.wait()
    if status != 0:
        sys.exit(f"{name} could not be made")


def measure(binary, name):
    """Runs a case and prints its line of the table."""
    kind, _, data, ending, options = CASES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(name, folder)
        command = [binary, kind, "rating.yaml"]
        if kind == "rate":
            command = [binary, "rate", f"in.{ending}", "--reference", "rating.yaml", "-o", "out", "-q"]
            if "--recycle" in options:
                run(command, folder)
            command += options
        elif data:
            command.append(f"in.{ending}")
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        code, seconds, cpu, peak, said = run(command, folder)
        result = outcomes(folder) if kind == "rate" else ""
        if code not in (0, 1) or not result:
            result = f"{result}; {said}".removeprefix("; ")
        print(f"| {name} | {size:.1f} MB | {seconds:.1f} s | {cpu:.1f} s | {peak:.0f} MiB | {code} | {result[:150]} |", flush=True)


def main():
    """Measures the cases named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/rater")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--limit", type=int, default=600, help="seconds of CPU after which a run is ended")
    parser.add_argument("--memory", type=int, default=8, help="GiB of address space of a run")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return
    unknown = [name for name in arguments.names if name not in CASES]
    if unknown:
        sys.exit(f"no case {', '.join(unknown)}; --list names them")
    resource.setrlimit(resource.RLIMIT_CPU, (arguments.limit, arguments.limit))
    resource.setrlimit(resource.RLIMIT_AS, (arguments.memory << 30, arguments.memory << 30))
    binary = str(Path(arguments.binary).resolve())
    print("| case | input | time | CPU | peak memory | exit | outcome |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for name in arguments.names or CASES:
        measure(binary, name)


if __name__ == "__main__":
    main()
