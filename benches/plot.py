#!/usr/bin/env python3
"""Draws what the benchmarks measured: benches/plot.py [RESULTS [PLOTS]]

RESULTS is the directory with the benchmarks' *.tsv (default: target/bench), PLOTS where
the SVG files go (default: docs/plots). A plot whose results are not there is left out.
Needs nothing but Python.
"""

import csv
import math
import sys
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 64, 52
COLORS = ["#1f5fa8", "#d1702a", "#3c8f56", "#8a4f9e", "#8a8a8a", "#b83a4b", "#4aa3a2", "#6b5b2e"]
NAMED = ["conn", "dns", "http", "ssl", "files"]


class Scale:
    """Maps values to positions, linearly or by their logarithm."""

    def __init__(self, low, high, start, end, log=False):
        self.log = log
        self.low, self.high = (math.log10(low), math.log10(high)) if log else (low, high)
        self.start, self.end = start, end

    def __call__(self, value):
        value = math.log10(max(value, 1e-12)) if self.log else value
        part = (value - self.low) / (self.high - self.low or 1)
        return self.start + min(max(part, 0), 1) * (self.end - self.start)

    def ticks(self):
        if self.log:
            return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 6)
        count = round((self.high - self.low) / step)
        return [self.low + step * index for index in range(count + 1)]


def axis(values, log):
    """A range that the values fit in."""
    top = max(values)
    if log:
        return 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(top * 1.1))
    step = 10 ** math.floor(math.log10(top))
    step *= next(factor for factor in (0.2, 0.5, 1) if top * 1.1 / (step * factor) <= 10)
    return 0, math.ceil(top * 1.1 / step) * step


def text(x, y, words, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, color="#d8d8d8", extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{extra}/>'


def short(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


class Plot:
    """A frame with a title, a legend and a vertical axis, to be drawn into."""

    def __init__(self, title, unit, values, log=False, names=()):
        low, high = axis(values, log)
        self.y = Scale(low, high, HEIGHT - BOTTOM, TOP, log)
        self.base = HEIGHT - BOTTOM
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" font-family="sans-serif" fill="#222">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            text(LEFT, 20, f"{title} ({unit})", "start", 14, ' font-weight="bold"'),
        ]
        for tick in self.y.ticks():
            at = self.y(tick)
            self.parts += [line(LEFT, at, WIDTH - RIGHT, at), text(LEFT - 6, at + 4, short(tick), "end", 11)]
        at = LEFT
        for index, name in enumerate(names):
            self.parts += [
                f'<rect x="{at}" y="34" width="11" height="11" fill="{COLORS[index]}"/>',
                text(at + 16, 44, name, "start"),
            ]
            at += 36 + 7 * len(name)

    def bars(self, groups, names, value, label=short):
        """value(group, name) is a bar's height, or None."""
        width = (WIDTH - LEFT - RIGHT) / len(groups)
        bar = width * 0.84 / len(names)
        for at, group in enumerate(groups):
            left = LEFT + width * (at + 0.08)
            self.parts.append(text(LEFT + width * (at + 0.5), self.base + 18, group))
            for index, name in enumerate(names):
                height = value(group, name)
                if height is None:
                    continue
                x, top = left + bar * index, self.y(height)
                self.parts += [
                    f'<rect x="{x:.1f}" y="{top:.1f}" width="{bar - 1:.1f}" height="{self.base - top:.1f}" '
                    f'fill="{COLORS[index]}"/>',
                    text(x + bar / 2, top - 4, label(height), size=10),
                ]
        return self

    def lines(self, x, series, width=2):
        """series: points (x, y) for each name, in the order of the legend."""
        for index, points in enumerate(series):
            path = " ".join(f"{x(a):.1f},{self.y(b):.1f}" for a, b in points)
            self.parts.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[index]}" stroke-width="{width}"/>')
            if len(points) < 20:
                self.parts += [
                    f'<circle cx="{x(a):.1f}" cy="{self.y(b):.1f}" r="3" fill="{COLORS[index]}"/>' for a, b in points
                ]
        return self

    def x_labels(self, x, values, unit):
        self.parts += [text(x(value), self.base + 18, f"{value:g}") for value in values]
        self.parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, unit))
        return self

    def limit(self, value, words):
        at = self.y(value)
        self.parts += [
            line(LEFT, at, WIDTH - RIGHT, at, "#b00020", ' stroke-dasharray="6 4"'),
            text(WIDTH - RIGHT, at - 5, words, "end", 11, ' fill="#b00020"'),
        ]
        return self

    def band(self, start, end, words):
        self.parts += [
            f'<rect x="{start:.1f}" y="{TOP}" width="{end - start:.1f}" height="{self.base - TOP}" '
            'fill="#f0d9d9" fill-opacity="0.6"/>',
            text((start + end) / 2, TOP + 14, words, size=11),
        ]
        return self

    def svg(self):
        axis_line = line(LEFT, self.base, WIDTH - RIGHT, self.base, "#222")
        return "\n".join([*self.parts, axis_line, "</svg>", ""])


def unique(values):
    return list(dict.fromkeys(values))


def encoder(rows):
    rows = [row for row in rows if row["log"] in NAMED]
    costs = {(row["log"], row["peer"]): float(row["ns"]) for row in rows}
    peers = unique(row["peer"] for row in rows)
    plot = Plot("Encoding a record", "ns, logarithmic", costs.values(), True, peers)
    return plot.bars(unique(row["log"] for row in rows), peers, lambda log, peer: costs.get((log, peer)))


def throughput(rows):
    rates = {(row["log"], row["peer"]): float(row["rate"]) for row in rows}
    peers = unique(row["peer"] for row in rows)
    plot = Plot("Published and received over tcp", "records/s", rates.values(), False, peers)
    return plot.bars(unique(row["log"] for row in rows), peers, lambda log, peer: rates.get((log, peer)))


def idle(rows):
    costs = {(row["log"], row["case"]): float(row["ns"]) for row in rows}
    cases = unique(row["case"] for row in rows)
    plot = Plot("A record that nobody is subscribed to", "ns", [*costs.values(), 30], False, cases)
    plot.bars(unique(row["log"] for row in rows), cases, lambda log, case: costs.get((log, case)))
    return plot.limit(30, "goal: 30 ns")


def writers(rows):
    names = {
        "publishing": "publishing",
        "bare": "bare libzmq",
        "encoding": "encoding alone",
        "unwanted": "nobody subscribed",
    }
    series = [[(float(row["writers"]), float(row[key])) for row in rows] for key in names]
    values = [value for points in series for _, value in points]
    plot = Plot("Writers at once, a thread for each", "ns of CPU time a record", values, True, names.values())
    counts = [float(row["writers"]) for row in rows]
    x = Scale(min(counts), max(counts), LEFT + 20, WIDTH - RIGHT - 20, True)
    return plot.lines(x, series).x_labels(x, counts, "writers")


def text_speed(rows):
    kinds = unique(row["kind"] for row in rows)
    ours = [row for row in rows if row["peer"] == "ours"]
    series = [[(float(row["bytes"]), float(row["gbs"])) for row in ours if row["kind"] == kind] for kind in kinds]
    copies = [row for row in rows if row["peer"] == "memcpy" and row["kind"] == kinds[0]]
    series.append([(float(row["bytes"]), float(row["gbs"])) for row in copies])
    values = [value for points in series for _, value in points]
    plot = Plot("Encoding text", "GB/s, logarithmic", values, True, [*kinds, "memcpy"])
    sizes = unique(float(row["bytes"]) for row in rows)
    x = Scale(min(sizes), max(sizes), LEFT + 20, WIDTH - RIGHT - 20, True)
    return plot.lines(x, series).x_labels(x, sizes, "bytes of text")


def stopped(rows):
    points = [(float(row["time"]), float(row["bytes"]) / 2**20) for row in rows]
    plot = Plot("Memory while a subscriber stands still", "MiB resident", [value for _, value in points])
    x = Scale(0, points[-1][0], LEFT, WIDTH - RIGHT)
    plot.band(x(4), x(12), "the subscriber does not read")
    return plot.lines(x, [points]).x_labels(x, range(0, 17, 2), "seconds, 50,000 records each")


def latency(rows):
    """Of one log whose records come one by one."""
    rows = [row for row in rows if row["logs"] == "1" and row["burst"] == "1"]
    ways = unique(row["way"] for row in rows)
    series = [[(float(row["rate"]), float(row["p99"])) for row in rows if row["way"] == way] for way in ways]
    values = [value for points in series for _, value in points]
    plot = Plot("99 % of the records have arrived after", "ms, logarithmic", values, True, ways)
    rates = unique(float(row["rate"]) for row in rows)
    x = Scale(min(rates), max(rates), LEFT + 20, WIDTH - RIGHT - 20, True)
    return plot.lines(x, series).x_labels(x, rates, "records a second")


PLOTS = {
    "latency": latency,
    "encoder": encoder,
    "throughput": throughput,
    "idle": idle,
    "writers": writers,
    "text": text_speed,
    "stopped": stopped,
}


def main():
    if any(argument.startswith("-") for argument in sys.argv[1:]) or len(sys.argv) > 3:
        print(__doc__)
        return
    root = Path(__file__).resolve().parent.parent
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "target/bench"
    plots = Path(sys.argv[2]) if len(sys.argv) > 2 else root / "docs/plots"
    plots.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        source = results / f"{name}.tsv"
        if not source.exists():
            print(f"{name}: left out, there is no {source.name}")
            continue
        with source.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        if not rows:
            print(f"{name}: left out, {source.name} is empty")
            continue
        (plots / f"{name}.svg").write_text(draw(rows).svg(), encoding="utf-8")
        print(f"{name}: {name}.svg")


if __name__ == "__main__":
    main()
