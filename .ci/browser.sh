#!/usr/bin/env bash
# What the browser check needs, as far as it can be had: Chromium (Debian's package, if we are root) and, from npm, the 3Dmol.js that py3Dmol names, in .venv/node.
# It never fails: `.ci/browser.py` says what is missing, and the check is counted as skipped.
cd "$(dirname "$0")/.." || exit 0
ready=.venv/node/ready
rm -f $ready; mkdir -p .venv/node

browser() { for b in "$CRYOSPHERE_BROWSER" chromium chromium-browser google-chrome google-chrome-stable; do [ -n "$b" ] && command -v "$b" >/dev/null && return; done; return 1; }
fetch() { # apt-get, if there is one and we may
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    local quick="-qq -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1"
    { timeout 300 apt-get $quick update && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get $quick install -y "$@"; } >.venv/node/apt.log 2>&1 || echo "browser check: apt-get install $* failed, see .venv/node/apt.log"
}

browser || fetch chromium
browser || { echo "browser check: no Chromium"; exit 0; }
command -v npm >/dev/null || fetch --no-install-recommends npm
command -v npm >/dev/null || { echo "browser check: no npm"; exit 0; }
version=$(.venv/bin/python -c 'import inspect, py3Dmol, re; print(re.search(r"3dmol@([\d.]+)", inspect.signature(py3Dmol.view.__init__).parameters["js"].default)[1])') || exit 0
timeout 300 npm install --prefix .venv/node --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "3dmol@$version" >.venv/node/npm.log 2>&1 || { echo "browser check: npm install 3dmol@$version failed, see .venv/node/npm.log"; exit 0; }
touch $ready
