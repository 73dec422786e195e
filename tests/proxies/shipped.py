"""Each proxy with the configuration in `deploy/`: the file itself, with other ports, paths and names in it."""

import re
from pathlib import Path

from tests.proxies.plain import apache_setup, caddy_setup, haproxy_setup, nginx_main, nginx_setup
from tests.proxies.servers import Setup, apache_tree
from tests.servers import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


def put(text: str, *changes: tuple[str, str]) -> str:
    """The text with other words; each must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def plain_port(folder: Path) -> int:
    """Where a proxy sends those who come without TLS away."""
    file = folder / "plain-port"
    if not file.exists():
        file.write_text(str(free_port()))
    return int(file.read_text())


def nginx(folder: Path, port: int, upstream: int) -> Setup:
    site = put(
        (DEPLOY / "nginx.conf").read_text(),
        ("/etc/nginx/snippets/rivermouth.conf", f"{folder}/snippet.conf"),
        ("/etc/ssl/rivermouth", str(folder)),
        ("listen 80;", f"listen 127.0.0.1:{plain_port(folder)};"),
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("    server 127.0.0.1:8000;", f"    server 127.0.0.1:{upstream};"),
    )
    (folder / "site.conf").write_text(site)
    (folder / "snippet.conf").write_text((DEPLOY / "nginx-rivermouth.conf").read_text())
    (folder / "nginx.conf").write_text(nginx_main(folder))
    return nginx_setup(folder)


def haproxy(folder: Path, port: int, upstream: int) -> Setup:
    text = put(
        (DEPLOY / "haproxy.cfg").read_text(),
        ("    user haproxy\n    group haproxy\n", ""),
        ("log /dev/log local0", "log stderr local0"),
        ("/etc/haproxy/rivermouth.pem", f"{folder}/both.pem"),
        ("bind :80\n", f"bind 127.0.0.1:{plain_port(folder)}\n"),
        ("bind :443 ", f"bind 127.0.0.1:{port} "),
        ("server one 127.0.0.1:8000", f"server one 127.0.0.1:{upstream}"),
    )
    (folder / "both.pem").write_text((folder / "fullchain.pem").read_text() + (folder / "key.pem").read_text())
    (folder / "haproxy.cfg").write_text(text)
    return haproxy_setup(folder)


def caddy(folder: Path, port: int, upstream: int) -> Setup:
    site = put(
        (DEPLOY / "Caddyfile").read_text(),
        ("# tls ", "tls "),
        ("/etc/ssl/rivermouth", str(folder)),
        ("chat.example.org {", "127.0.0.1 {"),
        ("\t\tto 127.0.0.1:8000\n", f"\t\tto 127.0.0.1:{upstream}\n"),
    )
    ports = f"http_port {plain_port(folder)}\nhttps_port {port}\ndefault_bind 127.0.0.1\nadmin off"
    (folder / "Caddyfile").write_text(f"{{\n{ports}\n}}\n{site}")
    return caddy_setup(folder)


def apache(folder: Path, port: int, upstream: int) -> Setup:
    text = (DEPLOY / "apache.conf").read_text()
    modules = re.search(r"a2enmod (.*) &&", text)
    assert modules
    apache_tree(folder, *modules[1].split())
    (folder / "apache2/ports.conf").write_text(f"Listen 127.0.0.1:{port}\nListen 127.0.0.1:{plain_port(folder)}\n")
    site = put(
        text,
        ("/etc/ssl/rivermouth", str(folder)),
        ("*:80", f"127.0.0.1:{plain_port(folder)}"),
        ("*:443", f"127.0.0.1:{port}"),
        ("http://127.0.0.1:8000 ", f"http://127.0.0.1:{upstream} "),
    )
    (folder / "apache2/sites-enabled/site.conf").write_text(site)
    return apache_setup(folder)
