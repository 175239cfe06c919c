#!/usr/bin/env python3
"""Books what Rater charged into PostgreSQL, each charge and each change of a balance once, and proves that its balances are Rater's.

    billing.py run    --brokers localhost:9092 --database postgresql://localhost/billing
    billing.py verify --brokers localhost:9092 --database postgresql://localhost/billing
    billing.py top-up --brokers localhost:9092 --id t-1 --account acme --by beta --amount 10.00

How `run` books exactly once: rows and the positions on the topics are one transaction of the database, and a position moves only from where
this process read it. The group of Kafka keeps nothing. Should positions be lost, ids and numbers recognise what is booked already: a
repeat has to be equal to what it repeats. A delta whose number is not the next of its account, whose balance is not the one before plus
its amount, or bytes that cannot be read, stop `run`: nothing is passed over. Exit codes: 0 fine; 1 the books do not agree, or what came cannot
be booked; 3 Kafka or the database does not answer (start again).
"""

import argparse
import datetime
import io
import json
import pathlib
import re
import signal
import sys

import fastavro
import fastavro.schema
import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

HERE = pathlib.Path(__file__).parent
SECONDS = 30  # how long a call of Kafka may take

CHARGE = ("charge_id revision kind reverses usage_source usage_id level payer_id payee_id endpoint_id service event_time quantity unit "
          "amount currency reason").split()
SEGMENT = "source quantity billable_quantity unit_price per_units amount tariff_id zone bundle_id".split()
DELTA = ("account_id sequence delta_id kind amount currency balance_after charge_id command_id reverses effective_time").split()


class Broken(Exception):
    """What came cannot be booked; somebody has to look."""


# --- Messages of the topics

class Topics:
    """Committed messages of both topics, decoded, from given positions on."""

    def __init__(self, arguments):
        self.names = {arguments.topic_prefix + name: name for name in ("charges", "balance-deltas")}
        self.consumer = Consumer({
            **kafka(arguments),
            "group.id": "billing",  # needed by the client; nothing is kept under it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",  # what is deleted before it was booked is not to be passed over
            "enable.partition.eof": True,
        })
        self.registry, self.writers = None, {}
        if arguments.registry:
            from confluent_kafka.schema_registry import SchemaRegistryClient
            self.registry = SchemaRegistryClient({"url": arguments.registry})
        read = {name: json.loads((arguments.schemas / f"{name}.avsc").read_text(encoding="utf-8")) for name in ("charge", "balance-delta")}
        self.readers = {"charges": fastavro.parse_schema(read["charge"]), "balance-deltas": fastavro.parse_schema(read["balance-delta"])}
        for path in sorted(arguments.schemas.glob("**/*.avsc")):  # older versions, too
            schema = json.loads(path.read_text(encoding="utf-8"))
            canonical = fastavro.schema.to_parsing_canonical_form(schema)
            self.writers[bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))] = fastavro.parse_schema(schema)

    def bounds(self):
        """The first position and the end of each partition."""
        found = {}
        for topic in self.names:
            partitions = self.consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions
            for number in partitions:
                found[topic, number] = self.consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=SECONDS)
        if not found:
            raise Broken(f"no topics {' and '.join(self.names)}: `rater topics apply` makes them")
        return found

    def read(self, starts, ends=None):
        """Batches of (topic, partition, offset, charge or delta), up to the ends or without end; empty ones where nothing comes."""
        left = {place for place, end in (ends or {}).items() if starts[place] < end}
        self.consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items() if ends is None or place in left])
        while ends is None or left:
            batch = []
            for message in self.consumer.consume(2000, timeout=0.2):
                place = message.topic(), message.partition()
                if message.error() is None:
                    if ends is None or message.offset() < ends[place]:
                        batch.append((*place, message.offset(), self.decode(message)))
                elif message.error().code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(message.error())
                if ends is not None and message.offset() + (message.error() is None) >= ends[place]:
                    left.discard(place)
            yield batch

    def decode(self, message):
        value, where = message.value() or b"", f"{message.topic()}:{message.partition()}:{message.offset()}"
        if value[:1] == b"\x00" and self.registry:
            writer, start = value[:5], 5
            if writer not in self.writers:
                try:
                    text = self.registry.get_schema(int.from_bytes(value[1:5], "big")).schema_str
                except Exception as error:  # of the client or of its HTTP library: the same message again, later
                    raise ConnectionError(f"{where}: schema registry: {error}") from error
                self.writers[writer] = fastavro.parse_schema(json.loads(text))
        elif value[:2] == b"\xc3\x01" and value[2:10] in self.writers:
            writer, start = value[2:10], 10
        else:
            raise Broken(f"{where}: neither framing nor schema is known: {value[:10].hex()}")
        try:
            return fastavro.schemaless_reader(io.BytesIO(value[start:]), self.writers[writer], self.readers[self.names[message.topic()]])
        except (EOFError, ValueError, TypeError, IndexError, fastavro.schema.SchemaParseException) as error:
            raise Broken(f"{where}: {error!r}") from error


# --- Booking

def run(arguments, stopping):
    with psycopg.connect(arguments.database, autocommit=True) as books:
        with books.transaction():
            books.execute("select pg_advisory_xact_lock(1)")  # two that make the same table at once would fail
            if books.execute("select to_regclass('ledger') is null").fetchone()[0]:
                books.execute((HERE / "tables.sql").read_text(encoding="utf-8"))
        topics = Topics(arguments)
        bounds = topics.bounds()
        with books.transaction(), books.cursor() as rows:
            rows.executemany("insert into offsets values (%s, %s, 0) on conflict do nothing", list(bounds))
            # Waits for the last transaction of a process that was killed.
            rows.execute("select topic, partition, next_offset from offsets for update")
            positions = {(topic, partition): offset for topic, partition, offset in rows if (topic, partition) in bounds}
        ends = {place: end for place, (_, end) in bounds.items()} if arguments.until_end else None
        for batch in topics.read(positions, ends):
            if batch:
                with books.transaction():
                    charges, deltas = book(books, batch, positions, topics.names)
                say(f"booked {charges} charges and {deltas} deltas of {len(batch)} messages")
            if stopping:
                return


def book(books, batch, positions, names):
    """One transaction: positions, charges with segments, deltas, balances. The numbers of charges and deltas that were new."""
    after = {(topic, partition): offset + 1 for topic, partition, offset, _ in batch}
    for place, offset in after.items():
        moved = books.execute("update offsets set next_offset = %s where topic = %s and partition = %s and next_offset = %s",
                              (offset, *place, positions[place]))
        if moved.rowcount != 1:
            raise Broken(f"{place}: is not at {positions[place]} any more: somebody else books into this database, too")
    charges = book_charges(books, [record for topic, _, _, record in batch if names[topic] == "charges"])
    deltas = book_deltas(books, [record for topic, _, _, record in batch if names[topic] == "balance-deltas"])
    positions.update(after)
    return charges, deltas


def book_charges(books, charges):
    ids = [charge["charge_id"] for charge in charges]
    booked = {row[0]: row for row in books.execute(f"select {', '.join(CHARGE)} from charges where charge_id = any(%s)", (ids,))}
    new, segments = [], []
    for charge in charges:
        row = tuple(charge[name] for name in CHARGE)
        if (charge["kind"] == "reversal") != (charge["reverses"] is not None):
            raise Broken(f"charge {row[0]}: kind {charge['kind']}, reverses {charge['reverses']}")
        if booked.setdefault(row[0], row) is row:
            new.append(row)
            segments += [(row[0], number, *(segment[name] for name in SEGMENT)) for number, segment in enumerate(charge["segments"], 1)]
        elif booked[row[0]] != row:
            raise Broken(f"charge {row[0]} came again and differs: {row} after {booked[row[0]]}")
    copy(books, "charges", CHARGE, new)
    copy(books, "segments", ["charge_id", "number", *SEGMENT], segments)
    return len(new)


def book_deltas(books, deltas):
    accounts = [delta["account_id"] for delta in deltas]
    heads = {row[0]: row[1:] for row in books.execute(
        "select account_id, currency, balance, sequence from balances where account_id = any(%s)", (accounts,))}
    new, repeats = [], []
    for delta in deltas:
        row, account = tuple(delta[name] for name in DELTA), delta["account_id"]
        currency, balance, sequence = heads.get(account, (delta["currency"], 0, 0))
        if delta["sequence"] <= sequence:
            repeats.append(row)
            continue
        if delta["sequence"] != sequence + 1:
            raise Broken(f"account {account}: delta {delta['sequence']} after {sequence}: {sequence + 1} is missing")
        if delta["currency"] != currency or balance + delta["amount"] != delta["balance_after"]:
            raise Broken(f"account {account}: delta {delta['sequence']}: {balance} {currency} and {delta['amount']} "
                         f"{delta['currency']} are not {delta['balance_after']}")
        heads[account] = delta["currency"], delta["balance_after"], delta["sequence"]
        new.append(row)
    copy(books, "ledger", DELTA, new)
    with books.cursor() as rows:
        rows.executemany("insert into balances values (%s, %s, %s, %s) on conflict (account_id) do update "
                         "set balance = excluded.balance, sequence = excluded.sequence",
                         [(account, *heads[account]) for account in {row[0] for row in new}])
    for row in repeats:
        booked = books.execute(f"select {', '.join(DELTA)} from ledger where account_id = %s and sequence = %s", row[:2]).fetchone()
        if booked != row:
            raise Broken(f"account {row[0]}: delta {row[1]} came again and differs: {row} after {booked}")
    return len(new)


def copy(books, table, columns, rows):
    with books.cursor() as cursor, cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as out:
        for row in rows:
            out.write_row(row)


# --- Proof --------------------------------------------------------------------------------------------------------------------------

def verify(arguments):
    """Whether the books agree with themselves and with the topics, as far as is booked. Differences go to stdout."""
    topics, differences = Topics(arguments), 0
    bounds = topics.bounds()
    with psycopg.connect(arguments.database) as books:
        books.execute("set transaction isolation level repeatable read")
        booked = {(topic, partition): offset for topic, partition, offset in books.execute("select * from offsets")}
        ends = {place: booked.get(place, 0) for place in bounds}
        books.execute("create temporary table told_charges on commit drop as select charge_id, payer_id, amount, currency from charges limit 0")
        books.execute("create temporary table told_deltas on commit drop as "
                      "select account_id, sequence, amount, currency, balance_after from ledger limit 0")
        columns = {"charges": ("told_charges", CHARGE[:1] + ["payer_id", "amount", "currency"]),
                   "balance-deltas": ("told_deltas", ["account_id", "sequence", "amount", "currency", "balance_after"])}
        for batch in topics.read({place: low for place, (low, _) in bounds.items()}, ends):
            for name, (table, fields) in columns.items():
                told = [tuple(record[field] for field in fields) for topic, _, _, record in batch if topics.names[topic] == name]
                copy(books, table, fields, told)
        books.execute("select set_config('told.complete', %s, true)", (str(all(low == 0 for low, _ in bounds.values())),))
        checks = dict(re.findall(r"^-- (.*)\n((?:.+\n)*.+;)$", (HERE / "checks.sql").read_text(encoding="utf-8"), re.MULTILINE))
        totals = checks.pop("totals")
        for what, query in checks.items():
            found = [text for text, in books.execute(query)]
            print(f"{'ok ' if not found else 'NOT'}  {what}", *found[:20], *(["..."] if found[20:] else []), sep="\n       ")
            differences += len(found)
        print("\n     currency, charged, taken for charges, other changes, balances, the pipeline's deltas")
        for *amounts, agree in books.execute(totals):
            print("ok " if agree else "NOT", *amounts, sep="  ")
            differences += not agree
    print(f"\n{differences} differences" if differences else "\nthe books are the pipeline's")
    return 1 if differences else 0


# --- A command

def top_up(arguments):
    """Asks for a change of a balance: it becomes one delta, however often it is sent under one id."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    command = {"command_id": arguments.id, "kind": "top_up", "account_id": arguments.account, "issued_by": arguments.by,
               "amount": arguments.amount, "effective_time": arguments.at or now}
    producer = Producer({**kafka(arguments), "enable.idempotence": True, "partitioner": "murmur2_random"})
    failed = []
    producer.produce(f"{arguments.topic_prefix}account-commands", key=arguments.account, value=json.dumps(command),
                     on_delivery=lambda error, _: failed.append(error) if error else None)
    if producer.flush(SECONDS) or failed:
        raise KafkaException(*failed or [KafkaError(KafkaError._TIMED_OUT)])


def kafka(arguments):
    return dict([("bootstrap.servers", arguments.brokers), *arguments.property])


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--brokers", required=True, help="bootstrap servers, HOST:PORT[,HOST:PORT]")
    common.add_argument("--topic-prefix", default="", metavar="PREFIX", help="of the deployment")
    common.add_argument("--property", action="append", default=[], type=lambda text: tuple(text.split("=", 1)), metavar="NAME=VALUE",
                        help="a setting of the Kafka client, such as security.protocol=SASL_SSL")
    reading = argparse.ArgumentParser(add_help=False, parents=[common])
    reading.add_argument("--database", required=True, metavar="URL", help="of PostgreSQL, as libpq reads it")
    reading.add_argument("--registry", metavar="URL", help="schema registry, if Rater uses one")
    reading.add_argument("--schemas", default=HERE / "../../schemas", type=pathlib.Path, metavar="FOLDER", help="with charge.avsc and balance-delta.avsc")
    parser = argparse.ArgumentParser(description="Books what Rater charged into PostgreSQL, each charge once.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", parents=[reading], help="book charges and deltas")
    running.add_argument("--until-end", action="store_true", help="end when all is booked that is there now")
    commands.add_parser("verify", parents=[reading], help="compare the books with themselves and with the topics")
    topping = commands.add_parser("top-up", parents=[common], help="put money on an account")
    for name, about in (("id", "of the command: the same id is done once"), ("account", "that gets it"), ("by", "account above it, on whose authority"),
                        ("amount", "in the account's currency"), ("at", "moment from which it holds (default: now)")):
        topping.add_argument(f"--{name}", required=name != "at", help=about)
    arguments, stopping = parser.parse_args(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(True))
    try:
        if arguments.command == "run":
            return run(arguments, stopping) or 0
        return verify(arguments) if arguments.command == "verify" else top_up(arguments) or 0
    except (Broken, psycopg.IntegrityError) as error:
        say(f"error: {error}")
        return 1
    except (KafkaException, psycopg.Error, OSError) as error:
        say(f"error: {error}")
        return 3


if __name__ == "__main__":
    sys.exit(main())
