"""The audit trail and the metadata in MongoDB: copied, put back, and made to fit a restored PostgreSQL.

PostgreSQL is the truth: of each audit chain it knows how far it goes. A copy is what mongodump writes, too: one file of
BSON documents for each collection. What runs it has AURA_MONGODB_URL and AURA_POSTGRES_URL set, and psql on its path.

    trail.py copy FOLDER        Writes audit_trail.bson and gl_metadata.bson.
    trail.py put-back FOLDER    Inserts what the collections lack of them.
    trail.py align              Sets aside what PostgreSQL does not know (any more), and names the jobs.
"""

import contextlib
import datetime
import functools
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import urllib.parse

import bson
import pymongo
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

COLLECTIONS = ("audit_trail", "gl_metadata")
BATCH = 1000


@contextlib.contextmanager
def certificates():
    """What the settings of TLS are in the driver's words, which wants certificate and key in one file."""
    options = {}
    if ca := os.environ.get("AURA_TLS_CA_PATH"):
        options["tlsCAFile"] = ca
    with tempfile.NamedTemporaryFile() as both:  # which nobody else may read
        if certificate := os.environ.get("AURA_TLS_CERT_PATH"):
            for path in (certificate, os.environ["AURA_TLS_KEY_PATH"]):
                both.write(pathlib.Path(path).read_bytes() + b"\n")
            both.flush()
            options["tlsCertificateKeyFile"] = both.name
        yield options


@functools.cache
def database():
    url = os.environ["AURA_MONGODB_URL"]
    wants_tls = any(word in url.lower() for word in ("tls=true", "ssl=true"))
    with certificates() as options:
        client = pymongo.MongoClient(
            url, document_class=RawBSONDocument, serverSelectionTimeoutMS=10000, **(options if wants_tls else {})
        )
    return client.get_default_database(
        read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority", j=True)
    )


def ask(query):
    """The rows of a query, each one JSON value."""
    url = urllib.parse.urlsplit(os.environ["AURA_POSTGRES_URL"])
    # What else stands behind the ? is Aura's driver's.
    url = urllib.parse.urlunsplit(url._replace(query=""))
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", query]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in told.splitlines()]


def copy(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in COLLECTIONS:
        number, partial = 0, folder / f"{name}.bson.partial"
        with open(partial, "wb") as file:
            for document in database()[name].find({}, batch_size=BATCH):
                file.write(document.raw)
                number += 1
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder / f"{name}.bson")
        print(f"{name}: {number} documents")


def documents(path):
    with open(path, "rb") as file:
        while head := file.read(4):
            (size,) = struct.unpack("<i", head)
            rest = file.read(size - 4)
            if len(head) + len(rest) != size:
                sys.exit(f"{path} ends in the middle of a document")
            yield RawBSONDocument(head + rest)


def insert(collection, batch):
    """Inserts a batch; what is there already stays. Returns how many were inserted."""
    try:
        collection.insert_many(batch, ordered=False)
        return len(batch)
    except BulkWriteError as error:
        others = [fault for fault in error.details["writeErrors"] if fault["code"] != 11000]
        if others:
            sys.exit(f"MongoDB refuses a document: {others[0]['errmsg']}")
        return error.details["nInserted"]


def put_back(folder):
    for name in COLLECTIONS:
        inserted, batch, collection = 0, [], database()[name]
        for document in documents(folder / f"{name}.bson"):
            batch.append(document)
            if len(batch) == BATCH:
                inserted += insert(collection, batch)
                batch = []
        inserted += insert(collection, batch) if batch else 0
        print(f"{name}: {inserted} documents put back")


def align():
    """Moves into other collections what lies behind the heads of the chains, and the metadata of unknown jobs."""
    now, base = datetime.datetime.now(datetime.timezone.utc), database()
    chains = ask("SELECT json_build_array(entity, period, seq) FROM audit_chains")
    heads = {(entity, period): seq for entity, period, seq in chains}
    jobs = set(ask("SELECT to_json(job_id) FROM ingestion_runs WHERE status = 'success'"))
    affected = {}

    def set_aside(name, document):
        kept = {"_id": document["_id"], "set_aside_at": now, "document": document}
        base[f"{name}_set_aside"].replace_one({"_id": document["_id"]}, kept, upsert=True)
        base[name].delete_one({"_id": document["_id"]})

    events = 0
    for document in base["audit_trail"].find({}, batch_size=BATCH):
        event = bson.decode(document.raw)
        if event["seq"] > heads.get((event["entity"], event["period"]), 0):
            set_aside("audit_trail", document)
            events += 1
            if event.get("job_id"):
                affected[event["job_id"]] = f"{event['entity']} {event['period']}"
    metadata = 0
    for document in base["gl_metadata"].find({}, batch_size=BATCH):
        if document["_id"] not in jobs:
            set_aside("gl_metadata", document)
            metadata += 1
    print(f"set aside: {events} events, {metadata} documents of metadata")
    for job_id, where in sorted(affected.items(), key=lambda item: item[1]):
        print(f"to be published again: {job_id} {where}")


def main():
    command, *arguments = sys.argv[1:]
    if command == "copy":
        copy(pathlib.Path(arguments[0]))
    elif command == "put-back":
        put_back(pathlib.Path(arguments[0]))
    elif command == "align":
        align()
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
