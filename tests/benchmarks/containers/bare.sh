#!/usr/bin/env bash
# A changed Dockerfile service to two running containers, by docker, trivy and cosign, as a team without Bakewell would
# script it. Prints "step<TAB>seconds". Arguments: folder, repository, folder of Trivy's database, keys, cosign.
set -euo pipefail
service=$1 repository=$2 cache=$3 keys=$4 cosign=$5
work=$(mktemp -d)
trap 'docker rm -f bare-1 bare-2 >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
lap() { awk -v name="$1" -v now="$EPOCHREALTIME" -v last="$last" 'BEGIN { printf "%s\t%.3f\n", name, now - last }'; last=$EPOCHREALTIME; }
last=$EPOCHREALTIME

export DOCKER_BUILDKIT=1
docker build --quiet --tag "$repository:bare" "$service" >/dev/null
lap build
docker push --quiet "$repository:bare" >/dev/null
digest=$(docker inspect --format '{{index .RepoDigests 0}}' "$repository:bare")
lap push

trivy_() { trivy image --quiet --skip-db-update --skip-java-db-update --offline-scan --skip-version-check --disable-telemetry \
  --insecure --image-src remote --cache-dir "$cache" "$@"; }
trivy_ --scanners vuln,secret,license --list-all-pkgs --format json --output "$work/scan.json" "$digest"
lap scan
trivy convert --quiet --format cyclonedx --output "$work/cyclonedx.json" "$work/scan.json"
trivy convert --quiet --format spdx-json --output "$work/spdx.json" "$work/scan.json"
lap "bills of materials"

sign=(--tlog-upload=false --use-signing-config=false --allow-http-registry -y)
"$cosign" sign --key "$keys/builder.key" "${sign[@]}" "$digest" >/dev/null 2>&1
for kind in "custom builder scan" "cyclonedx scanner cyclonedx" "spdxjson scanner spdx" "vuln scanner scan"; do
  read -r type role file <<<"$kind"
  "$cosign" attest --key "$keys/$role.key" --type "$type" --predicate "$work/$file.json" "${sign[@]}" "$digest" >/dev/null 2>&1
done
lap "sign and attest"
check=(--insecure-ignore-tlog=true --allow-http-registry)
"$cosign" verify --key "$keys/builder.pub" "${check[@]}" "$digest" >/dev/null 2>&1
for kind in "custom builder" "cyclonedx scanner" "spdxjson scanner" "vuln scanner"; do
  read -r type role <<<"$kind"
  "$cosign" verify-attestation --key "$keys/$role.pub" --type "$type" "${check[@]}" "$digest" >/dev/null 2>&1
done
lap verify

for name in bare-1 bare-2; do
  docker run --detach --name "$name" --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    --env PORT=8080 --env HOST=0.0.0.0 --env PYTHONPATH=/packages "$digest" python3 /app/hello.py >/dev/null
done
for name in bare-1 bare-2; do
  address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' "$name")
  until curl -sf "http://$address:8080/healthz" >/dev/null; do sleep 0.05; done
  curl -sf "http://$address:8080/" | grep -q "This is version"
done
lap "run and ask"
