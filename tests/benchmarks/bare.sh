#!/usr/bin/env bash
# The same steps as a release, by bare commands, as a team without Bakewell would script them. Prints "step<TAB>seconds".
set -euo pipefail
service=$1 home=$2
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
lap() { awk -v name="$1" -v now="$EPOCHREALTIME" -v last="$last" 'BEGIN { printf "%s\t%.3f\n", name, now - last }'; last=$EPOCHREALTIME; }
last=$EPOCHREALTIME

mkdir -p "$work/image"
python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$work/image/packages" \
  --no-compile -r "$service/requirements.txt"
mkdir -p "$work/image/app"
cp "$service/hello.py" "$service/settings.json" "$work/image/app/"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/image" -c . | gzip -1n >"$work/image.tar.gz"
sha256sum "$work/image.tar.gz" >"$work/digest"
lap bake

trivy rootfs --quiet --format json --skip-db-update --skip-java-db-update --offline-scan --cache-dir "$home/trivy" \
  --scanners vuln,secret "$work/image" >"$work/scan.json"
lap scan
trivy rootfs --quiet --format cyclonedx --skip-db-update --skip-java-db-update --offline-scan --cache-dir "$home/trivy" \
  "$work/image" >"$work/sbom.json"
lap sbom

openssl ecparam -name prime256v1 -genkey -noout -out "$work/key" 2>/dev/null
openssl dgst -sha256 -sign "$work/key" -out "$work/signature" "$work/digest"
lap sign

ports=()
for _ in 1 2; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  ports+=("$port")
  (cd "$work/image" && PORT=$port PYTHONPATH=packages exec python3 app/hello.py >/dev/null 2>&1) &
done
for port in "${ports[@]}"; do
  until curl -sf "http://127.0.0.1:$port/healthz" >/dev/null; do sleep 0.05; done
done
lap "start and ask"

kill $(jobs -p)
wait || true
lap drain
