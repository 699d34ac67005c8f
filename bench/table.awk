# Makes the table of bench/run from its CSV. cpu, markdown: yes or no; sides, workers: lists; workloads: the lines of
# bench/run; only: an expression.
function shown(value) {
  return sprintf(value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
}
FNR > 1 {
  by_cpu = $2 == "timers_sleep" || (cpu == "yes" && $2 !~ /^memory/)
  runs[$2, $3, $4] = runs[$2, $3, $4] " " (by_cpu ? $7 : $5)
}
END {
  side_count = split(sides, side, " ")
  peer_count = 0
  for (s = 1; s <= side_count; s++) if (side[s] != "ringo") peer[++peer_count] = side[s]
  worker_count = split(workers, worker, " ")
  rows = split(workloads, row, "\n")
  width = 8 + 16 * peer_count + 8

  if (markdown == "yes") {
    head = "| | |"
    line = "|---|---|"
    for (w = 1; w <= worker_count; w++) {
      for (s = 1; s <= side_count; s++) {
        head = head " " side[s] ", " worker[w] (worker[w] == 1 ? " worker |" : " workers |")
        line = line "---:|"
      }
    }
    print head "\n" line
    for (r = 1; r <= rows; r++) {
      split(row[r], field, " ")
      if (field[1] !~ only) continue
      line = "| `" field[1] "` | " field[2] " |"
      for (w = 1; w <= worker_count; w++) {
        least = ""
        compared = 0
        for (s = 1; s <= side_count; s++) {
          of[s] = runs[field[1], worker[w], side[s]]
          if (of[s] == "") continue
          of[s] = median(of[s]) / (field[2] == "ms" ? 1e6 : 1)
          if (!compared++ || of[s] < least) least = of[s]
        }
        for (s = 1; s <= side_count; s++) {
          text = of[s] == "" ? "" : shown(of[s])
          line = line " " (compared > 1 && text != "" && of[s] == least ? "**" text "**" : text) " |"
        }
      }
      print line
    }
    exit
  }

  head = sprintf("%-27s", "")
  names = sprintf("%-20s%-7s", "workload", "unit")
  for (w = 1; w <= worker_count; w++) {
    head = head sprintf(" | %-" width "s", worker[w] == 1 ? "1 worker" : worker[w] " workers")
    names = names sprintf(" | %8s", "ringo")
    for (p = 1; p <= peer_count; p++) names = names sprintf("%8s%8s", peer[p], "/ringo")
    names = names sprintf("%8s", "target")
  }
  sub(/ +$/, "", head)
  print head "\n" names

  for (r = 1; r <= rows; r++) {
    split(row[r], field, " ")
    if (field[1] !~ only) continue
    line = sprintf("%-20s%-7s", field[1], field[2])
    scale = field[2] == "ms" ? 1e6 : 1
    for (w = 1; w <= worker_count; w++) {
      own = runs[field[1], worker[w], "ringo"]
      own = own == "" ? 0 : median(own) / scale
      line = line sprintf(" | %8s", own ? shown(own) : "-")
      for (p = 1; p <= peer_count; p++) {
        value = runs[field[1], worker[w], peer[p]]
        value = value == "" ? 0 : median(value) / scale
        line = line sprintf("%8s%8s", value ? shown(value) : "-", own && value ? shown(value / own) "x" : "-")
      }
      line = line sprintf("%8s", worker[w] == 1 ? field[3] : worker[w] == 2 ? field[4] : "-")
    }
    print line
  }
}
