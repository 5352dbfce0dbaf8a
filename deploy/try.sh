#!/bin/sh
# The Dockerfile's steps on this machine, without Docker: build the wheel, install it into a clean environment
# outside the clone, run the service as a supervisor would. Exits 0 where all of it does. TORCH_INDEX as in
# install.sh; PYTHON is the Python to begin with.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
unset PYTHONPATH PYTHONHOME || true

"${PYTHON:-python3}" -m venv "$work/building"
"$work/building/bin/python" -m pip install build
# a copy without what git does not know, as the image's build has it
git -C "$root" ls-files -z --cached --others --exclude-standard | (cd "$root" && tar --null -T - -cf -) \
    | (mkdir "$work/source" && tar -C "$work/source" -xf -)
"$work/building/bin/python" -m build --wheel --outdir "$work/wheels" "$work/source" > "$work/build.log" 2>&1 \
    || { cat "$work/build.log" >&2; exit 1; }

"${PYTHON:-python3}" -m venv "$work/installed"
PYTHON="$work/installed/bin/python" sh "$root/deploy/install.sh" "$work/wheels" "$root/constraints.txt"
"$work/installed/bin/python" -m pip check
cd "$work"
"$work/installed/bin/python" "$root/deploy/try_service.py" "$work/data"
