"""Draws what bench/growth has measured: one SVG a plot, medians as curves, the range of the runs behind them.

Usage: plot.py CSV FOLDER
"""

import csv
import math
import pathlib
import statistics
import sys
from collections import defaultdict

# Name: title, label of the horizontal axis, label of the vertical one, and the curves with their labels.
PLOTS = {
    "tasks": ("Number of tasks", "tasks", "CPU ns per operation, one worker", {
        "ring": "one token round a ring: a hop",
        "spawn_join": "started at once and joined: a task",
        "yield": "all ready: a yield"}),
    "capacity": ("Capacity of a channel", "values", "CPU ns per message, one worker", {
        "mpmc_4x4": "4 producers, 4 consumers",
        "spsc": "1 producer, 1 consumer"}),
    "width": ("Width of a select", "cases", "CPU ns per select, one worker", {
        "select_waits": "no case ready: it waits",
        "select_all_ready": "most cases ready"}),
    "timers": ("Pending timers", "timers", "CPU ns per timer, one worker", {
        "expire": "task started, sleeps 1 to 100 ms, joined",
        "arm_and_disarm": "armed and disarmed by a select with timeout"}),
    "connections": ("Connections of an echo server", "connections", "CPU ns per request, one worker", {
        "ringo": "ringo",
        "liburing": "liburing by hand"}),
    "workers": ("Number of workers", "workers", "elapsed time, one worker's = 1", {
        "skynet": "skynet: a tree of 1,000,000 leaves",
        "prime_sieve": "prime sieve: 1,000 primes",
        "spawn_join": "start and join a task",
        "worker_pool": "a job through a pool of 4",
        "mpmc_4x4": "a message, 4 to 4",
        "yield": "a yield"}),
}

RELATIVE = {"workers"}  # to the curve's own median at the least size

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 44, 50
ROW = 17  # of the legend

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .back { fill: #ffffff } .grid { stroke: #d8dee4 } .frame { stroke: #8c959f; fill: none }
  .curve { fill: none; stroke-width: 2 } .range { opacity: .16; stroke: none }
  .c0 { stroke: #0969da; fill: #0969da } .c1 { stroke: #bc4c00; fill: #bc4c00 } .c2 { stroke: #1a7f37; fill: #1a7f37 }
  .c3 { stroke: #8250df; fill: #8250df } .c4 { stroke: #bf3989; fill: #bf3989 } .c5 { stroke: #6e7781; fill: #6e7781 }
  .curve { fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .back { fill: #0d1117 } .grid { stroke: #21262d } .frame { stroke: #6e7681 }
    .c0 { stroke: #58a6ff; fill: #58a6ff } .c1 { stroke: #f0883e; fill: #f0883e } .c2 { stroke: #56d364; fill: #56d364 }
    .c3 { stroke: #bc8cff; fill: #bc8cff } .c4 { stroke: #ff7bc3; fill: #ff7bc3 } .c5 { stroke: #8b949e; fill: #8b949e }
    .curve { fill: none }
  }
"""


def read(path):
    """plot -> curve -> size -> the runs' ns."""
    runs = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            runs[row["plot"]][row["curve"]][int(row["size"])].append(float(row["ns_per_operation"]))
    return runs


def short(value):
    """1500000 as 1.5M, but 4096 as it is."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit and value % (unit / 10) == 0:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


class Axis:
    """A logarithmic one. A size of 0 stands half a decade below 1."""

    ZERO = 10 ** -0.5

    def __init__(self, values, begin, end, by_twos):
        values = [value or self.ZERO for value in values]
        self.begin, self.end, self.by_twos = begin, end, by_twos
        self.low, self.high = min(values), max(values)
        if by_twos:
            self.ticks = sorted(values) if len(values) < 16 else sorted(values)[::2]
        else:
            # From a round number to a round number, with labels at each if there is room, else at powers of ten.
            round_ones = (1, 2, 5) if self.high / self.low > 10 else (1, 1.5, 2, 3, 5, 7)
            steps = [m * 10.0 ** e for e in range(-2, 12) for m in round_ones]
            self.low = max(step for step in steps if step <= self.low)
            self.high = min(step for step in steps if step >= self.high and step > self.low)
            inside = [step for step in steps if self.low <= step <= self.high]
            self.ticks = inside if len(inside) < 12 else [s for s in inside if f"{s:e}".startswith("1.000000")]
        if self.high == self.low:
            self.high *= 2

    def at(self, value):
        share = math.log((value or self.ZERO) / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def label(self, tick):
        return "0" if tick == self.ZERO else short(tick)


def relative(runs):
    one = statistics.median(runs[min(runs)])
    return {size: [ns / one for ns in each] for size, each in runs.items()}


def points(x, y, pairs):
    return " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in pairs)


def draw(name, curves):
    title, x_label, y_label, labels = PLOTS[name]
    known = [curve for curve in labels if curve in curves]
    if name in RELATIVE:
        curves = {curve: relative(curves[curve]) for curve in known}
    sizes = sorted({size for curve in known for size in curves[curve]})
    values = [ns for curve in known for runs in curves[curve].values() for ns in runs]
    by_twos = sizes[-1] <= 4096
    top = TOP + ROW * len(known)
    x = Axis(sizes, LEFT + 12, WIDTH - RIGHT - 12, by_twos)
    y = Axis(values, HEIGHT - BOTTOM, top, False)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}: {y_label}">',
           f"<style>{STYLE}</style>", f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
           f'<text class="title" x="{LEFT}" y="26">{title}</text>',
           f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{x_label}</text>',
           f'<text transform="translate(18 {(top + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{y_label}</text>']
    for tick in x.ticks:
        out.append(f'<path class="grid" d="M{x.at(tick):.1f} {top}V{HEIGHT - BOTTOM}"/>'
                   f'<text x="{x.at(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x.label(tick)}</text>')
    for tick in y.ticks:
        out.append(f'<path class="grid" d="M{LEFT} {y.at(tick):.1f}H{WIDTH - RIGHT}"/>'
                   f'<text x="{LEFT - 8}" y="{y.at(tick) + 4:.1f}" text-anchor="end">{y.label(tick)}</text>')
    out.append(f'<rect class="frame" x="{LEFT}" y="{top}" width="{WIDTH - RIGHT - LEFT}" height="{HEIGHT - BOTTOM - top}"/>')
    for index, curve in enumerate(known):
        runs = sorted(curves[curve].items())
        least, most = [(s, min(ns)) for s, ns in runs], [(s, max(ns)) for s, ns in runs]
        median = [(s, statistics.median(ns)) for s, ns in runs]
        out.append(f'<polygon class="range c{index}" points="{points(x, y, least + most[::-1])}"/>')
        out.append(f'<polyline class="curve c{index}" points="{points(x, y, median)}"/>')
        out += [f'<circle class="c{index}" cx="{x.at(s):.1f}" cy="{y.at(ns):.1f}" r="2.6"/>' for s, ns in median]
        row = TOP + ROW * index
        out.append(f'<path class="curve c{index}" d="M{LEFT} {row - 4}h22"/><text x="{LEFT + 30}" y="{row}">{labels[curve]}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, curves in read(sys.argv[1]).items():
        (folder / f"{name}.svg").write_text(draw(name, curves))


main()
