//! What a crate pays to compile for its HTTP client.

use std::process::Command;

use benches::client::{Client, Ours, Reqwest};
use benches::report::Bound::AtMost;
use benches::report::Compared::Times;
use benches::report::Figure;
use benches::rounds::Measured;

/// What a crate pays for its dependency, as `compile_cost.sh` prints it.
pub(crate) fn cost() -> Vec<Figure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compile_cost.sh");
    let ran = Command::new("bash").arg(script).output().expect("bash");
    let printed = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script} failed: {errors}");

    let lines: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let of = |features: &str, client, column: usize| {
        let mut lines = lines.iter();
        let line = lines.find(|line| line[0] == features && line[1] == client);
        let line = line.unwrap_or_else(|| panic!("{features} {client} in: {printed}"));
        Measured::once(client, line[column].parse().expect("a number"))
    };
    let figure = |features: &str, column, unit| {
        let measured = [Ours::NAME, Reqwest::NAME].map(|client| of(features, client, column));
        Figure::new(format!("compiling, {features} features"), unit, &measured).to_reach(
            Times("reqwest"),
            AtMost(1.00),
            AtMost(0.50),
        )
    };
    vec![
        figure("default", 2, "s"),
        figure("default", 3, "crates"),
        figure("no", 2, "s"),
        figure("no", 3, "crates"),
    ]
}
