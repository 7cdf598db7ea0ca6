//! All figures beside the peers' and beside what they are to reach.
//!
//! `cargo bench -p benches --bench table` prints the table and writes it to `table.json` in the target
//! directory, for `benches/plot.py`. With names of groups after `--`, only these are measured, and
//! nothing is written. Fails if a figure is not met. Needs `valgrind`.

#![allow(clippy::cast_precision_loss, reason = "all counts are far below 2^52")]

mod compile;
mod counted;
mod timed;

use std::path::Path;

use benches::counts::is_child;
use benches::report::{Figure, print_head, write_json};

const COMMAND: &str = "cargo bench -p benches --bench table";

/// Figures that are measured together.
type Group = fn() -> Vec<Figure>;

/// What can be measured by itself.
const GROUPS: [(&str, Group); 9] = [
    ("instructions", counted::requests),
    ("round_trip", timed::round_trip),
    ("contention", timed::contention),
    ("streaming", timed::streaming),
    ("http2", timed::http2),
    ("memory", counted::memory),
    ("burst", counted::bursts),
    ("origins", counted::origins),
    ("compile", compile::cost),
];

fn main() {
    if is_child() {
        return;
    }
    let arguments = std::env::args().skip(1);
    // Cargo adds the flag.
    let asked: Vec<String> = arguments.filter(|name| name != "--bench").collect();
    let known = |name: &String| GROUPS.iter().any(|(group, _)| group == name);
    if let Some(unknown) = asked.iter().find(|name| !known(name)) {
        let groups = GROUPS.map(|(group, _)| group).join(", ");
        eprintln!("no group called {unknown}; there are {groups}");
        std::process::exit(2);
    }
    print_head();
    let mut figures = Vec::new();
    for (name, group) in GROUPS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            for figure in group() {
                println!("{figure}");
                figures.push(figure);
            }
        }
    }
    if asked.is_empty() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("table.json");
        write_json(&path, COMMAND, &figures);
        println!("written to {}", path.display());
    }
    let not_met = figures.iter().flat_map(|figure| &figure.checks);
    let not_met = not_met.filter(|check| !check.is_met()).count();
    if not_met > 0 {
        println!("not met: {not_met}");
        std::process::exit(1);
    }
}
