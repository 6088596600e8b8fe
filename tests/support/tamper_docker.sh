#!/bin/sh
# Tampering with containers as people do it, by the docker command line and nothing of ours.
# tamper_docker.sh KIND VICTIM NETWORK
set -eu
kind=$1 victim=$2 network=$3

label() { docker inspect -f "{{index .Config.Labels \"$1\"}}" "$victim"; }

# Run an image with the victim's labels under another instance's name.
forge() {
    instance=$1 image=$2
    shift 2
    set -- "$@" --label "bakewell.instance=$instance"
    for name in home environment service group digest repository health grace-seconds; do
        set -- "$@" --label "bakewell.$name=$(label "bakewell.$name")"
    done
    docker run -d --init --name "hello-contract-$instance" --network "$network" "$@" "$image" \
        /bin/busybox httpd -f -p 8080 -h /www
}

case $kind in
    exec) docker exec -u 0 "$victim" /bin/busybox id ;;
    memory) docker update --memory 40m --memory-swap 40m "$victim" ;;
    cpus) docker update --cpus 0.4 "$victim" ;;
    pids) docker update --pids-limit 99 "$victim" ;;
    restart-policy) docker update --restart always "$victim" ;;
    there-and-back)
        docker update --memory 40m --memory-swap 40m "$victim"
        docker update --memory 32m --memory-swap 32m "$victim" ;;
    stop) docker stop -t 1 "$victim" ;;
    kill) docker kill "$victim" ;;
    remove) docker rm -f "$victim" ;;
    signal) docker kill -s HUP "$victim" ;;
    pause) docker pause "$victim" ;;
    rename) docker rename "$victim" renamed ;;
    restart) docker restart -t 1 "$victim" ;;
    disconnect) docker network disconnect "$network" "$victim" ;;
    reconnect)
        docker network disconnect "$network" "$victim"
        docker network connect "$network" "$victim" ;;
    other-network)
        docker network create --driver bridge elsewhere
        docker network connect elsewhere "$victim" ;;
    foreign)
        image=$(docker inspect -f '{{.Image}}' "$victim")
        docker run -d --name foreign --network "$network" "$image" ;;
    copy)
        docker commit "$victim" copied:1
        docker run -d --name copy --network "$network" copied:1 ;;
    forged)
        forge r1-forged "$(docker inspect -f '{{.Image}}' "$victim")"
        docker exec -u 0 hello-contract-r1-forged /bin/busybox touch /www/by-exec
        docker cp "$0" hello-contract-r1-forged:/www/by-copy ;;
    other-image)
        docker run --name changing --user 0 --entrypoint /bin/busybox "$(docker inspect -f '{{.Image}}' "$victim")" \
            sh -c 'echo changed >/www/index.html'
        docker commit changing other:1
        docker rm changing
        forge r1-other other:1 --read-only ;;
    # Of the splitter: the victim is the folder of its files, the network a group's name.
    weights) sed -i 's/"name": "r1"/"name": "r0"/' "$victim/rds.json" ;;
    address) sed -i '0,/"address": "10[.0-9]*"/s//"address": "203.0.113.9"/' "$victim/eds-$network.json" ;;
    mirror) sed -i 's/"cluster_name": "r1"/&, "policy": {"overprovisioning_factor": 150}/' "$victim/eds-r1.json" ;;
    *) echo "no such tampering: $kind" >&2 && exit 2 ;;
esac
