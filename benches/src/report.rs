//! The table: figures beside what they are to reach, on the terminal and as JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::client::{Bare, Client, Legacy, Ours, Reqwest};
use crate::rounds::{Measured, median};

/// The columns of clients.
const CLIENTS: [&str; 4] = [Ours::NAME, Bare::NAME, Legacy::NAME, Reqwest::NAME];

/// What was measured of all clients at one task.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// What it is counted in.
    pub unit: &'static str,
    /// By name of the client, the middle one of all rounds.
    pub values: Vec<Value>,
    /// What is to be reached.
    pub checks: Vec<Check>,
    #[serde(skip)]
    measured: Vec<Measured>,
}

/// A client's part of a figure.
#[derive(Debug, Clone, Serialize)]
pub struct Value {
    /// Whose.
    pub client: &'static str,
    /// How much, in the figure's unit.
    pub value: f64,
}

/// Something to be reached.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What is compared.
    pub what: Compared,
    /// What came out.
    pub result: f64,
    /// What it must be.
    pub least: Bound,
    /// What it is meant to become.
    pub goal: Bound,
}

/// What is compared with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Compared {
    /// Our value, divided by theirs.
    Times(&'static str),
    /// Our value, less theirs.
    Over(&'static str),
    /// Our value by itself.
    Itself,
}

/// A bound on what is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Bound {
    /// So much, or less.
    AtMost(f64),
    /// So much, or more.
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};
use Compared::{Over, Times};

impl Figure {
    /// What was measured, the first of it being ours.
    pub fn new(name: impl Into<String>, unit: &'static str, measured: &[Measured]) -> Self {
        let values = measured.iter().map(|of| Value {
            client: of.name,
            value: of.median(),
        });
        Self {
            name: name.into(),
            unit,
            values: values.collect(),
            checks: Vec::new(),
            measured: measured.to_vec(),
        }
    }

    /// Adds what is to be reached, at the least and as the goal.
    ///
    /// Two values are compared round by round, and the middle one of the results counts.
    #[must_use]
    pub fn to_reach(mut self, what: Compared, least: Bound, goal: Bound) -> Self {
        let ours = &self.measured[0].values;
        let theirs = |name| {
            let mut measured = self.measured.iter();
            let theirs = measured.find(|theirs| theirs.name == name);
            &theirs
                .unwrap_or_else(|| panic!("{name} was measured"))
                .values
        };
        let results = match what {
            Times(name) => ours.iter().zip(theirs(name)).map(|(a, b)| a / b).collect(),
            Over(name) => ours.iter().zip(theirs(name)).map(|(a, b)| a - b).collect(),
            Compared::Itself => ours.clone(),
        };
        self.checks.push(Check {
            what,
            result: median(results),
            least,
            goal,
        });
        self
    }

    fn value(&self, client: &str) -> Option<f64> {
        let value = self.values.iter().find(|value| value.client == client);
        value.map(|value| value.value)
    }
}

impl Check {
    /// Whether what is to be reached at the least is reached.
    pub fn is_met(&self) -> bool {
        self.least.holds(self.result)
    }
}

impl Bound {
    fn holds(self, result: f64) -> bool {
        match self {
            AtMost(bound) => result <= bound,
            AtLeast(bound) => result >= bound,
        }
    }
}

/// The table's head.
pub fn print_head() {
    print!("{:56}", "figure");
    for client in CLIENTS {
        print!("{client:>14}");
    }
    println!(
        "  {:22} {:>9}  {:9} {:9} met?",
        "compared", "result", "at least", "goal"
    );
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:56}", format!("{} [{}]", self.name, self.unit))?;
        for client in CLIENTS {
            let value = self.value(client).map_or_else(|| "-".to_owned(), readable);
            write!(f, "{value:>14}")?;
        }
        for (line, check) in self.checks.iter().enumerate() {
            if line > 0 {
                write!(f, "\n{:112}", "")?;
            }
            write!(f, "  {check}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Times(client) => format!("x {client}"),
            Over(client) => format!("more than {client}"),
            Compared::Itself => String::new(),
        };
        let met = match (self.is_met(), self.goal.holds(self.result)) {
            (true, true) => "goal",
            (true, false) => "yes",
            (false, _) => "NO",
        };
        let [result, least, goal] = [
            readable(self.result),
            self.least.to_string(),
            self.goal.to_string(),
        ];
        write!(f, "{what:22} {result:>9}  {least:9} {goal:9} {met}")
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AtMost(bound) => write!(f, "<= {}", readable(bound)),
            AtLeast(bound) => write!(f, ">= {}", readable(bound)),
        }
    }
}

/// With as many decimals as it deserves, and its thousands apart.
fn readable(number: f64) -> String {
    if number.abs() < 9.995 {
        return format!("{number:.2}");
    }
    if number.abs() < 99.95 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut apart = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !apart.ends_with('-') {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// A run of the table.
#[derive(Debug, Serialize)]
struct Run<'a> {
    command: &'a str,
    machine: String,
    versions: Vec<(String, String)>,
    figures: &'a [Figure],
}

/// Writes all figures to a file, with how they came about.
pub fn write_json(path: &Path, command: &str, figures: &[Figure]) {
    let run = Run {
        command,
        machine: machine(),
        versions: versions(),
        figures,
    };
    let json = serde_json::to_string_pretty(&run).expect("plain data");
    fs::write(path, json).expect("the target directory is there");
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = info.lines();
    let model = lines.find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    format!("{cores} cores, {model}")
}

/// Those of the compiler and of what is compared.
fn versions() -> Vec<(String, String)> {
    let lock = include_str!("../../Cargo.lock");
    let of = |name: &str| {
        let package = format!("name = \"{name}\"\nversion = \"");
        let (_, rest) = lock.split_once(&package).expect("it is a dependency");
        let version = rest.split('"').next();
        (name.to_owned(), version.unwrap_or_default().to_owned())
    };
    let rustc = std::process::Command::new("rustc").arg("-V").output();
    let rustc = rustc.map_or_else(
        |_| String::new(),
        |said| String::from_utf8_lossy(&said.stdout).into(),
    );
    let rustc = rustc.split(' ').nth(1).unwrap_or("unknown").to_owned();
    let packages = ["hyper-session", "hyper", "hyper-util", "reqwest", "tokio"];
    let packages = packages.into_iter().map(of);
    [("rustc".to_owned(), rustc)]
        .into_iter()
        .chain(packages)
        .collect()
}
