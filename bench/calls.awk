# Makes the table of bench/run --calls from its CSV. cpu: yes or no; sides, workers: lists; workloads: the lines of
# bench/run; only: an expression. A ratio is the peer's time divided by ringo's, both with one worker.
function shown(value) {
  return value == "" ? "-" : sprintf(value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
}
function of(call, count, program) {
  program = runs[call, count, program]
  return program == "" ? "" : median(program)
}
FNR > 1 { runs[$2, $3, $4] = runs[$2, $3, $4] " " (cpu == "yes" ? $7 : $5) }
END {
  side_count = split(sides, side, " ")
  worker_count = split(workers, worker, " ")
  head = sprintf("%-28s", "call, ns")
  for (w = 1; w <= worker_count; w++) head = head sprintf("%9s", "ringo " worker[w] "w")
  for (s = 1; s <= side_count; s++) if (side[s] != "ringo") head = head sprintf("%9s%9s", side[s] " 1w", "ratio")
  print head

  rows = split(workloads, row, "\n")
  for (r = 1; r <= rows; r++) {
    split(row[r], field, " ")
    if (field[1] !~ only) continue
    line = sprintf("%-28s", field[1])
    for (w = 1; w <= worker_count; w++) line = line sprintf("%9s", shown(of(field[1], worker[w], "ringo")))
    own = of(field[1], 1, "ringo")
    for (s = 1; s <= side_count; s++) {
      if (side[s] == "ringo") continue
      value = of(field[1], 1, side[s])
      ratio = value == "" || own == "" ? "" : value / (own > 0.01 ? own : 0.01)
      line = line sprintf("%9s%9s", shown(value), shown(ratio))
      if (side[s] == "go" && ratio != "" && ratio < 2) slow = slow sprintf("  %-28s%9s%9s%9s\n", field[1], shown(own), shown(value), shown(ratio))
    }
    print line
  }
  if (slow != "") printf "\nNot at least twice as fast as Go, with one worker:\n%s", slow
}
