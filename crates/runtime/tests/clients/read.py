"""Reads what Rater wrote with other people's libraries, and compares every field.

    read.py REGISTRY SCHEMAS MESSAGES

MESSAGES has one JSON object per line: the message's schema and topic, its bytes in Confluent's framing and in the single-object
encoding, and what it says as a JSON line. Puts out how many of each schema were read.
"""

import io
import json
import pathlib
import sys

import avro.io
import avro.schema
import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro.schema import fingerprint, to_parsing_canonical_form

from shown import shown_record


def without_marker(message, schema):
    """The datum behind the marker of the single-object encoding. fastavro shows the fingerprint in the order of its bytes there."""
    wanted = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
    assert message[:2] == b"\xc3\x01" and message[2:10] == wanted, (message[:10].hex(), wanted.hex())
    return message[10:]


def main(url, schemas, messages):
    deserializer = AvroDeserializer(SchemaRegistryClient({"url": url}))
    counts = {}
    for line in pathlib.Path(messages).read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        expected, name = message["says"], message["schema"]
        text = (pathlib.Path(schemas) / f"{name}.avsc").read_text(encoding="utf-8")
        schema = json.loads(text)
        framed, single = bytes.fromhex(message["confluent"]), bytes.fromhex(message["single_object"])

        context = SerializationContext(message["topic"], MessageField.VALUE)
        by_confluent = deserializer(framed, context)

        datum = io.BytesIO(without_marker(single, schema))
        by_fastavro = fastavro.schemaless_reader(datum, fastavro.parse_schema(schema), None)
        assert datum.read() == b"", "bytes are left"

        datum = io.BytesIO(framed[5:])
        by_apache = avro.io.DatumReader(avro.schema.parse(text)).read(avro.io.BinaryDecoder(datum))
        assert datum.read() == b"", "bytes are left"

        for library, read in (("confluent", by_confluent), ("fastavro", by_fastavro), ("avro", by_apache)):
            assert set(read) == {field["name"] for field in schema["fields"]}, (library, read)
            said = shown_record(read)
            for field in sorted(set(said) | set(expected)):
                ours, theirs = expected.get(field), said.get(field)
                # An empty list or text is one in both forms.
                assert ours == theirs, f"{library}: {name}.{field}: {theirs!r}, Rater says {ours!r}"
        counts[name] = counts.get(name, 0) + 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
