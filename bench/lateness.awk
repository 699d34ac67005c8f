# The medians over all runs: percentiles of a timer's delay and of a round trip's time, in us.
FNR > 1 { for (f = 5; f <= 8; f++) runs[$2, $3, $4, f] = runs[$2, $3, $4, f] " " $f }
END {
  printf "%-14s%9s  %-10s%12s%12s%12s%12s\n", "us", "workers", "", "p50", "p99", "longest", "how many"
  rows = split(workloads, row, "\n")
  counts = split(workers, count, " ")
  many = split(sides, side, " ")
  for (r = 1; r <= rows; r++) {
    split(row[r], field, " ")
    for (c = 1; c <= counts; c++)
      for (s = 1; s <= many; s++)
        if ((field[1], count[c], side[s], 5) in runs)
          printf "%-14s%9s  %-10s%12.0f%12.0f%12.0f%12.0f\n", field[1], count[c], side[s],
            median(runs[field[1], count[c], side[s], 5]) / 1000, median(runs[field[1], count[c], side[s], 7]) / 1000,
            median(runs[field[1], count[c], side[s], 8]) / 1000, median(runs[field[1], count[c], side[s], 6])
  }
}
