#!/usr/bin/env python3
"""Feeds CSV files of packet gateway records to the usage topic of Rater: each line once, whatever happens meanwhile.

    feeder.py --brokers localhost:9092 --topic usage FILE_OR_FOLDER...

- A transaction of Kafka holds some usage records, the lines that were rejected, and how far the file has been read. After a kill all of
  it is there or nothing, and the next start goes on behind the last transaction.
- How far each file has been read stands in a compacted topic, TOPIC-positions, with the digest of what was read: another file under an
  old name is refused.
- A second feeder of the same --name takes over: Kafka refuses whatever the first one still wants to commit.
- Identity of a record is (source, id), both made from the record itself. Should a line reach Rater twice nevertheless, because a
  gateway wrote it into two files, then Rater charges it once.

Lines that cannot be mapped go to TOPIC-rejects, byte for byte, with file, line and reason in the headers. A file is complete when its
name ends with .csv: write it under another name first, then rename it. Exit codes: 0 all is fed, or asked to stop; 2 a file or an option is
wrong; 3 Kafka does not answer or refuses (start again: it goes on); 4 another feeder has taken over.
"""

import argparse
import csv
import dataclasses
import datetime
import hashlib
import io
import itertools
import json
import pathlib
import signal
import sys
import time

import fastavro
import fastavro.schema
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SCHEMA = pathlib.Path(__file__).parent / "../../schemas/usage-record.avsc"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)
SECONDS = 30  # how long a call of Kafka may take
LONGEST_REJECT = 500_000  # bytes of a line that are kept; a broker takes no message above 1 MB
NEEDED = ["nodeID", "chargingID", "recordSequenceNumber", "ratingGroup", "servedIMSI", "servingNodePLMNIdentifier", "rATType",
          "datavolumeFBCUplink", "datavolumeFBCDownlink"]
RATS = {1: "utran", 2: "geran", 3: "wlan", 4: "gan", 5: "hspa_evolution", 6: "eutran", 7: "virtual", 8: "eutran_nb_iot", 9: "lte_m",
        10: "nr"}  # 3GPP TS 29.274, clause 8.17


class BadLine(Exception):  # no usage record: it goes to the rejects
    pass


class BadFile(Exception):  # nothing of it can be fed: it stops the feeder
    pass


# --- A row becomes a usage record

def usage_of(row):
    """The usage record of one element of listOfServiceData: names of 3GPP TS 32.298 on the right, of usage-record.avsc on the left."""

    def text(name):
        return row.get(name) or None

    def digits(name, lengths, needed=False):
        value = text(name)
        if (value is None and needed) or (value and not (value.isascii() and value.isdigit() and len(value) in lengths)):
            raise BadLine(f"{name} has not {lengths.start} to {lengths.stop - 1} digits: {value!r}")
        return value

    def number(name, needed=False):
        value = digits(name, range(1, 19), needed)
        return None if value is None else int(value)

    if text("nodeID") is None:
        raise BadLine("nodeID is empty")
    up, down = number("datavolumeFBCUplink"), number("datavolumeFBCDownlink")
    if up is None and down is None:
        raise BadLine("there is no volume")
    plmn, rat = digits("servingNodePLMNIdentifier", range(5, 7), needed=True), number("rATType", needed=True)
    # What a gateway counts: the bearer, the partial record of the bearer, the rating group in it and, if given, the record of the node.
    identity = [digits(name, range(1, 19), needed=True) for name in ("chargingID", "recordSequenceNumber", "ratingGroup")]
    identity += [digits("localSequenceNumber", range(1, 19))] if text("localSequenceNumber") else []
    return {
        "id": "-".join(identity), "source": text("nodeID"), "service": "data",
        "quantity": (up or 0) + (down or 0), "unit": "octets", "quantity_up": up, "quantity_down": down,
        "event_time": instant(row, "timeOfFirstUsage" if row.get("timeOfFirstUsage") else "recordOpeningTime"),
        "end_time": instant(row, "timeOfLastUsage") if row.get("timeOfLastUsage") else None,
        "imsi": digits("servedIMSI", range(6, 16), needed=True),
        "msisdn": digits("servedMSISDN", range(5, 16)),
        "imei": digits("servedIMEISV", range(14, 17)),
        "mcc": plmn[:3], "mnc": plmn[3:], "apn": text("accessPointNameNI"), "rat": RATS.get(rat, str(rat)),
        "session_id": identity[0], "sequence": int(identity[1]), "rating_group": int(identity[2]),
        "closing_cause": number("causeForRecClosing"),
    }


def instant(row, name):
    """Milliseconds since 1970: RFC 3339 with an offset. A time without one is no instant."""
    text = row.get(name) or ""
    try:
        since, finer = divmod(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH, MILLISECOND)
    except (ValueError, TypeError, OverflowError):
        raise BadLine(f"{name} is no time with an offset: {text!r}") from None
    if finer or since < 0:
        raise BadLine(f"{name} is before 1970 or finer than milliseconds: {text!r}")
    return since


def row_of(header, line):
    """A line of CSV by the names of its columns. A cell cannot hold a line break: then where a line begins would depend on all before."""
    try:
        cells = next(csv.reader([line.decode("utf-8").rstrip("\r\n")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadLine(f"no line of CSV: {error}") from None
    if len(cells) != len(header):
        raise BadLine(f"{len(cells)} cells, the header has {len(header)}")
    return dict(zip(header, cells))


# --- A usage record becomes a message

def encoder(arguments):
    """From a record to the bytes of a message."""
    if arguments.format == "json":
        return lambda record: json.dumps({name: value for name, value in record.items() if value is not None}).encode()
    text = arguments.schema.read_text(encoding="utf-8")
    schema = fastavro.parse_schema(json.loads(text))
    if arguments.registry:
        # Looked up and never registered: who deploys Rater registers its contracts, `rater schema register`.
        from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
        try:
            found = SchemaRegistryClient({"url": arguments.registry}).lookup_schema(f"{arguments.topic}-value", Schema(text, "AVRO"))
        except SchemaRegistryError as error:
            raise BadFile(f"{arguments.registry}: {arguments.topic}-value: {error}") from error
        prefix = b"\x00" + found.schema_id.to_bytes(4, "big")
    else:
        canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
        prefix = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))

    def encode(record):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, record)
        return prefix + out.getvalue()

    return encode


# --- Files become transactions

@dataclasses.dataclass
class Place:
    """How far a file has been fed: up to `bytes`, which end line `line` and have the digest `sha256`."""
    bytes: int = 0
    line: int = 0
    fed: int = 0
    rejected: int = 0
    sha256: str = hashlib.sha256().hexdigest()


class Feeder:
    def __init__(self, arguments):
        self.arguments = arguments
        self.kafka = dict([("bootstrap.servers", arguments.brokers), *arguments.property])
        self.positions_topic, self.rejects_topic = f"{arguments.topic}-positions", f"{arguments.topic}-rejects"
        self.encode = encoder(arguments)
        self.stopping = False
        self.make_topics()
        # In this order. Nobody else commits for this name once it is ours, so that places read afterwards are the last ones.
        self.producer = Producer({
            **self.kafka,
            "transactional.id": f"{arguments.topic}-feeder-{arguments.name}",
            "transaction.timeout.ms": 10_000,
            "partitioner": "murmur2_random",  # as all clients but librdkafka's own choose by default
            "queue.buffering.max.messages": arguments.batch + 1,  # a transaction fits
            "compression.type": "lz4",
        })
        self.producer.init_transactions(SECONDS)
        self.places = self.read_places()

    def make_topics(self):
        """Positions are kept for ever, each file's last one; rejects as long as the cluster keeps anything."""
        admin = AdminClient(self.kafka)  # kept until all is answered
        topics = [NewTopic(self.positions_topic, 1, config={"cleanup.policy": "compact"}), NewTopic(self.rejects_topic, 1)]
        for made in admin.create_topics(topics, request_timeout=SECONDS).values():
            try:
                made.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def read_places(self):
        """The last committed place of each file. Up to the end that counts open transactions: those before it are waited for."""
        common = {**self.kafka, "group.id": f"{self.arguments.topic}-feeder-{self.arguments.name}", "enable.auto.commit": False}
        places, deadline = {}, time.monotonic() + 2 * SECONDS
        looking, end = Consumer({**common, "isolation.level": "read_uncommitted"}), None
        while end is None:
            try:
                low, end = looking.get_watermark_offsets(TopicPartition(self.positions_topic, 0), timeout=SECONDS)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # a topic that was just made is not known everywhere yet
        looking.close()
        reader = Consumer({**common, "isolation.level": "read_committed", "enable.partition.eof": True})
        reader.assign([TopicPartition(self.positions_topic, 0, low)])
        while True:
            message = reader.poll(1)
            if message is None:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{self.positions_topic} cannot be read up to {end}"))
            elif message.error() is None:
                name, _, file = message.key().decode().rpartition("/")
                if name == self.arguments.name:
                    places[file] = Place(**json.loads(message.value()))
            elif message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            elif message.offset() >= end:
                reader.close()
                return places

    def feed(self, path):
        """The rest of a file, transaction by transaction."""
        with path.open("rb") as file:
            header = row_names(path, file.readline())
            place = self.places.setdefault(path.name, Place())
            file.seek(0)
            digest = hashlib.sha256()
            for part in iter(lambda: file.read(min(1 << 20, place.bytes - file.tell())), b""):
                digest.update(part)
            if digest.hexdigest() != place.sha256:
                raise BadFile(f"{path}: its first {place.bytes} bytes are not those that were fed under this name")
            while not self.stopping:
                lines = list(itertools.islice(file, self.arguments.batch))
                if not lines:
                    break
                self.transact(path.name, header, lines, place, digest)
        if not self.stopping and place.line:
            say(f"{path.name}: {place.fed} records fed, {place.rejected} lines rejected, all {place.line} lines read")

    def transact(self, file, header, lines, place, digest):
        self.producer.begin_transaction()
        for line in lines:
            place.line += 1
            place.bytes += len(line)
            digest.update(line)
            if place.line == 1 or not line.strip():
                continue
            try:
                record = usage_of(row_of(header, line))
                self.producer.produce(self.arguments.topic, key=record["imsi"], value=self.encode(record))
                place.fed += 1
            except BadLine as error:
                headers = {"file": file, "line": str(place.line), "reason": str(error), "bytes": str(len(line))}
                self.producer.produce(self.rejects_topic, key=file, value=line[:LONGEST_REJECT], headers=headers)
                place.rejected += 1
        place.sha256 = digest.hexdigest()
        self.producer.produce(self.positions_topic, key=f"{self.arguments.name}/{file}", value=json.dumps(dataclasses.asdict(place)))
        # Fails if any of the messages failed. Whatever fails ends the program: the next start aborts what is open.
        self.producer.commit_transaction(SECONDS)
        if self.arguments.verbose:
            say(f"{file}: committed up to line {place.line}")

    def run(self):
        """Feeds everything; with --follow until asked to stop."""
        complete = {}
        while not self.stopping:
            for path in itertools.chain(*(sorted(path.glob("*.csv")) if path.is_dir() else [path] for path in self.arguments.paths)):
                size = path.stat().st_size
                if not self.stopping and complete.get(path) != size:
                    self.feed(path)
                    complete[path] = size
            if not self.arguments.follow:
                return
            time.sleep(0.2)


def row_names(path, line):
    names = next(csv.reader([line.decode("utf-8-sig", "replace").rstrip("\r\n")]), [])
    missing = [name for name in NEEDED if name not in names]
    if not {"timeOfFirstUsage", "recordOpeningTime"} & set(names):
        missing.append("timeOfFirstUsage or recordOpeningTime")
    if missing or len(set(names)) < len(names):
        raise BadFile(f"{path}: the header lacks {', '.join(missing)}" if missing else f"{path}: a column stands twice in the header")
    return names


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Feeds CSV files of packet gateway records to the usage topic, each line once.")
    parser.add_argument("paths", nargs="+", type=pathlib.Path, metavar="FILE_OR_FOLDER", help="of a folder: all files *.csv, by name")
    parser.add_argument("--brokers", required=True, help="bootstrap servers, HOST:PORT[,HOST:PORT]")
    parser.add_argument("--topic", default="usage", help="usage topic, with the deployment's prefix (default: usage)")
    parser.add_argument("--name", default="mediation", help="one feeder of a name runs at a time (default: mediation)")
    parser.add_argument("--format", choices=["avro", "json"], default="avro", help="of the messages (default: avro)")
    parser.add_argument("--registry", metavar="URL", help="schema registry: frame Avro as Confluent does")
    parser.add_argument("--schema", default=SCHEMA, type=pathlib.Path, metavar="FILE", help="usage-record.avsc")
    parser.add_argument("--batch", default=1000, type=int, metavar="LINES", help="lines to a transaction (default: 1000)")
    parser.add_argument("--follow", action="store_true", help="wait for more files in the folders")
    parser.add_argument("--property", action="append", default=[], type=lambda text: tuple(text.split("=", 1)), metavar="NAME=VALUE",
                        help="a setting of the Kafka client, such as security.protocol=SASL_SSL")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each transaction")
    try:
        feeder = Feeder(parser.parse_args())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(feeder, "stopping", True))
        feeder.run()
    except (BadFile, OSError) as error:
        say(f"error: {error}")
        return 2
    except KafkaException as error:
        say(f"error: kafka: {error.args[0].str()}")
        return 4 if error.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
