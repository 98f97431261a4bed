#!/usr/bin/env bash
# The body of action.yml: its inputs come as variables, so that none is ever read as a part of this script.
set -uo pipefail
python="${PYTHON:-$RUNNER_TEMP/pit-align/bin/python}"
read -ra patterns <<< "$REPORT"
read -ra baselines <<< "$AGAINST"
reports=()
for pattern in "${patterns[@]}"; do
  mapfile -t found < <(compgen -G "$pattern" || printf '%s\n' "$pattern")
  reports+=("${found[@]}")
done
align() { "$python" -c 'import sys; sys.argv[0] = "pit-align"; from cli import pit_align; pit_align()' "$@"; }
words=(--github)
[ -z "$CONFIG" ] || words+=(--config "$CONFIG")
[ -z "$JUNIT" ] || words+=(--junit "$JUNIT")
for baseline in "${baselines[@]}"; do words+=(--against "$baseline"); done
[ -z "$HTML" ] || align report "${reports[@]}" --html "$HTML" > /dev/null || [ $? -eq 1 ] || exit 3
align gate "${words[@]}" -- "${reports[@]}"
code=$?
[ $code -eq 0 ] && passed=true || passed=false
echo "passed=$passed" >> "$GITHUB_OUTPUT"
exit $code
