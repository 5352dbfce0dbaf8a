#!/bin/sh
# ffmpeg sends what it reads - a file, a capture card, another stream - to a service, as MPEG-TS over UDP:
#   hermes serve --source desk=udp://127.0.0.1:5004
#   sh examples/ffmpeg_push.sh VIDEO 127.0.0.1 5004
# The whole picture once a second, so that the service may begin, or go on after a lost packet, at once.
set -eu
video=$1 host=$2 port=$3

exec ffmpeg -nostdin -loglevel error -re -i "$video" -an -c:v mpeg2video -q:v 3 -r 25 -g 25 -bf 0 \
    -f mpegts "udp://$host:$port?pkt_size=1316"
