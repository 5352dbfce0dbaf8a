#!/bin/sh
# The service from a shell: sh examples/curl.sh URL STREAM PICTURE.jpg
set -eu
url=$1 stream=$2 picture=$3

json() { curl -sS --fail-with-body -H 'Content-Type: application/json' ${HERMES_KEY:+-H "Authorization: Bearer $HERMES_KEY"} "$@"; echo; }

json "$url/v1/streams" -d "{\"name\": \"$stream\"}"                                     # frames will be pushed
curl -sS --fail-with-body ${HERMES_KEY:+-H "Authorization: Bearer $HERMES_KEY"} -H 'Content-Type: image/jpeg' \
    --data-binary "@$picture" "$url/v1/streams/$stream/frames"; echo                      # one picture, now
json "$url/v1/streams/$stream/ask" -d '{"question": "what is on screen now?"}'          # the answer, with evidence
json -N "$url/v1/streams/$stream/ask" -d '{"question": "what is on screen now?", "stream": true}'    # as it is made
json "$url/v1/events?stream=$stream"                                                    # what happened
