"""Asks the servers of a local cluster whether they are ready.

Standard library only, so that nothing has to be installed to ask.

    cluster.py ready NETWORK HAPROXY_PORT SERVER...
        SERVER is such as 2/rabbitmq, or haproxy. One line for each: its name, a tab, `ready`
        with its role, or what is amiss.
    cluster.py initiate NETWORK     Makes a replica set of the three mongods.
"""

import base64
import concurrent.futures
import http.client
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import probe

MACHINES = (1, 2, 3)


def ask(host, port, path, method="GET", body=None, headers=None):
    connection = http.client.HTTPConnection(host, port, timeout=probe.TIMEOUT_SECONDS)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def etcd(host):
    status, body = ask(host, 2379, "/health")
    healthy = status == 200 and json.loads(body).get("health") == "true"
    return "ready" if healthy else f"is not healthy ({status})"


def patroni(host):
    status, body = ask(host, 8008, "/patroni")
    told = json.loads(body)
    if told.get("state") != "running":
        return f"PostgreSQL is {told.get('state')}"
    if told.get("role") in ("master", "primary"):
        standbys = [s for s in told.get("replication", []) if s["sync_state"] == "sync"]
        if not standbys:
            return "primary, without a synchronous standby"
        return f"ready: primary on timeline {told['timeline']}, synchronous to {standbys[0]['application_name']}"
    return "ready: standby" + (", synchronous" if told.get("sync_standby") else "")


def rabbitmq(host):
    token = base64.b64encode(b"aura:aura").decode()
    status, body = ask(host, 15672, "/api/nodes", headers={"Authorization": f"Basic {token}"})
    if status != 200:
        return f"the management API answered {status}"
    nodes = json.loads(body)
    running = [node for node in nodes if node.get("running")]
    others = next((node.get("partitions", []) for node in nodes if node["name"].endswith("@" + host)), [])
    if others:
        return f"partitioned from {len(others)} nodes, sees {len(running)} of {len(MACHINES)}"
    if len(running) < len(MACHINES):
        return f"sees {len(running)} of {len(MACHINES)} nodes"
    return "ready"


def mongodb(host):
    hello = probe.mongo_command(27017, {"hello": 1}, host=host)
    if hello.get("isWritablePrimary"):
        return "ready: primary"
    if hello.get("secondary"):
        return "ready: secondary"
    return "not initiated" if hello.get("isreplicaset") else "is neither primary nor secondary yet"


def haproxy(port):
    status, body = ask(probe.LOOPBACK, port, "/;csv")
    rows = [line.split(",") for line in body.decode().splitlines()[1:] if line]
    servers = {f"{row[0]}/{row[1]}" for row in rows if len(row) > 17 and row[17].startswith("UP")}
    leads = [name for name in servers if name.startswith("postgres/pg")]
    if status != 200 or len(leads) != 1:
        return f"sees {len(leads)} PostgreSQL primaries"
    nodes = [name for name in servers if name.startswith("rabbitmq/rabbit")]
    return "ready" if len(nodes) == len(MACHINES) else f"sees {len(nodes)} RabbitMQ nodes"


def verdict(network, port, server):
    try:
        if server == "haproxy":
            return haproxy(int(port))
        machine, kind = server.split("/")
        checks = {"etcd": etcd, "patroni": patroni, "rabbitmq": rabbitmq, "mongodb": mongodb}
        return checks[kind](f"{network}.{machine}")
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        return f"does not answer ({error})"


def ready(network, port, servers):
    with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
        verdicts = pool.map(lambda server: verdict(network, port, server), servers)
        for server, told in zip(servers, verdicts):
            print(f"{server}\t{told}")


def initiate(network):
    members = [{"_id": n, "host": f"{network}.{n}:27017"} for n in MACHINES]
    settings = {"electionTimeoutMillis": 5000}
    wanted = {"_id": "rs0", "members": members, "settings": settings}
    reply = probe.mongo_command(27017, {"replSetInitiate": wanted}, host=f"{network}.1")
    if reply.get("ok") != 1 and reply.get("codeName") != "AlreadyInitialized":
        sys.exit(f"mongod refused to initiate the replica set: {reply.get('errmsg')}")


def main():
    command, *arguments = sys.argv[1:]
    if command == "ready":
        ready(arguments[0], arguments[1], arguments[2:])
    elif command == "initiate":
        initiate(arguments[0])
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
