"""Reads the receipts of a batch until so many have come: receipts.py URL BATCH_ID COUNT. Needs pika.

Prints `listening` once none can be missed (publish after that), then a line a receipt. Ends with 1 if a job failed.
"""

import json
import sys

import pika

url, batch, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen = {}
with pika.BlockingConnection(pika.URLParameters(url)) as connection:
    channel = connection.channel()
    # A name of its own and durable=True would keep receipts while nobody reads.
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "aura.events", f"job.*.{batch}")
    print("listening", flush=True)
    for method, _, body in channel.consume(queue):
        receipt = json.loads(body)
        # A receipt may come twice; the last one of a job counts.
        seen[receipt["job_id"]] = receipt["status"]
        error = receipt["error"] or {}
        print(receipt["status"], receipt["entity"], receipt["period"], receipt["rows"], error.get("code", ""), flush=True)
        channel.basic_ack(method.delivery_tag)
        if len(seen) == count:
            break
    channel.cancel()
sys.exit("failed" in seen.values())
