"""The image's root file system built and worked in, as nobody, without a shell: `python -m tests.deploy.image`.

It takes root, mmdebstrap and a minute. The topology of deploy/compose runs in it; a command is sent and answered.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.kubernetes.objects import USER
from deploy.topology import Topology

ROOT = Path(__file__).parents[2]


def main() -> int:
    """0 where a command is answered and nothing in the root could start another program."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        root = Path(folder) / "root"
        subprocess.run(("make", "build"), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run((ROOT / "deploy" / "image" / "rootfs.sh", root), check=True)
        programs = sorted(
            str(found.relative_to(root))
            for place in ("bin", "sbin", "usr/bin", "usr/sbin")
            for found in (root / place).glob("*")
        )
        print("programs:", *programs)
        place = root / "run" / "leverage"
        place.mkdir(parents=True)
        program = ("chroot", f"--userspec={USER}:{USER}", str(root), "/usr/bin/leverage-gateway")
        with Topology(program, place, lambda path: f"/{path.relative_to(root)}", user=USER) as topology:
            told = topology.ours(
                "send", "binance_usdm", "--account", "desk-1", "--leverage", "20", "--symbol", "BTCUSDT", "--wait"
            )
            print(told)
            codes = {name: topology.stop(name) for name in ("gateway-0", "gateway-1", "edge")}
            print("exit codes after SIGTERM:", codes)
    return 0 if not any(codes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
