"""Writes charges and deltas as a re-rating does: write.py BROKERS PREFIX SCHEMAS MESSAGE...

A message is CHARGE:AMOUNT:SEQUENCE:BALANCE or, for one that takes another back, CHARGE:AMOUNT:SEQUENCE:BALANCE:REVERSED.
"""

import datetime
import decimal
import io
import json
import pathlib
import sys

import fastavro
import fastavro.schema
from confluent_kafka import Producer

AT = datetime.datetime(2026, 3, 5, 14, tzinfo=datetime.timezone.utc)


def main(brokers, prefix, schemas, *messages):
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})

    def write(topic, name, record):
        schema = json.loads((pathlib.Path(schemas) / f"{name}.avsc").read_text(encoding="utf-8"))
        canonical = fastavro.schema.to_parsing_canonical_form(schema)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
        marker = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
        producer.produce(prefix + topic, key="acme", value=marker + out.getvalue())

    for message in messages:
        charge, amount, sequence, balance, reverses = (message.split(":") + [None])[:5]
        common = {"amount": decimal.Decimal(amount), "currency": "GBP"}
        write("charges", "charge", {
            **common, "charge_id": charge, "revision": 0, "kind": "reversal" if reverses else "usage", "reverses": reverses,
            "payer_id": "acme", "payer_kind": "customer", "payee_id": "beta", "service": "data", "event_time": AT, "quantity": 1,
            "unit": "octets", "reason": "rated"})
        write("balance-deltas", "balance-delta", {
            **common, "delta_id": f"acme:{sequence}", "account_id": "acme", "sequence": int(sequence),
            "kind": "reversal" if reverses else "charge", "amount": -decimal.Decimal(amount),
            "balance_after": decimal.Decimal(balance), "reserved_after": decimal.Decimal(0), "charge_id": charge,
            "effective_time": AT})
    assert producer.flush(30) == 0


main(*sys.argv[1:])
