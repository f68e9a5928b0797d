# Makes or reuses .venv in the repository's folder and installs the package into it with the extras named in $1.
# Sourced by quickstart.sh and test.sh; afterwards the working folder is the repository's and $python its interpreter.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
if ! "$python" -c 'import pip' 2>/dev/null; then
    base=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "nf-policies needs Python 3.11 or newer; $base is $("$base" --version)." >&2
        exit 1
    }
    echo "Making .venv with $("$base" --version) ..."
    "$base" -m venv .venv
fi
echo "Installing nf-policies[$1] into .venv ..."
"$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$1]"
