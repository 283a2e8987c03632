"""Where Apache Kafka's jars are: those of KAFKA_HOME, or those that Maven copies once from pom.xml.

broker.py starts brokers from them. What Maven brings is compared with jars.sha256, wherever it came from; where pom.xml
changes `python -m deploy.kafka.jars` writes that file anew, to be looked at and committed. Standard library only.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
SUMS = HERE / "jars.sha256"
STORE = HERE.parents[1] / ".kafka"
MAVEN_TIMEOUT = 600.0


class KafkaMissingError(RuntimeError):
    """No broker can be started here; the message says what to install or set."""


def java() -> str:
    """The Java launcher, from JAVA_HOME or the PATH; raises KafkaMissingError."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise KafkaMissingError(
            "java was not found: install Java 17 or later, or set JAVA_HOME or KAFKA_BOOTSTRAP_SERVERS"
        )
    return found


def classpath() -> str:
    """The classpath that has a broker in it; the first call may take a minute to download; raises KafkaMissingError."""
    home = os.environ.get("KAFKA_HOME")
    if home is None:
        return f"{_jars()}/*"
    if not list(Path(home, "libs").glob("kafka_2.*.jar")):
        raise KafkaMissingError(
            f"KAFKA_HOME={home} holds no libs/kafka_2.*.jar: unpack Apache Kafka 4.x there, or unset it"
        )
    return f"{home}/libs/*"


def _jars() -> Path:
    """The folder of jars for this very pom, filled by whoever comes first and waited for by the others."""
    jars = STORE / f"jars-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    STORE.mkdir(exist_ok=True)
    with _locked(STORE / "lock"):
        if not jars.is_dir():
            _copy(jars)
    return jars


def _copy(jars: Path) -> None:
    half = jars.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    _fetch(half)
    check(half, SUMS.read_text("utf-8"))
    half.rename(jars)  # whole or not there at all


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaMissingError("mvn was not found: install Maven, or set KAFKA_HOME or KAFKA_BOOTSTRAP_SERVERS")
    copy = (maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}")
    try:
        subprocess.run(copy, check=True, capture_output=True, text=True, timeout=MAVEN_TIMEOUT, cwd=HERE)
    except subprocess.SubprocessError as error:
        said = f"{error.stdout or ''}"[-2000:] if isinstance(error, subprocess.CalledProcessError) else f"{error}"
        raise KafkaMissingError(f"Maven could not fetch Apache Kafka's jars:\n{said}") from error


def sums_of(folder: Path) -> str:
    """The SHA-256 of each jar, a line each, as `sha256sum` writes and checks them."""
    jars = sorted(folder.glob("*.jar"), key=lambda jar: jar.name)
    return "".join(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in jars)


def check(folder: Path, sums: str) -> None:
    """KafkaMissingError where the jars there are not exactly these."""
    found, wanted = set(sums_of(folder).splitlines()), set(sums.splitlines())
    if found != wanted:
        names = sorted({line.split()[-1] for line in found ^ wanted})
        raise KafkaMissingError(f"not the jars that {SUMS.name} pins, by name or content: {', '.join(names)}")


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        _fetch(Path(place))
        SUMS.write_text(sums_of(Path(place)), "utf-8")
