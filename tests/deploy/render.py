"""The manifests as the real `helm` and `kustomize` make them, judged: `python -m tests.deploy.render`, by hand.

Both are one `go install` away: helm.sh/helm/v3/cmd/helm@v3.22.0, sigs.k8s.io/kustomize/kustomize/v5@v5.7.1. What Helm
makes is also compared with what `manifests` makes of the same values, on which the tests of every day stand.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter

from tests.deploy import manifests

ON = {"strimzi": {"enabled": True}, "monitoring": {"enabled": True}}


def main() -> int:
    """Judge whatever can be made here; 3 where a program is missing."""
    missing = [name for name in ("helm", "kustomize") if shutil.which(name) is None]
    if "helm" not in missing:
        _judge_chart()
    if "kustomize" not in missing:
        for overlay in sorted((manifests.DEPLOY / "kubernetes" / "overlays").iterdir()):
            _judge(f"overlay {overlay.name}", _output("kustomize", "build", str(overlay)))
    for name in missing:
        print(f"{name} is not installed; go install it", file=sys.stderr)
    return 3 if missing else 0


def _judge_chart() -> None:
    chart = str(manifests.DEPLOY / "helm")
    _output("helm", "lint", "--strict", chart)
    refused = subprocess.run(
        ("helm", "lint", "--strict", chart, "--set", "replica=3"), capture_output=True, check=False
    )
    assert refused.returncode != 0, "a misspelt value is taken"
    for title, values in {"chart": {}, "chart, all on": ON}.items():
        template = ("helm", "template", "x", chart, "--kube-version", manifests.KUBERNETES[-1], "--values", "-")
        made = _judge(title, _output(*template, given=json.dumps(values)))
        wanted = manifests.default_values()
        for table, own in values.items():
            wanted[table] |= own
        ours = manifests.rendered(wanted)
        assert sorted(made, key=json.dumps) == sorted(ours, key=json.dumps), "Helm makes something else than the tests"


def _judge(title: str, text: str) -> list[dict[str, object]]:
    made = manifests.objects(text)
    for document in made:
        manifests.judge(document)
    kinds = Counter(document["kind"] for document in made)
    print(f"{title}: {len(made)} objects are valid:", ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    return made


def _output(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
