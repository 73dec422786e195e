"""The scripts: cheap checks of what would only be noticed on somebody else's machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [ROOT / "scripts" / name for name in ("serve", "test", "check", "docs", "lock")] + [ROOT / ".ci" / "run"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def sourced(code: str, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `code` after `scripts/_env` with nothing but `path` to find commands in."""
    env = {"PATH": str(path), **variables}
    command = ["/bin/sh", "-euc", f". {ROOT}/scripts/_env\n{code}"]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=20, check=False)


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_may_be_run_and_a_shell_can_read_it(script: Path):
    read = subprocess.run(["/bin/sh", "-n", script], capture_output=True, timeout=20, check=False)

    assert os.access(script, os.X_OK)
    assert (read.returncode, read.stderr) == (0, b"")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_names_and_exact_versions_alone(lock: Path):
    lines = lock.read_text("utf-8").splitlines()

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; [\w .'<>=!()]+)?", line)] == []


def test_what_the_tests_use_is_what_the_server_uses():
    serve, test = ((ROOT / "requirements" / name).read_text("utf-8").splitlines() for name in ("serve.txt", "test.txt"))

    assert [line for line in serve if line not in test] == []


def test_the_node_lock_names_no_host():
    lock = (ROOT / "tests" / "clients" / "package-lock.json").read_text("utf-8")

    assert '"resolved"' not in lock
    assert '"integrity"' in lock


def test_without_python_and_without_root_one_line_says_what_to_install(tmp_path: Path):
    program(tmp_path, "id", "echo 1000")
    done = sourced("need_python", tmp_path)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_a_python_that_is_too_old_or_has_no_venv_is_passed_over(tmp_path: Path):
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "python3", "exit 1")
    program(tmp_path, "python3.12", "exit 0")
    done = sourced("need_python; printf '%s' \"$python\"", tmp_path)

    assert done.stdout == "python3.12"


def test_root_on_debian_installs_what_is_missing(tmp_path: Path):
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "chmod", 'exec /bin/chmod "$@"')
    make = f"printf '#!/bin/sh\\nexit 0\\n' >{tmp_path}/python3 && chmod +x {tmp_path}/python3"
    program(tmp_path, "apt-get", f'echo "apt-get $*"; case "$*" in *install*python3-venv*) {make};; esac')
    done = sourced("need_python; printf '%s' \"$python\"", tmp_path)

    assert done.stdout == "python3"
    assert "apt-get install -y" in done.stderr


def test_without_node_one_line_says_what_to_install(tmp_path: Path):
    program(tmp_path, "id", "echo 1000")
    done = sourced("need_node", tmp_path)

    assert done.returncode == 1
    assert "apt-get install nodejs npm" in done.stderr


@pytest.mark.parametrize(("version", "fits"), [("16.20.2", False), ("18.20.4", True), ("22.1.0", True)])
def test_node_is_taken_from_version_18_on(tmp_path: Path, version: str, fits: bool):
    node = shutil.which("node")
    assert node is not None, "scripts/test installs Node"
    told = f'Object.defineProperty(process, "versions", {{value: {{node: "{version}"}}}});'
    program(tmp_path, "npm", "exit 0")
    program(tmp_path, "node", f"exec {node} -e '{told}'\"$2\"")

    assert (sourced("node_fits", tmp_path).returncode == 0) == fits


def test_a_changed_lock_changes_the_stamp(tmp_path: Path):
    lock = tmp_path / "lock"
    lock.write_text("a==1\n")
    before = sourced(f"stamp {lock}", Path("/usr/bin:/bin")).stdout
    lock.write_text("a==2\n")

    assert before != sourced(f"stamp {lock}", Path("/usr/bin:/bin")).stdout
