"""Publishes one job: publish.py URL FILE ENTITY PERIOD [JOB_ID]. Needs pika.

Prints the job's id. If it fails, run it again with that id: it may have arrived, and the same id is the same job.
"""

import json
import sys
import uuid

import pika

url, file, entity, period = sys.argv[1:5]
job = {"job_id": (sys.argv[5:] or [str(uuid.uuid4())])[0], "file": file, "entity": entity, "period": period}
print(job["job_id"], flush=True)
with pika.BlockingConnection(pika.URLParameters(url)) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    persistent = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    # Raises unless the broker has confirmed that a queue holds it.
    channel.basic_publish("aura.jobs", "job", json.dumps(job), persistent, mandatory=True)
