"""Each proxy as Debian's package configures it, with no more than the lines that name the server behind it."""

import re
import signal
from pathlib import Path

from tests.proxies.servers import Setup, apache_tree, debian


def nginx(folder: Path, port: int, upstream: int) -> Setup:
    site = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }}"
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(nginx_main(folder))
    return nginx_setup(folder)


def nginx_main(folder: Path) -> str:
    """Debian's nginx.conf, which serves `site.conf` alone and keeps what it writes in its own folder."""
    text = re.sub(
        r"^user .*|^pid .*|^error_log .*|^\s*access_log .*", "", debian("nginx/nginx.conf").read_text(), flags=re.M
    )
    text = text.replace("include /etc/nginx/conf.d/*.conf;", "").replace(
        "include /etc/nginx/sites-enabled/*;", "{here}"
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    here = [f"access_log {folder}/access.log;", f"include {folder}/site.conf;"]
    here += [f"{kind}_temp_path {folder}/{kind};" for kind in kinds]
    assert "{here}" in text
    return f"pid {folder}/pid;\n" + text.replace("{here}", "\n".join(here))


def nginx_setup(folder: Path) -> Setup:
    return Setup(["nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log", "-g", "daemon off;"])


def haproxy(folder: Path, port: int, upstream: int) -> Setup:
    _, defaults = debian("haproxy/haproxy.cfg").read_text().split("\ndefaults\n")
    site = f"listen here\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{upstream}\n"
    (folder / "haproxy.cfg").write_text(f"global\n  log stderr local0\ndefaults\n{defaults}\n{site}")
    return haproxy_setup(folder)


def haproxy_setup(folder: Path) -> Setup:
    return Setup(["haproxy", "-db", "-f", f"{folder}/haproxy.cfg"])


def caddy(folder: Path, port: int, upstream: int) -> Setup:
    site = f"http://127.0.0.1:{port} {{\n\treverse_proxy 127.0.0.1:{upstream}\n}}\n"
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    return caddy_setup(folder)


def caddy_setup(folder: Path) -> Setup:
    # At SIGTERM it would wait for what is open.
    command = ["caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]
    return Setup(command, stop_signal=signal.SIGQUIT)


def apache(folder: Path, port: int, upstream: int) -> Setup:
    apache_tree(folder, "proxy", "proxy_http")
    (folder / "apache2/ports.conf").write_text(f"Listen 127.0.0.1:{port}\n")
    site = f"<VirtualHost 127.0.0.1:{port}>\nProxyPass / http://127.0.0.1:{upstream}/\n</VirtualHost>\n"
    (folder / "apache2/sites-enabled/site.conf").write_text(site)
    return apache_setup(folder)


def apache_setup(folder: Path) -> Setup:
    names = {"RUN_DIR": folder, "LOG_DIR": folder, "LOCK_DIR": folder, "PID_FILE": folder / "pid"}
    environment = {f"APACHE_{name}": str(value) for name, value in names.items()}
    environment |= {"APACHE_RUN_USER": "nobody", "APACHE_RUN_GROUP": "nogroup"}
    return Setup(["apache2", "-d", f"{folder}/apache2", "-D", "FOREGROUND"], environment)
