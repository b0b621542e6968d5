"""The reference's headline run, published and checked by another language.

Usage: headline.py FILE

Publishes FILE with nothing but `file`, `entity` and `period`, as an export job would, and finds its
figures in PostgreSQL, in MongoDB and in the Parquet cache of a running worker; then sends it again.
Reads AURA_AMQP_URL, AURA_POSTGRES_URL, AURA_MONGODB_URL and AURA_CACHE_URL. Ends with 1 at the
first figure that is wrong.
"""

import hashlib
import json
import os
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlparse

import pg8000.native
import pika
import pyarrow as pa
import pyarrow.parquet as pq
import pymongo
from bson import Decimal128

ENTITY, PERIOD = "ABEX", "2022-06"
FINGERPRINT = "333692eda6e653126836877677bdf2e113075d6812c78212db31b8a4dbba8033"
SUM = Decimal("15883780430.629999993")
PATIENCE = 60


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")
    print(f"{what}: {found}")


def wait_for(what, look):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    sys.exit(f"waited {PATIENCE} s in vain: {what}")


class Broker:
    """Ten lines of an AMQP library: all that an export job needs."""

    def __init__(self, url):
        self.channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
        self.channel.confirm_delivery()
        self.receipts = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(self.receipts, "aura.events", "job.#")

    def publish(self, file):
        body = json.dumps({"file": file, "entity": ENTITY, "period": PERIOD})
        self.channel.basic_publish("aura.jobs", "job", body, mandatory=True)

    def receipt(self):
        def look():
            method, _, body = self.channel.basic_get(self.receipts, auto_ack=True)
            return (method.routing_key, json.loads(body)) if method else None

        return wait_for("a receipt", look)


def check_postgres(url, receipt):
    url = urlparse(url)
    db = pg8000.native.Connection(
        user=unquote(url.username or "postgres"),
        password=unquote(url.password) if url.password else None,
        host=url.hostname,
        port=url.port or 5432,
        database=url.path.lstrip("/"),
    )
    slice_of = "WHERE entity = :e AND period = :p"
    rows = db.run(f"SELECT count(*), sum(balance) FROM gl_accounts {slice_of}", e=ENTITY, p=PERIOD)
    check("gl_accounts, rows and sum", (rows[0][0], rows[0][1]), (501, SUM))
    columns = "status, fingerprint, inserted, updated, failed, rows, balance_sum"
    run = db.run(f"SELECT {columns} FROM ingestion_runs WHERE job_id = :j", j=receipt["job_id"])
    check("ingestion_runs", run[0], ["success", FINGERPRINT, 501, 0, 0, 501, SUM])
    waiting = "SELECT (SELECT count(*) FROM audit_outbox) + (SELECT count(*) FROM metadata_outbox) + (SELECT count(*) FROM cache_tasks)"
    wait_for("an empty outbox", lambda: db.run(waiting)[0][0] == 0)
    db.close()


def check_mongodb(database, receipt):
    document = database.gl_metadata.find_one({"_id": receipt["job_id"]})
    check("gl_metadata, fingerprint", document["file_fingerprint"], FINGERPRINT)
    profile = document["data_profile"]
    names = ["row_count", "column_count", "blank_balances", "zero_balance_accounts"]
    check("data_profile", [profile[name] for name in names], [501, 19, 130, 168])
    check("zero_balance_percentage", round(number(profile["zero_balance_percentage"]), 1), 33.5)
    stats = profile["balance_stats"]
    exact = {name: stats[name].to_decimal() for name in ("sum", "median", "min", "max")}
    expected = {
        "sum": SUM,
        "median": Decimal(0),
        "min": Decimal("-100231067950.04"),
        "max": Decimal("107650014987.03"),
    }
    check("balance_stats", exact, expected)
    rounded = [round(number(stats[name]), 2) for name in ("mean", "std")]
    check("mean and sample deviation", rounded, [42813424.34, 11329155663.93])


def number(value):
    return float(value.to_decimal() if isinstance(value, Decimal128) else value)


def check_chain(database):
    """Each event's hash is that of its canonical form, and the next event has it."""

    def plain(value):
        if isinstance(value, datetime):
            return value.replace(tzinfo=timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if isinstance(value, Decimal128):
            return str(value)
        if isinstance(value, dict):
            # RFC 8785 sorts by UTF-16 code units.
            pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
            return {name: plain(item) for name, item in pairs}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value

    before, count = "0" * 64, 0
    for event in database.audit_trail.find({"entity": ENTITY, "period": PERIOD}).sort("seq", 1):
        count += 1
        body = {name: value for name, value in event.items() if name not in ("_id", "hash")}
        text = json.dumps(plain(body), ensure_ascii=False, separators=(",", ":"))
        hashed = hashlib.sha256(text.encode()).hexdigest()
        if (event["seq"], event["prev_hash"], event["hash"]) != (count, before, hashed):
            sys.exit(f"the audit chain is broken at {event}")
        before = hashed
    check("audit chain, whole, events", count, 8)


def check_parquet(folder, receipt):
    path = Path(urlparse(folder).path if folder.startswith("file:") else folder)
    file = pq.ParquetFile(path / f"{ENTITY}_{PERIOD}_ingested.parquet")
    table = file.read()
    check("Parquet, rows", table.num_rows, 501)
    amounts = ["balance", "balance_carryforward", "debit_period", "credit_period"]
    for field in table.schema:
        expected = pa.decimal128(38, 16) if field.name in amounts else pa.string()
        if field.name == "source_line":
            expected = pa.int64()
        if field.type != expected:
            sys.exit(f"Parquet, {field.name}: {field.type}, expected {expected}")
    print(f"Parquet, types: {len(table.schema)} columns, balance {table.schema.field('balance').type}")
    check("Parquet, sum", sum(table.column("balance").to_pylist()), SUM)
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    codecs = {group.column(at).compression for group in groups for at in range(group.num_columns)}
    check("Parquet, compression", codecs, {"SNAPPY"})
    values = {value.decode() for value in (file.metadata.metadata or {}).values()}
    check("Parquet, names job and fingerprint", {receipt["job_id"], FINGERPRINT} <= values, True)


def main():
    file = sys.argv[1]
    broker = Broker(os.environ["AURA_AMQP_URL"])
    broker.publish(file)
    key, receipt = broker.receipt()
    check("receipt", (key, receipt["status"], receipt["inserted"]), ("job.success.-", "success", 501))
    check("fingerprint", receipt["fingerprint"], FINGERPRINT)
    check("balance_sum", Decimal(receipt["balance_sum"]), SUM)
    check_postgres(os.environ["AURA_POSTGRES_URL"], receipt)
    url = os.environ["AURA_MONGODB_URL"]
    database = pymongo.MongoClient(url).get_default_database(default="aura")
    check_mongodb(database, receipt)
    check_chain(database)
    check_parquet(os.environ["AURA_CACHE_URL"], receipt)
    broker.publish(file)
    key, receipt = broker.receipt()
    check("sent again", (key, receipt["reason"]), ("job.skipped.-", "duplicate"))
    print("the headline run is reproduced")


if __name__ == "__main__":
    main()
