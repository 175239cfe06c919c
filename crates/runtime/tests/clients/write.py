"""Writes usage records, commands and ticks with other people's libraries, for Rater to read.

    write.py REGISTRY SCHEMAS

Puts out one JSON object per line: how it was written, the bytes, and what they say, with times in milliseconds and amounts as text.
"""

import copy
import datetime
import decimal
import io
import json
import pathlib
import sys

import avro.io
import avro.schema
import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro.schema import fingerprint, to_parsing_canonical_form

EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
START = datetime.datetime(2026, 3, 5, 14, 0, 0, 250000, datetime.timezone.utc)

USAGE = [
    {"id": "r1", "source": "pgw-1", "service": "data", "quantity": 3_000_000, "unit": "octets", "event_time": START,
     "end_time": START + datetime.timedelta(minutes=10), "imsi": "001010000000001", "mcc": "234", "mnc": "15",
     "quantity_up": 1, "quantity_down": 2_999_999, "session_id": "s-1", "sequence": 7, "final": False,
     "closing_cause": 17, "rating_group": 2**40, "attributes": {"subscription_type": "gold", "n\u00e9": "\u2713"}},
    {"id": "r2", "source": "m", "service": "cpu", "quantity": 2**63 - 1, "unit": "units", "event_time": START,
     "account_id": "acme", "sequence": 0, "attributes": {}},
    {"id": "x" * 300, "source": "m", "service": "sms", "quantity": -1, "unit": "messages", "event_time": START,
     "msisdn": "447700900001", "sequence": 1, "final": True, "attributes": {}},
]
COMMANDS = [
    {"command_id": "c1", "kind": "top_up", "account_id": "acme", "issued_by": "beta", "effective_time": START,
     "amount": decimal.Decimal("5.1000000000"), "currency": "GBP", "note": "by hand"},
    {"command_id": "c2", "kind": "debit", "account_id": "acme/meter-1", "issued_by": "beta", "effective_time": START,
     "amount": decimal.Decimal("-0.0000000001")},
    {"command_id": "c3", "kind": "credit", "account_id": "a", "issued_by": "b", "effective_time": START,
     "amount": decimal.Decimal("999999999999999999.9999999999")},
    {"command_id": "c4", "kind": "buy_bundle", "account_id": "a", "issued_by": "b", "effective_time": START,
     "bundle_id": "uk-1gb", "endpoint_id": "meter-1"},
]
TICKS = [{"tick_id": "t1", "source": "clock", "time": START}]


def plain(value):
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(milliseconds=1)
    if isinstance(value, decimal.Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".")
    return value


def complete(schema, record):
    """With the defaults: not every library fills them in when it writes."""
    names = [field["name"] for field in schema["fields"]]
    defaults = {field["name"]: copy.copy(field["default"]) for field in schema["fields"] if "default" in field}
    return {name: record[name] if name in record else defaults[name] for name in names}


def changed(schema):
    """As a producer with a schema of its own may have it: another order, more fields, smaller types, fewer optional fields."""
    fields = [field for field in copy.deepcopy(schema["fields"]) if field["name"] not in ("imei", "apn", "rat", "sponsor")]
    for field in fields:
        if field["name"] == "sequence":
            field["type"] = ["int", "null"]
            del field["default"]
    cell = {"type": "record", "name": "Cell", "fields": [{"name": "lac", "type": "int"}, {"name": "load", "type": "double"}]}
    more = [{"name": "home_cell", "type": cell, "default": {"lac": 1, "load": 0.5}},
            {"name": "visited_cell", "type": ["null", "Cell"], "default": None},
            {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}, "default": []}]
    return {"type": "record", "name": schema["name"], "namespace": "rater.v1", "fields": more + fields[::-1]}


def schemaless(schema, record):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def by_apache(text, record):
    out = io.BytesIO()
    avro.io.DatumWriter(avro.schema.parse(text)).write(record, avro.io.BinaryEncoder(out))
    return out.getvalue()


def put(how, name, message, record):
    said = {field: plain(value) for field, value in record.items() if value is not None}
    print(json.dumps({"how": how, "schema": name, "bytes": message.hex(), "says": said}))


def main(url, schemas):
    client = SchemaRegistryClient({"url": url})
    for name, records in (("usage-record", USAGE), ("account-command", COMMANDS), ("tick", TICKS)):
        text = (pathlib.Path(schemas) / f"{name}.avsc").read_text(encoding="utf-8")
        ours = json.loads(text)
        theirs = changed(ours)
        for record in records:
            for topic, schema in ((name, ours), (f"{name}-of-others", theirs)):
                message = AvroSerializer(client, json.dumps(schema))(
                    complete(schema, record), SerializationContext(topic, MessageField.VALUE))
                put("confluent", name, message, record)
            full = complete(ours, record)
            marker = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(ours), "CRC-64-AVRO"))
            put("single_object", name, marker + schemaless(ours, full), record)
            put("schemaless", name, schemaless(ours, full), record)
            put("schemaless", name, by_apache(text, full), record)


if __name__ == "__main__":
    main(*sys.argv[1:])
