#!/bin/sh
# Install a wheel with what a server needs, in the versions that are tested: install.sh WHEELS CONSTRAINTS
# PYTHON says into which Python. TORCH_INDEX says where torch's build comes from; without it, from where pip
# takes everything: on PyPI that is the build for CUDA, which is several GB.
set -eu
wheels=$1 constraints=$2

if [ -n "${TORCH_INDEX:-}" ]; then
    # alone: what torch needs comes with the rest, in our versions, which torch's own index may not have
    "${PYTHON:-python}" -m pip install --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' "$constraints")"
fi
"${PYTHON:-python}" -m pip install -c "$constraints" "$(ls "$wheels"/hermes_stream-*.whl)[server,mcp,mqtt]"
