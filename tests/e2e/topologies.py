"""topologies.py - Redis in numbers: a Sentinel set, a Cluster, a server over TLS.

Each has what a Redis of servers.py has for submitting and looking, wherever its master is.
Servers listen on an address of 127.0.0.0/8 that no outgoing connection has, so that a free port
stays free until it is taken.
"""

import os
import pathlib
import shutil
import socket
import subprocess

import redis

from process import Process, eventually
from servers import Redis

HOST = "127.0.0.3"
OPTIONS = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no",
           "--loglevel", "notice", "--bind", HOST, "--protected-mode", "no",
           "--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0"]


def free_port():
    """Free now, with the one that a Cluster's bus takes (it must not be 10000 higher)."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def program():
    return shutil.which("redis-server") or shutil.which("valkey-server")


class Server:
    """One redis-server of several, by TCP."""

    def __init__(self, directory, name, *options, tls=None):
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir(parents=True)
        self.name = name
        self.port = free_port()
        self.options = [str(self.port) if o == "PORT" else str(o) for o in options]
        secure = {"ssl": True, "ssl_ca_certs": str(tls.cert), "ssl_certfile": str(tls.cert),
                  "ssl_keyfile": str(tls.key), "ssl_check_hostname": False} if tls else {}
        self.client = redis.Redis(HOST, self.port, socket_timeout=5, **secure)
        self.process = None
        self.start()

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def command(self):
        return [program(), "--port", self.port, "--dir", self.directory, *OPTIONS,
                "--replica-announce-ip", HOST, "--replica-announce-port", self.port,
                *self.options]

    def start(self):
        self.process = Process(self.name, self.command())
        eventually(self.up, f"{self.name} answers")

    def up(self):
        try:
            return self.client.ping()
        except redis.BusyLoadingError:
            return False
        except redis.RedisError:
            assert self.process.running(), self.process.text()
            return False

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process.running():
            self.process.kill()
        self.client.close()


class Many(Redis):
    """What tests do with a queue, where the master may change: `client` leads to the one that
    there is now."""

    def __init__(self, directory):  # pylint: disable=super-init-not-called
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.servers = []

    def kill(self):
        for server in self.servers:
            server.kill()

    def stop(self):
        for server in self.servers:
            server.stop()

    def server_at(self, host, port):
        found = [s for s in self.servers if s.port == int(port)]
        assert found, f"nobody listens on {host}:{port}"
        return found[0]

    @property
    def client(self):
        return self.master().client

    def master(self):
        raise NotImplementedError


class SentinelSet(Many):
    """A master, replicas, and three Sentinels that agree quickly."""

    NAME = "mymaster"

    def __init__(self, directory, replicas=1, *options):
        super().__init__(directory)
        first = Server(directory, "master", *options)
        self.servers.append(first)
        for i in range(replicas):
            self.servers.append(
                Server(directory, f"replica-{i}", "--replicaof", f"{HOST} {first.port}", *options))
        eventually(lambda: self.replicas_in_step(first, replicas), "replicas are in step")
        self.sentinels = [self.sentinel(i, first) for i in range(3)]
        eventually(lambda: all(self.ready(s, replicas) for s in self.sentinels),
                   "Sentinels know each other and the replicas")
        self.url = ("redis-sentinel://" + ",".join(f"{HOST}:{p}" for p, _, _ in self.sentinels) +
                    f"/{self.NAME}")

    @staticmethod
    def replicas_in_step(master, count):
        lines = master.client.info("replication")
        return sum(1 for k, v in lines.items()
                   if k.startswith("slave") and isinstance(v, dict) and v["state"] == "online"
                   ) == count

    def sentinel(self, number, master):
        port = free_port()
        conf = self.directory / f"sentinel-{number}.conf"
        conf.write_text(
            f"port {port}\nbind {HOST}\nprotected-mode no\ndir {self.directory}\n"
            f"sentinel announce-ip {HOST}\nsentinel announce-port {port}\n"
            f"sentinel monitor {self.NAME} {HOST} {master.port} 2\n"
            f"sentinel down-after-milliseconds {self.NAME} 1000\n"
            f"sentinel failover-timeout {self.NAME} 3000\n")
        process = Process(f"sentinel-{number}", [program(), conf, "--sentinel"])
        return port, process, redis.Redis(HOST, port, socket_timeout=5)

    def ready(self, sentinel, replicas):
        _, process, client = sentinel
        try:
            client.execute_command("SENTINEL", "CKQUORUM", self.NAME)
            seen = client.execute_command("SENTINEL", "MASTER", self.NAME)
        except redis.RedisError:
            assert process.running(), process.text()
            return False
        pairs = seen if isinstance(seen, dict) else dict(zip(seen[::2], seen[1::2]))
        return (int(pairs.get(b"num-other-sentinels", pairs.get("num-other-sentinels", 0))) == 2
                and int(pairs.get(b"num-slaves", pairs.get("num-slaves", 0))) == replicas)

    def master(self):
        for _, process, client in self.sentinels:
            if process.running():
                host, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                                                    self.NAME)
                return self.server_at(host, port)
        raise AssertionError("no Sentinel lives")

    def stop(self):
        for _, process, client in self.sentinels:
            process.kill()
            client.close()
        super().stop()


class Cluster(Many):
    """Three masters, each with `replicas`."""

    SLOTS = 16384

    def __init__(self, directory, replicas=0):
        super().__init__(directory)
        for i in range(3 * (1 + replicas)):
            self.servers.append(Server(
                directory, f"node-{i}", "--cluster-enabled", "yes",
                "--cluster-node-timeout", 2000 if replicas else 15000,
                "--cluster-port", free_port(),
                "--cluster-announce-ip", HOST, "--cluster-replica-validity-factor", "0"))
        self.cli("create", *[s.address for s in self.servers], "--cluster-replicas", str(replicas),
                 "--cluster-yes")
        eventually(lambda: all(self.agrees(s) for s in self.servers), "the Cluster stands")
        self.url = "redis-cluster://" + ",".join(s.address for s in self.servers)
        self.slot = self.servers[0].client.execute_command("CLUSTER", "KEYSLOT", self.key("meta"))

    def agrees(self, server):
        info = server.client.execute_command("CLUSTER", "INFO")
        text = info if isinstance(info, dict) else dict(
            line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        known = len(self.node_lines(server))
        return text["cluster_state"] == "ok" and known == len(self.servers)

    @staticmethod
    def node_lines(server):
        """CLUSTER NODES as words, by server: id, address, flags, ..., slots."""
        text = server.client.execute_command("CLUSTER", "NODES")
        if isinstance(text, dict):  # redis-py has taken it apart
            return [[v["node_id"], k, v["flags"], v["master_id"], "", "", "", "",
                     *["-".join(s) for s in v["slots"]]] for k, v in text.items()]
        return [line.split() for line in text.decode().splitlines()]

    def cli(self, *argv):
        done = subprocess.run(
            ["redis-cli", "--cluster", *[str(a) for a in argv]], capture_output=True, text=True,
            timeout=120, stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ident(self, server):
        return server.client.execute_command("CLUSTER", "MYID").decode()

    def owner_seen_by(self, server):
        """Who owns the partition's slot, as this server sees it; None while nobody does."""
        for entry in server.client.execute_command("CLUSTER", "SLOTS"):
            first, last, node = entry[0], entry[1], entry[2]
            if first <= self.slot <= last:
                return self.server_at(node[0], node[1])
        return None

    def living(self):
        return [s for s in self.servers if s.process.running()]

    def master(self):
        found = []

        def agreed():
            found[:] = [self.owner_seen_by(s) for s in self.living()]
            return None not in found and len({s.port for s in found}) == 1 and \
                found[0].process.running()
        eventually(agreed, "all nodes name the same living owner of the slot")
        return found[0]

    def masters(self):
        found = []
        for entry in self.living()[0].client.execute_command("CLUSTER", "SLOTS"):
            server = self.server_at(*entry[2][:2])
            if server not in found:
                found.append(server)
        return found

    def move_slot(self, target, halfway=lambda owner: None):
        """Reshards the partition's slot, with all its keys, as redis-cli does it: the target
        imports, the owner migrates, keys move in batches, everybody is told."""
        owner = self.master()
        assert owner is not target
        target.client.execute_command("CLUSTER", "SETSLOT", self.slot, "IMPORTING",
                                      self.ident(owner))
        owner.client.execute_command("CLUSTER", "SETSLOT", self.slot, "MIGRATING",
                                     self.ident(target))
        keys = owner.client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 3)
        owner.client.execute_command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)
        halfway(owner)
        while keys:
            keys = owner.client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 10)
            if keys:
                owner.client.execute_command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS",
                                             *keys)
        for server in (target, owner, *[s for s in self.living() if s not in (target, owner)]):
            if "master" in server.client.info("replication")["role"]:
                server.client.execute_command("CLUSTER", "SETSLOT", self.slot, "NODE",
                                              self.ident(target))


class TlsRedis(Redis):
    """One redis-server that speaks TLS only; with `ask` it wants to see a certificate of ours."""

    def __init__(self, directory, certificate, ask=False):  # pylint: disable=super-init-not-called
        self.directory = pathlib.Path(directory)
        self.server = Server(
            directory, "tls", "--port", "0", "--tls-port", "PORT", "--tls-cert-file",
            certificate.cert, "--tls-key-file", certificate.key, "--tls-ca-cert-file",
            certificate.cert, "--tls-auth-clients", "yes" if ask else "no",
            tls=certificate)
        self.client = self.server.client
        self.address = f"rediss://{self.server.address}/0"
        # The certificate is for localhost and 127.0.0.1.
        self.trust = f"ca={certificate.cert}&name=localhost"
        self.own = f"cert={certificate.cert}&key={certificate.key}"
        self.url = f"{self.address}?{self.trust}" + (f"&{self.own}" if ask else "")
        self.process = self.server.process

    def kill(self):
        self.server.kill()

    def stop(self):
        self.server.stop()
