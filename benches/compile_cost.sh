#!/usr/bin/env bash
# What a crate pays to compile for its HTTP client: seconds from clean and the number of crates, of a
# debug build, for hyper-session and for reqwest with the same features: queries, forms, streams and files
# are in every build of the one, and features of the other. All is downloaded before the clock starts. One
# line each: features, client, seconds, crates.
#
#     benches/compile_cost.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CARGO_TARGET_DIR RUSTFLAGS
# As what comes from a registry is built; what comes from a path would be built in more and smaller parts.
export CARGO_INCREMENTAL=0

# crate NAME DEPENDENCY USE: a program that makes one request.
crate() {
    mkdir -p "$work/$1/src"
    cat >"$work/$1/Cargo.toml" <<END
[package]
name = "user"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
tokio = { version = "1", features = ["macros", "rt"] }
$2
END
    cat >"$work/$1/src/main.rs" <<END
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = $3;
    println!("{}", client.get("http://127.0.0.1/").send().await?.text().await?);
    Ok(())
}
END
    # The same versions of what both depend on.
    cp "$root/Cargo.lock" "$work/$1/Cargo.lock"
    cargo metadata --format-version 1 --manifest-path "$work/$1/Cargo.toml" >/dev/null
    cargo fetch --quiet --manifest-path "$work/$1/Cargo.toml"
}

# measure FEATURES CLIENT NAME
measure() {
    local start end log
    log="$work/$3/log"
    start=$(date +%s.%N)
    cargo build --offline --manifest-path "$work/$3/Cargo.toml" 2>"$log" || { cat "$log" >&2; exit 1; }
    end=$(date +%s.%N)
    # Without the program itself.
    printf '%s\t%s\t%.1f\t%d\n' "$1" "$2" "$(awk "BEGIN { print $end - $start }")" \
        "$(($(grep -c '^ *Compiling ' "$log") - 1))"
    rm -rf "$work/$3/target"
}

session='hyper_session::Session::builder().open().await?'
reqwest='reqwest::Client::new()'
crate session-default "hyper-session = { path = \"$root\" }" "$session"
crate reqwest-default 'reqwest = { version = "0.13", default-features = false, features = ["native-tls", "http2", "json", "query", "form", "stream"] }' "$reqwest"
crate session-no "hyper-session = { path = \"$root\", default-features = false }" "$session"
crate reqwest-no 'reqwest = { version = "0.13", default-features = false, features = ["query", "form", "stream"] }' "$reqwest"

measure default hyper-session session-default
measure default reqwest reqwest-default
measure no hyper-session session-no
measure no reqwest reqwest-no
