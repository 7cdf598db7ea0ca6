#!/usr/bin/env python3
"""Draws what `cargo bench -p benches --bench table` has written, for the README.

    python3 benches/plot.py [target/table.json [docs/comparison.svg]]

A panel for each figure, a bar for each client. Needs nothing but Python.
"""

import json
import os
import pathlib
import sys
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

# The figures that are shown: name and unit in the table, heading, direction.
PANELS = [
    ("GET by &str", "instructions", "Instructions a GET", "less is better"),
    ("GET by &str", "allocations", "Allocations a GET", "less is better"),
    ("GETs in turn, one core: client CPU", "us", "Client CPU a GET, µs", "less is better"),
    ("64 tasks, workers: 2", "requests/s", "Requests a second, 64 tasks, 2 workers", "more is better"),
    ("256 MiB down", "MB/s", "Download, MB/s", "more is better"),
    ("HTTP/2, 64 tasks", "requests/s", "HTTP/2 requests a second, 64 tasks", "more is better"),
    ("a connection that idles after a download", "bytes", "Bytes held, 2.5 s idle after 16 MiB", "less is better"),
    ("cold burst, 1000 x 10", "connections", "Connections for 1,000 tasks at once", "less is better"),
]

CLIENTS = {
    "hyper-session": "hyper-session",
    "bare": "bare hyper connection",
    "hyper-util": "hyper-util legacy",
    "reqwest": "reqwest",
}

COLUMNS = 2
WIDTH, GAP, MARGIN = 400, 40, 24
BAR, STEP = 16, 24
LABEL, NUMBER = 158, 70
HEAD = 62
PANEL = 34 + STEP * len(CLIENTS) + 22

# It brings its own background, so that it can be read on a page whose scheme is not the browser's.
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 16px }
.panel { font-weight: 600 }
.note { font-size: 12px; fill: #59636e }
.number { font-variant-numeric: tabular-nums }
.page { fill: #ffffff; stroke: #d1d9e0 }
.other { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .page { fill: #0d1117; stroke: #3d444d }
  .other { fill: #6e7681 }
  .ours { fill: #4493f8 }
}
"""


def readable(value):
    if value < 100 and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}"


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def panel(x, y, title, better, values):
    parts = [text(x, y + 14, title, "panel"), text(x + WIDTH, y + 14, better, "note", "end")]
    longest = WIDTH - LABEL - NUMBER
    largest = max(values.values())
    row = y + 30
    for client, label in CLIENTS.items():
        if client not in values:
            continue
        value = values[client]
        length = max(longest * value / largest, 1)
        kind = "ours" if client == "hyper-session" else "other"
        parts.append(text(x + LABEL - 8, row + 13, label, "panel" if kind == "ours" else "", "end"))
        parts.append(
            f'<rect x="{x + LABEL}" y="{row}" width="{length:.1f}" height="{BAR}" rx="2" class="{kind}"/>'
        )
        parts.append(text(x + LABEL + length + 6, row + 13, readable(value), "number"))
        row += STEP
    return parts


def drawing(run):
    figures = {(figure["name"], figure["unit"]): figure for figure in run["figures"]}
    rows = -(-len(PANELS) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP
    height = HEAD + rows * PANEL + 2 * 18 + MARGIN // 2
    title = "hyper-session beside its peers"
    page = f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" class="page"/>'
    parts = [page, text(MARGIN, 34, title, "title")]
    for at, (name, unit, heading, better) in enumerate(PANELS):
        figure = figures.get((name, unit)) or sys.exit(f"no {name} [{unit}]: measured by another version?")
        values = {value["client"]: value["value"] for value in figure["values"]}
        x = MARGIN + at % COLUMNS * (WIDTH + GAP)
        y = HEAD + at // COLUMNS * PANEL
        parts += panel(x, y, heading, better, values)
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"])
    below = HEAD + rows * PANEL + 8
    parts.append(text(MARGIN, below, f"{run['command']}   ({run['machine']}; 13-byte body unless said)", "note"))
    parts.append(text(MARGIN, below + 18, versions, "note"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def main():
    arguments = sys.argv[1:]
    source = pathlib.Path(arguments[0]) if arguments else TARGET / "table.json"
    drawn = pathlib.Path(arguments[1]) if len(arguments) > 1 else ROOT / "docs" / "comparison.svg"
    if not source.exists():
        sys.exit(f"{source} is not there: run `cargo bench -p benches --bench table` first")
    run = json.loads(source.read_text())
    drawn.write_text(drawing(run))
    print(drawn)


if __name__ == "__main__":
    main()
