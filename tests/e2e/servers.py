"""servers.py - private Redis, Postfix, Knot and aiosmtpd instances of end-to-end tests.

Each lives in a directory of its own, listens on a unix socket or a port that was free, and
has nothing to do with an instance of the machine.
"""

import asyncio
import json
import os
import pathlib
import pwd
import shutil
import socket
import ssl
import subprocess
import threading

import redis
from aiosmtpd.smtp import SMTP

from process import Process, eventually


def free_port(host="127.0.0.1", kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def answers(port, host="127.0.0.1"):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) == 0


class Redis:
    """redis-server on a unix socket, AOF with an fsync for every write unless told otherwise."""

    PREFIX = "volley:{0}:"

    def __init__(self, directory, fsync="always"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.fsync = fsync
        self.path = self.directory / "redis.sock"
        self.url = f"unix:{self.path}"
        self.process = None
        self.client = redis.Redis(unix_socket_path=str(self.path))
        self.start()

    def start(self):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        self.process = Process("redis", [
            program, "--port", "0", "--unixsocket", self.path, "--dir", self.directory,
            "--appendonly", "yes", "--appendfsync", self.fsync, "--save", "",
            "--daemonize", "no", "--loglevel", "notice"])
        eventually(self.up, "Redis answers")

    def up(self):
        try:
            return self.client.ping()
        except redis.RedisError:
            assert self.process.running(), self.process.text()
            return False

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process.running():
            self.process.terminate()
        self.client.close()

    def key(self, rest):
        return self.PREFIX + rest

    # ---- submitting, as an application would ----

    def submit(self, *fields, **more):
        """FCALL volley_submit; names in `more` as fields, "from_" for from.  The job id."""
        argv = list(fields)
        for name, value in more.items():
            argv += [name.rstrip("_"), value]
        return self.client.fcall("volley_submit", 1, self.key("meta"), *argv).decode()

    def store(self, ident, eml, **more):
        argv = ["id", ident, "eml", eml]
        for name, value in more.items():
            argv += [name.rstrip("_"), value]
        return self.client.fcall("volley_store", 1, self.key("meta"), *argv)

    # ---- what came of it ----

    def events(self):
        """All events of the stream, in order."""
        found = []
        for _, fields in self.client.xrange(self.key("events")):
            for line in fields.get(b"events", b"").splitlines():
                found.append(json.loads(line))
        return found

    def finals(self):
        return [e for e in self.events() if e.get("final")]

    def waiting(self):
        """How many jobs the queue holds, wherever they are."""
        count = 0
        for key in self.client.scan_iter(self.PREFIX + "*", count=1000):
            name = key.decode()[len(self.PREFIX):]
            if name.startswith(("in:", "bin:")):
                count += self.client.llen(key)
            elif name.startswith("due:"):
                count += self.client.zcard(key)
            elif name.startswith("owned:"):
                count += sum(1 for field in self.client.hkeys(key) if not field.startswith(b"#"))
        return count


class Inbox:
    """aiosmtpd: no PIPELINING, no CHUNKING, one command at a time."""

    def __init__(self, tls=None):
        self.messages = []  # (mail from, [rcpt to], bytes)
        self.refuse = {}  # recipient -> reply
        self.port = None
        self._tls = tls
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(
            lambda: SMTP(self, hostname="inbox.test", tls_context=self._tls, loop=self._loop),
            "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, _server, _session, envelope):
        content = envelope.original_content or envelope.content
        self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), content))
        return "250 2.0.0 taken"

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


POSTFIX_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
smtp unix - - n - - smtp
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

POSTFIX_SETTINGS = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log/mail.log
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = {tls}
virtual_mailbox_domains = inline:{{ {{postfix.test=x}} }}
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {dir}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
smtpd_recipient_restrictions = inline:{{ {{nobody@postfix.test=REJECT no such mailbox}} }} permit
enable_long_queue_ids = yes
"""


POSTFIX_RELAY = """\
relayhost = {relayhost}
default_destination_concurrency_limit = 1
initial_destination_concurrency = 1
smtp_connection_cache_destinations = {relayhost}
smtp_connection_reuse_count_limit = 0
smtp_tls_security_level = none
"""


class Postfix:
    """A whole Postfix that puts everything for postfix.test into one maildir.  Needs root.

    What else it takes it hands to `relayhost`, on one connection at a time, which it keeps.
    """

    def __init__(self, directory, certificate, tls="may", relayhost=None,
                 settings=""):
        self.directory = pathlib.Path(directory)
        conf = self.directory / "conf"
        for name in ("conf", "queue", "data", "log", "mail"):
            (self.directory / name).mkdir(parents=True)
        # Its processes give up root, and have to walk down here.
        for above in [self.directory, *self.directory.parents]:
            if above.stat().st_uid == os.getuid() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o711)
        user = pwd.getpwnam("postfix")
        nobody = pwd.getpwnam("nobody")
        os.chown(self.directory / "data", user.pw_uid, user.pw_gid)
        os.chown(self.directory / "mail", nobody.pw_uid, nobody.pw_gid)
        self.port = free_port()
        if relayhost:
            settings += POSTFIX_RELAY.format(relayhost=relayhost)
        (conf / "main.cf").write_text(POSTFIX_SETTINGS.format(
            dir=self.directory, tls=tls, cert=certificate.cert, key=certificate.key,
            uid=nobody.pw_uid, gid=nobody.pw_gid) + settings)
        (conf / "master.cf").write_text(POSTFIX_SERVICES.format(port=self.port))
        checked = subprocess.run(["postfix", "-c", conf, "check"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        daemons = subprocess.run(["postconf", "-h", "daemon_directory"], capture_output=True,
                                 text=True, check=True).stdout.strip()
        self.process = Process("postfix", [f"{daemons}/master", "-c", conf, "-d"],
                               env={"MAIL_CONFIG": str(conf)})
        eventually(lambda: answers(self.port), "Postfix answers")

    def messages(self):
        """The letters delivered so far, each as bytes."""
        return [f.read_bytes() for f in sorted((self.directory / "mail" / "all/new").glob("*"))]

    def log(self):
        path = self.directory / "log" / "mail.log"
        return path.read_text() if path.exists() else ""

    def stop(self):
        self.process.terminate()


EXIM_SETTINGS = """\
primary_hostname = exim.test
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
exim_user = nobody
exim_group = nogroup
never_users =
exim_path = {dir}/exim
keep_environment = LD_LIBRARY_PATH
pid_file_path =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
acl_smtp_rcpt = rcpt
host_lookup =
rfc1413_query_timeout = 0s
pipelining_advertise_hosts = *
chunking_advertise_hosts = *
tls_advertise_hosts =
recipients_max = 10
recipients_max_reject = false
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
begin acl
rcpt:
  deny local_parts = nobody
       message = Unrouteable address
  accept
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {dir}/mail
  maildir_format
  user = nobody
  group = nogroup
"""


def exim_program():
    """Exim as installed, or unpacked somewhere: Debian's package cannot stand beside Postfix'.

        apt-get download exim4-daemon-light libidn12
        for deb in *.deb; do dpkg -x $deb DIRECTORY; done
        VOLLEY_EXIM=DIRECTORY make e2e ONLY=peers
    """
    root = os.environ.get("VOLLEY_EXIM")
    return os.path.join(root, "usr/sbin/exim4") if root else shutil.which("exim4", path="/usr/sbin")


class Exim:
    """A whole Exim that puts everything into one maildir.  Needs root."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        nobody = pwd.getpwnam("nobody")
        for name in ("spool", "log", "mail"):
            (self.directory / name).mkdir(parents=True)
            os.chown(self.directory / name, nobody.pw_uid, nobody.pw_gid)
        for above in [self.directory, *self.directory.parents]:
            if above.stat().st_uid == os.getuid() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o711)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        conf = self.directory / "exim.conf"
        conf.write_text(EXIM_SETTINGS.format(dir=self.directory, port=self.port))
        self.process = Process("exim", ["unshare", "-m", "sh", "-c", self.script(conf)])
        eventually(lambda: answers(self.port), "Exim answers")

    def script(self, conf):
        """Debian's Exim wants its user to be known: in a name space of its own it is."""
        for name, line in (("passwd", "Debian-exim:x:65533:65533::/:/bin/false"),
                           ("group", "Debian-exim:x:65533:")):
            text = pathlib.Path("/etc", name).read_text()
            if "Debian-exim:" not in text:
                text += line + "\n"
            (self.directory / name).write_text(text)
        binary = pathlib.Path(exim_program())
        libraries = ":".join(str(p) for p in binary.parents[2].glob("usr/lib/*-linux-gnu"))
        (self.directory / "exim").write_bytes(binary.read_bytes())  # without its set-uid bit
        (self.directory / "exim").chmod(0o755)
        return (f"mount --bind {self.directory}/passwd /etc/passwd && "
                f"mount --bind {self.directory}/group /etc/group && "
                f"LD_LIBRARY_PATH={libraries} exec {self.directory}/exim -C {conf} -bdf")

    def messages(self):
        return [f.read_bytes() for f in sorted((self.directory / "mail/new").glob("*"))]

    def stop(self):
        self.process.terminate()


KNOT_CONF = """\
server:
    listen: {host}@{port}
    rundir: {dir}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {dir}/db
log:
  - target: stderr
    any: info
template:
  - id: default
    storage: {dir}
    file: "%s.zone"
zone:
  - domain: {domain}
"""

ZONE_HEAD = """\
$ORIGIN {domain}.
$TTL 60
@ SOA ns1 admin 1 3600 600 86400 60
@ NS ns1
ns1 A 127.0.0.1
"""


class Knot:
    """An authoritative name server for one zone."""

    def __init__(self, directory, domain, records, wrap=(), host="127.0.0.1", port=None):
        self.directory = pathlib.Path(directory)
        (self.directory / "db").mkdir(parents=True)
        self.host = host
        self.port = port or free_port(kind=socket.SOCK_DGRAM)
        (self.directory / f"{domain}.zone").write_text(ZONE_HEAD.format(domain=domain) + records)
        conf = self.directory / "knot.conf"
        conf.write_text(KNOT_CONF.format(host=host, port=self.port, dir=self.directory,
                                         domain=domain))
        self.process = Process("knot", [*wrap, "knotd", "-c", conf])
        self.process.wait_line("server started")

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def stop(self):
        self.process.terminate()


class Certificate:
    """A self-signed certificate made by openssl."""

    def __init__(self, directory, name="localhost"):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", self.key, "-out", self.cert],
            check=True, capture_output=True)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context
