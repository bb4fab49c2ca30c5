"""What is refused before a cluster hears of anything, and what each kind of answer is told as."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster import access, ray_head, submit
from cluster.executor import ClusterError
from cluster.submit import JobState

SECRET = "5ec7e7" * 8


class Answers(BaseHTTPRequestHandler):
    """A server that notes what it is sent: an open dashboard, one with a token, or something else."""

    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization"))
        status, body = self.server.answers(self.headers.get("Authorization"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


RAY = b'{"ray_version": "2.60.0"}'


@pytest.fixture
def serve():
    """Starts a server of this behaviour; its address."""
    servers = []

    def start(answers, host="127.0.0.1", context=None):
        server = ThreadingHTTPServer((host, 0), Answers)
        server.answers, server.seen = answers, []
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server, f"http{'s' * bool(context)}://{host}:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answer_once(answer):
    """A server that answers one connection with these bytes and closes it; without any, it resets the connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        with server, connection:
            connection.recv(1)
            if answer is None:  # Bytes are unread, so closing resets, as when a server is killed.
                return
            connection.recv(4096)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}"


SETTINGS_OF_HTTP_2 = b"\0\0\x12\4\0\0\0\0\0\0\3\x7f\xff\xff\xff"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [(SETTINGS_OF_HTTP_2, "speaks no HTTP"), (b"", "Nothing answers at"), (None, "Nothing answers at")],
)
def test_a_server_that_dies_is_told_from_one_that_speaks_another_protocol(answer, sentence):
    with pytest.raises(ClusterError, match=sentence):
        access._status(answer_once(answer), {})


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A person without a token, whose requests go where they are sent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def open_to_all(_header):
    return 200, RAY


def with_token(header):
    if header is None:
        return 401, b""
    return (200, RAY) if header == f"Bearer {SECRET}" else (403, b"")


def own_address():
    """An address of this machine that others reach it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(("203.0.113.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but the loopback device's")
        return udp.getsockname()[0]


def refused(address, *, insecure=False):
    with pytest.raises(ClusterError) as error:
        access.find(address, insecure=insecure)
    assert SECRET not in str(error.value)
    return str(error.value)


def test_beyond_this_machine_nothing_is_asked_without_a_token(serve):
    server, url = serve(open_to_all, own_address())
    assert "there is no token" in refused(url)
    assert server.seen == []
    found = access.find(url, insecure=True)
    assert (found.mode, found.headers) == ("disabled", {})


def test_a_cluster_that_asks_for_no_token_is_refused_and_does_not_get_ours(serve, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    server, url = serve(open_to_all, own_address())
    assert "asks for no token" in refused(url)
    assert access.find(url, insecure=True).mode == "disabled"
    assert server.seen == [None, None]


def test_on_this_machine_an_open_cluster_will_do(serve):
    assert access.find(serve(open_to_all)[1]).mode == "disabled"


def test_the_token_is_used_where_it_is_asked_for_and_seen_nowhere(serve, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    found = access.find(serve(with_token)[1])
    assert found.mode == "token"
    assert SECRET not in repr(found) + repr(ray_head.token())
    assert found.warnings == ()
    beyond = access.find(serve(with_token, own_address())[1])
    assert "without encryption" in beyond.warnings[0]


def test_a_missing_token_and_a_wrong_one_are_told_apart(serve, monkeypatch):
    url = serve(with_token)[1]
    assert "asks for a token" in refused(url)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    assert "does not accept the token of RAY_AUTH_TOKEN" in refused(url)


def test_what_is_no_ray_dashboard_is_named_so(serve):
    for status, body in ((404, b""), (200, b"<html>"), (200, b"[]"), (302, b"")):
        assert f"not a Ray dashboard with the Jobs API (HTTP {status})" in refused(
            serve(lambda _, a=(status, body): a)[1]
        )


def test_silence_is_a_sentence():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert "Nothing answers at" in refused(f"http://127.0.0.1:{closed.getsockname()[1]}")


def test_the_certificate_is_checked(serve, tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server, url = serve(open_to_all, context=context)
    assert "set REQUESTS_CA_BUNDLE to the file of its certificate authority" in refused(url, insecure=True)
    assert server.seen == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate"))
    assert access.find(url).address == url


def test_a_server_without_tls_is_named_so(serve):
    assert "write http://" in refused(serve(open_to_all)[1].replace("http:", "https:"))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("head", "http://head:8265"),
        ("head:80", "http://head:80"),
        ("http://head:8265/", "http://head:8265"),
        ("https://head", "https://head:443"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_addresses_are_completed(given, url):
    assert access.normalised(given) == url


@pytest.mark.parametrize(
    "given", ["auto", "ray://head:10001", "http://", "head:port", "http://me:secret@head:1", "a/b", "http://[::1"]
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(ClusterError, match="--address") as error:
        access.normalised(given)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("127.0.0.1.evil.org", False),
     ("255.0.0.1", False), ("10.0.0.1", False), ("localhost.evil.org", False)],
)  # fmt: skip
def test_only_the_loopback_device_counts_as_this_machine(host, is_loopback):
    assert ray_head.is_loopback(host) is is_loopback


def test_a_token_that_others_can_read_is_told(home):
    (home / ".ray").mkdir()
    file = home / ".ray" / "auth_token"
    file.write_text("home\n")
    file.chmod(0o644)
    assert ray_head.token().warning.endswith("chmod 600 ~/.ray/auth_token")
    file.chmod(0o600)
    assert ray_head.token().warning == ""


@pytest.mark.parametrize("text", ["two words", "two\nlines", "clé"])
def test_what_cannot_be_a_token_is_refused_unseen(home, monkeypatch, text):
    (home / "named").write_text(text)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "named"))
    with pytest.raises(ClusterError, match="does not hold a token") as error:
        ray_head.token()
    assert text not in str(error.value)


def test_a_launcher_file_gives_the_head(tmp_path):
    file = tmp_path / "ray_config.yaml"
    file.write_text("cluster_name: c\nprovider: {type: local, head_ip: 192.0.2.7, worker_ips: []}\n")
    assert submit.head_of(file) == "http://192.0.2.7:8265"
    for text in ("[]", "cluster_name: c", "a: [", ""):
        file.write_text(text)
        with pytest.raises(ClusterError, match="is not a cluster-launcher file"):
            submit.head_of(file)
    with pytest.raises(ClusterError, match="is not a cluster-launcher file"):
        submit.head_of(tmp_path / "gone.yaml")
    os.mkfifo(tmp_path / "fifo.yaml")
    with pytest.raises(ClusterError, match="is not a cluster-launcher file"):
        submit.head_of(tmp_path / "fifo.yaml")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"No available agent, try again later.", "status code 500: No available agent, try again later."),
        (b"Traceback (most recent call last):\n  File x, line 1\nOSError: gone\n", "refuses: OSError: gone."),
    ],
)
def test_of_what_breaks_in_the_cluster_the_line_that_says_it_is_told(serve, body, reason):
    healthy = True
    _, url = serve(lambda _: (200, RAY) if healthy else (500, body))
    jobs = submit.Jobs(url)
    healthy = False
    with pytest.raises(ClusterError) as error:
        jobs.state("s-1")
    assert str(error.value).endswith(reason)


def test_a_job_that_failed_tells_its_exit_code_and_what_it_means():
    message = "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 chars):"
    told = "FAILED with exit code 2: the study or the command is wrong; see above"
    assert JobState("FAILED", message, 2).told == told
    assert JobState("FAILED", message, 1).told.startswith("FAILED with exit code 1: trials failed")
    assert JobState("FAILED", message, 137).told == "FAILED with exit code 137: see above"
    assert JobState("FAILED", "no node was found").told == "FAILED: no node was found"
    assert JobState("FAILED", message, 3).told == "left, more to do: submit it again"
