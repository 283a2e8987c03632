#!/usr/bin/env bash
# The image's root file system without a registry: Debian's Python and the wheel, no shell, no package manager.
# Usage, as root: deploy/image/rootfs.sh FOLDER, after `make build`. Needs mmdebstrap, and pip for the pinned packages.
# The Containerfile makes the same from base images; this one is for where there are none, and for tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$(realpath -m "${1:?usage: deploy/image/rootfs.sh FOLDER}")
wheel=$(ls dist/leverage_gateway-*.whl) || { echo "no wheel in dist/: make build" >&2; exit 2; }

mmdebstrap --quiet --variant=extract --include=python3,ca-certificates,tzdata bookworm "$root"
# What packages would do when they are configured, which takes a shell: the authorities in one file, a user.
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0::/:/none\nnonroot:x:65532:65532::/:/none\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"

pip=("${PYTHON:-.venv/bin/python}" -m pip --disable-pip-version-check install --quiet --no-deps --no-compile
    --python-version 3.11 --implementation cp --only-binary :all: --target "$root/opt/leverage-gateway")
"${pip[@]}" --require-hashes -r requirements.lock
rm -rf "$root/opt/leverage-gateway/bin"
"${pip[@]}" --no-index "$wheel"
printf '#!/usr/bin/python3 -I\nimport sys\n\nsys.path.insert(0, "/opt/leverage-gateway")\nfrom gateway.cli import main\n\nmain()\n' \
    >"$root/usr/bin/leverage-gateway"
chmod 755 "$root/usr/bin/leverage-gateway"

# Nothing in it starts another program.
rm -rf "$root"/etc/{resolv.conf,hostname,cron.daily} "$root"/usr/libexec/dpkg "$root"/usr/share/{debconf,bug,python3,lintian}
rm -rf "$root"/opt/leverage-gateway/bin "$root"/var/lib/dpkg "$root"/var/cache "$root"/usr/share/{doc,man,perl5,bash-completion}
find "$root/bin" "$root/sbin" "$root/usr/bin" "$root/usr/sbin" \( -type f -o -type l \) \
    ! -name 'python3*' ! -name leverage-gateway -delete
chmod 755 "$root"
echo "$root: $(du -sh "$root" | cut -f 1)"
