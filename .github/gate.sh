#!/usr/bin/env bash
# The body of action.yml: its inputs come as variables, so that none is ever read as a part of this script.
set -uo pipefail
python="${PYTHON:-$RUNNER_TEMP/pit-align/bin/python}"
# Words on several lines, too. `read` ends with 1 at the end of its input; bash 3.2, which macOS has, knows no mapfile,
# and takes an empty array for an unset one.
read -r -d '' -a patterns <<< "$REPORT"
read -r -d '' -a baselines <<< "$AGAINST"
reports=()
for pattern in ${patterns[@]+"${patterns[@]}"}; do
  while IFS= read -r found; do reports+=("$found"); done < <(compgen -G "$pattern" || printf '%s\n' "$pattern")
done
align() { "$python" -c 'import sys; sys.argv[0] = "pit-align"; from cli import pit_align; pit_align()' "$@"; }
words=(--github)
[ -z "$CONFIG" ] || words+=(--config "$CONFIG")
[ -z "$JUNIT" ] || words+=(--junit "$JUNIT")
for baseline in ${baselines[@]+"${baselines[@]}"}; do words+=(--against "$baseline"); done
page=0
[ -z "$HTML" ] || align report --html "$HTML" -- ${reports[@]+"${reports[@]}"} > /dev/null || page=$?
align gate "${words[@]}" -- ${reports[@]+"${reports[@]}"}
code=$?
[ $code -ne 0 ] || [ $page -le 1 ] || code=$page  # a page that could not be written is no success
[ $code -eq 0 ] && passed=true || passed=false
echo "passed=$passed" >> "$GITHUB_OUTPUT"
exit $code
