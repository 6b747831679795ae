#!/usr/bin/env bash
# Build the wheel, install it into a clean environment, and use it there: what a release has to pass.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}

version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
grep -qF "## [$version]" CHANGELOG.md || {
    echo "CHANGELOG.md: expected a section [$version], got none: write what changed" >&2
    exit 1
}
grep -q "^version: $version$" CITATION.cff || {
    echo "CITATION.cff: expected version $version" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" .
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet -c constraints.txt "$work"/dist/*.whl

cd "$work"  # away from the sources
export PATH="$work/venv/bin:$PATH" OMP_WAIT_POLICY=PASSIVE
[ "$(sbind version)" = "$version" ] || sbind version | grep -q "$version"
sbind rin sample digits --num 4 --steps 10 --out samples
sbind crw evaluate synthetic --help > /dev/null
test -s samples/grid.png
echo "scalable_binding-$version: wheel builds, installs and runs ($(du -h "$work"/dist/*.whl | cut -f1))"
