"""Asks the local services whether they are ready, over their own protocols.

Standard library only, so that nothing has to be installed to ask.

    probe.py ready rabbitmq:AMQP_PORT:MANAGEMENT_PORT mongodb:PORT
        One line per service: its name, a tab, `ready` or what is amiss.
    probe.py initiate PORT      Makes the mongod on PORT a replica set of one.
    probe.py mongodb-users PORT CERTIFICATES ROLES
        The same over TLS, with the users and the roles of deploy/roles/mongodb.json.
    probe.py free-ports COUNT   Prints free loopback ports.
    probe.py is-epmd PORT       Whether an Erlang port mapper listens there.
    probe.py stop-epmd PORT     Asks one to stop; it declines while nodes use it.
    probe.py rabbitmq-user PORT NAME
        Makes a user of the broker whose management is on PORT, with what deploy/roles/rabbitmq
        --print says on standard input and the password `aura`.
    probe.py taken PORT...      Prints `port pid command` for each port in use.
"""

import base64
import glob
import http.client
import json
import os
import random
import socket
import ssl
import struct
import sys
import time

LOOPBACK = "127.0.0.1"
TIMEOUT_SECONDS = 2.0


# BSON and OP_MSG, as far as `hello` and `replSetInitiate` need them.


def encode(document):
    body = b""
    for key, value in document.items():
        name = key.encode() + b"\0"
        if isinstance(value, int):
            body += b"\x10" + name + struct.pack("<i", value)
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + name + struct.pack("<i", len(text)) + text
        elif isinstance(value, dict):
            body += b"\x03" + name + encode(value)
        elif isinstance(value, list):
            items = {str(index): item for index, item in enumerate(value)}
            body += b"\x04" + name + encode(items)
        else:
            raise TypeError(f"no BSON form for {value!r}")
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(data):
    """Reads a document's scalar fields; nested ones and rarer types are skipped."""
    fixed = {0x01: 8, 0x07: 12, 0x09: 8, 0x0A: 0, 0x11: 8, 0x12: 8, 0x13: 16}
    document, at = {}, 4
    while data[at] != 0:
        kind = data[at]
        end = data.index(0, at + 1)
        key, at = data[at + 1 : end].decode(), end + 1
        if kind == 0x02:
            (size,) = struct.unpack_from("<i", data, at)
            document[key] = data[at + 4 : at + 3 + size].decode()
            at += 4 + size
        elif kind in (0x03, 0x04):
            at += struct.unpack_from("<i", data, at)[0]
        elif kind == 0x05:
            at += 5 + struct.unpack_from("<i", data, at)[0]
        elif kind == 0x08:
            document[key] = data[at] == 1
            at += 1
        elif kind == 0x10:
            (document[key],) = struct.unpack_from("<i", data, at)
            at += 4
        elif kind in fixed:
            if kind == 0x01:
                (document[key],) = struct.unpack_from("<d", data, at)
            at += fixed[kind]
        else:
            raise ValueError(f"BSON type {kind:#x} of {key} is not known here")
    return document


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the server closed the connection")
        data += chunk
    return data


def connect(port, tls=None, host=LOOPBACK):
    """A connection to a port, over TLS with the certificates of a folder if one is given."""
    plain = socket.create_connection((host, port), TIMEOUT_SECONDS)
    if tls is None:
        return plain
    context = ssl.create_default_context(cafile=f"{tls}/ca.crt")
    context.load_cert_chain(f"{tls}/aura.crt", f"{tls}/aura.key")
    return context.wrap_socket(plain, server_hostname=host)


def mongo_command(port, command, tls=None, database="admin", host=LOOPBACK):
    body = struct.pack("<i", 0) + b"\0" + encode({**command, "$db": database})
    header = struct.pack("<iiii", 16 + len(body), 1, 0, 2013)
    with connect(port, tls, host) as connection:
        connection.settimeout(TIMEOUT_SECONDS if "hello" in command else 10)
        connection.sendall(header + body)
        (size,) = struct.unpack("<i", read_exactly(connection, 4))
        reply = read_exactly(connection, size - 4)
    return decode(reply[12 + 4 + 1 :])


def check_mongodb(port, tls=None):
    hello = mongo_command(int(port), {"hello": 1}, tls)
    if hello.get("isWritablePrimary"):
        return "ready"
    if hello.get("isreplicaset"):
        return "not initiated"
    return "has no primary yet"


def mongodb_users(port, tls, roles):
    """Makes the mongod on PORT, which lets anybody in, a replica set with Aura's roles and users."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if (verdict := check_mongodb(port, tls)) == "ready":
                break
            if verdict == "not initiated":
                initiate(port, tls)
        except OSError as error:
            verdict = str(error)
        if time.monotonic() > deadline:
            sys.exit(f"mongod does not become ready: {verdict}")
        time.sleep(0.1)
    with open(roles, encoding="utf-8") as file:
        commands = json.loads(file.read().replace("$DB", "aura"))
    for user, role in (("worker", "worker"), ("console", "reader"), ("reader", "reader")):
        commands.append({"createUser": f"aura_{user}", "pwd": "aura", "roles": [f"aura_{role}"]})
    steps = [("aura", command) for command in commands]
    root = {"role": "root", "db": "admin"}
    steps.append(("admin", {"createUser": "aura", "pwd": "aura", "roles": [root]}))
    for database, command in steps:
        reply = mongo_command(int(port), command, tls, database)
        # Namespace, role and user may be there from a start that was cut off.
        if reply.get("ok") != 1 and reply.get("code") not in (48, 51002, 51003):
            sys.exit(f"mongod refused {next(iter(command))}: {reply.get('errmsg')}")


def initiate(port, tls=None):
    member = {"_id": 0, "host": f"{LOOPBACK}:{port}"}
    reply = mongo_command(
        int(port), {"replSetInitiate": {"_id": "rs0", "members": [member]}}, tls
    )
    if reply.get("ok") != 1 and reply.get("codeName") != "AlreadyInitialized":
        sys.exit(f"mongod refused to initiate the replica set: {reply.get('errmsg')}")


def manage(port, method, path, body=None):
    """The status with which the management API on PORT answers."""
    management = http.client.HTTPConnection(
        LOOPBACK, int(port), timeout=TIMEOUT_SECONDS if method == "GET" else 10
    )
    token = base64.b64encode(b"aura:aura").decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    management.request(method, f"/api/{path}", body and json.dumps(body), headers)
    return management.getresponse().status


def rabbitmq_user(port, name):
    rights = json.load(sys.stdin)
    steps = [
        (f"users/{name}", {"password": "aura", "tags": ""}),
        (f"permissions/%2F/{name}", rights["permissions"]),
        (f"topic-permissions/%2F/{name}", rights["topic_permissions"]),
    ]
    for path, body in steps:
        status = manage(port, "PUT", path, body)
        if status not in (201, 204):
            sys.exit(f"the management API answered {status} to {path}")


def check_rabbitmq(amqp_port, management_port, tls=None):
    with connect(int(amqp_port), tls) as amqp:
        amqp.settimeout(TIMEOUT_SECONDS)
        amqp.sendall(b"AMQP\0\0\x09\x01")
        if read_exactly(amqp, 1) != b"\x01":
            return "the AMQP port does not speak AMQP 0-9-1"
    status = manage(management_port, "GET", "whoami")
    return "ready" if status == 200 else f"the management API answered {status}"


def epmd_request(port, request):
    """Sends a one-letter request to the Erlang port mapper on PORT; its answer, if any."""
    try:
        with socket.create_connection((LOOPBACK, int(port)), TIMEOUT_SECONDS) as epmd:
            epmd.settimeout(TIMEOUT_SECONDS)
            epmd.sendall(struct.pack(">H", 1) + request)
            return epmd.recv(4)
    except OSError:
        return b""


def is_epmd(port):
    # The answer to NAMES starts with the mapper's own port.
    return epmd_request(port, b"n") == struct.pack(">I", int(port))


def stop_epmd(port):
    if is_epmd(port) and epmd_request(port, b"k")[:2] == b"OK":
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not is_free(int(port)) and time.monotonic() < deadline:
            time.sleep(0.02)


def ready(services):
    checks = {"rabbitmq": check_rabbitmq, "mongodb": check_mongodb}
    for service in services:
        name, *where = service.split(":")
        try:
            verdict = checks[name](*where)
        except (OSError, http.client.HTTPException, ValueError) as error:
            verdict = f"does not answer ({error})"
        print(f"{name}\t{verdict}")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_ports(count):
    # Below the range that the kernel hands out to clients and to port 0, so
    # that a stack which is down seldom loses its ports; and apart from the
    # services' own default ports.
    defaults = {25672, *range(27017, 27021), 28017}
    candidates = [port for port in range(20000, 32000) if port not in defaults]
    random.shuffle(candidates)
    found = []
    for port in candidates:
        if is_free(port):
            found.append(str(port))
        if len(found) == count:
            print(*found)
            return
    sys.exit("no free loopback ports between 20000 and 32000")


def listeners():
    """Maps each listening TCP port to the socket inodes behind it."""
    ports = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as lines:
                rows = [line.split() for line in list(lines)[1:]]
        except OSError:
            continue
        for row in rows:
            if row[3] == "0A":
                port = int(row[1].rsplit(":", 1)[1], 16)
                ports.setdefault(port, set()).add(f"socket:[{row[9]}]")
    return ports


def owner(inodes):
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                pid = link.split("/")[2]
                with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                    return f"{pid} {comm.read().strip()}"
        except OSError:
            continue
    return "one that only its owner may look into"


def taken(ports):
    busy = [int(port) for port in ports if not is_free(int(port))]
    inodes = listeners() if busy else {}
    for port in busy:
        print(port, owner(inodes.get(port, set())))


def main():
    command, *arguments = sys.argv[1:]
    if command == "ready":
        ready(arguments)
    elif command == "initiate":
        initiate(arguments[0])
    elif command == "is-epmd":
        sys.exit(0 if is_epmd(arguments[0]) else 1)
    elif command == "stop-epmd":
        stop_epmd(arguments[0])
    elif command == "free-ports":
        free_ports(int(arguments[0]))
    elif command == "mongodb-users":
        mongodb_users(*arguments)
    elif command == "rabbitmq-user":
        rabbitmq_user(*arguments)
    elif command == "taken":
        taken(arguments)
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
