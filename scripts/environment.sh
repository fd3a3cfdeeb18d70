# Sourced by the scripts beside it: makes the virtual environment once and puts it on the PATH.
# Expects `root` (the repository) to be set.

venv="$root/.venv"

make_environment() {
  local extras="$1" stamp wanted python
  stamp="$venv/.installed-${extras:-plain}"
  wanted=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return
  fi
  if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python)
    echo "making the virtual environment $venv with $("$python" --version)"
    "$python" -m venv "$venv"
  fi
  echo "installing Tempera and the versions of constraints.txt (torch is large: some minutes the first time)"
  # torch first and by its exact version: with it in place, nothing later picks another build.
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' "$root/constraints.txt")"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/constraints.txt" --editable "$root${extras:+[$extras]}"
  echo "$wanted" > "$stamp"
}

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" > /dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: no Python 3.11 or newer found" >&2
  echo "hint: install it from python.org or with your system's package manager" >&2
  exit 6
}
