# The median of a list of numbers, for the tables.
function median(list, n, values, i, j, v) {
  n = split(list, values, " ")
  for (i = 2; i <= n; i++) {
    v = values[i] + 0
    for (j = i - 1; j > 0 && values[j] + 0 > v; j--) values[j + 1] = values[j]
    values[j + 1] = v
  }
  return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}
