# Written by `make setup` from local/spark/temporary-folder.sh; spark-env.sh sources it.

# A folder of this process alone, for what Spark and its Python workers keep for a while: it may hold people's texts, so that
# nobody else may look into it. Spark empties it at its end. What a killed process left, the next one removes here.

# When a process began; nothing where there is no such process. The id alone may belong to another process by now.
_began() {
  if [ -d /proc/self ]; then
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr -cd '0-9A-Za-z'
  fi
}

_folders="${TMPDIR:-/tmp}/catlake-$(id -u)"
mkdir -m 700 "$_folders" 2>/dev/null
# Not if another user has made it first, to read what is put there.
if [ ! -O "$_folders" ] || [ -L "$_folders" ] || ! chmod 700 "$_folders" 2>/dev/null; then
  echo "spark: $_folders cannot be a private folder for temporary files: its disk is full or read-only, or it is another" \
    "user's; give another place by TMPDIR" >&2
  exit 1
fi
_host="$(uname -n)"
for _folder in "$_folders/$_host"-*-*; do
  _process="${_folder%-*}"
  _process="${_process##*-}"
  # Another machine may share the disk.
  if [ "$_folder" = "$_folders/$_host-$_process-${_folder##*-}" ] && [ "$(_began "$_process")" != "${_folder##*-}" ]; then
    rm -rf "$_folder"
  fi
done
# Spark's scripts exec: this shell becomes the Java that uses the folder.
export TMPDIR="$_folders/$_host-$$-$(_began $$)"
if ! mkdir -p -m 700 "$TMPDIR" 2>/dev/null; then
  echo "spark: no folder can be made in $_folders: its disk is full or read-only; give another place by TMPDIR" >&2
  exit 1
fi
unset -f _began
unset _folders _folder _host _process
