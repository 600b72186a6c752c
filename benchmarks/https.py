"""One POST in, one webhook out, to a receiver behind nginx: over HTTP, and over HTTPS with kept connections."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.chain import Row, http_row
from benchmarks.processes import Child, MeasurementFailed, free_ports, listening, stopping, wait_until

SBIN = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin"

CONFIG = """daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/nginx-errors.txt;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    keepalive_requests 1000000;
    upstream sink {{ server 127.0.0.1:{sink}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{http};
        listen 127.0.0.1:{https} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        location / {{
            proxy_pass http://sink;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(directory: Path, sink: int, http: int, https: int) -> Iterator[Path]:
    """nginx on two ports in front of the sink; gives the file of the authority for its certificate.

    :raises MeasurementFailed: nginx or openssl is not installed.
    """
    program, openssl = shutil.which("nginx", path=SBIN), shutil.which("openssl")
    if program is None or openssl is None:
        raise MeasurementFailed("nginx or openssl is not installed: apt-get install nginx openssl")
    certificate = directory / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate)]
    subprocess.run([*command, "-keyout", str(directory / "key.pem")], check=True, capture_output=True)
    config = directory / "nginx.conf"
    config.write_text(CONFIG.format(directory=directory, sink=sink, http=http, https=https))
    child = Child("nginx", [program, "-c", str(config)], directory / "nginx.log", quiet=True)
    with stopping(child):
        wait_until(lambda: listening(https), "listener", child, 20.0)
        yield certificate


def https(bench: Bench) -> list[Row]:
    """The same load to the same nginx, over HTTP and over HTTPS."""
    found = [_measured(bench, scheme) for scheme in ("http", "https")]
    bench.say(f"HTTPS costs {found[1].cpu_us / found[0].cpu_us:.2f} times as much as HTTP")
    return found


def _measured(bench: Bench, scheme: str) -> Row:
    total = bench.count(10_000)
    sink_port, http_port, https_port = free_ports(3)
    port = https_port if scheme == "https" else http_port
    with (
        bench.place("nginx") as place,
        nginx(place, sink_port, http_port, https_port) as authority,
        bench.relay(scheme, total, webhook_url=f"{scheme}://127.0.0.1:{port}/in", webhook_ca_file=authority) as started,
    ):
        path, gateway, upstream = started
        name = f"HTTP POST a message in, webhook POST a message out, {scheme.upper()} to nginx"
        return http_row(name, path, gateway, upstream, sink_port, total=total, connections=16)
