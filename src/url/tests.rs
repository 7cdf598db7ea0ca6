//! The rules, one by one, and the two ways beside each other.

use std::error::Error as _;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use http::Uri;
use url::{Position, Url};

use super::base::{BaseUrl, directory};
use super::plain::parse_plain;
use super::refusal::{MAX_LEN, no_base};
use super::target::{Location, Target};
use crate::error::{Error, Result};

fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let test = |value| {
        test(value);
        Ok(())
    };
    TestRunner::new(config).run(strategy, test).unwrap();
}

fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(select(of), 0..=most).prop_map(|pieces| pieces.concat())
}

fn absolute(input: &str) -> Target {
    match Location::parse(input).unwrap() {
        Location::Absolute(target) => target,
        Location::Relative(_) => panic!("{input:?} is relative"),
    }
}

fn text(target: &Target) -> String {
    target.uri.to_string()
}

fn without_user_info_and_fragment(url: &Url) -> String {
    let mut url = url.clone();
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    url.set_fragment(None);
    url.into()
}

fn base(input: &str) -> BaseUrl {
    BaseUrl::parse(input).unwrap()
}

/// All that an error shows, to whatever depth.
fn shown_by(error: &Error) -> String {
    let sources = std::iter::successors(error.source(), |error| (*error).source());
    let sources = sources.map(|error| format!("{error} {error:?}"));
    format!("{error} {error:?} {}", sources.collect::<String>())
}

fn message<T>(result: Result<T>) -> String {
    result.err().unwrap().to_string()
}

const HOSTS: &[&str] = &[
    "a",
    "b1",
    "1",
    "0",
    "01",
    "255",
    "256",
    "0x7f",
    "0x",
    "x",
    "xn",
    "-",
    "--",
    "xn--",
    "xn--a",
    "xn--nxasmq6b",
    ".",
    ".",
    "..",
    "127.0.0.1",
    "1.2.3.4",
    "localhost",
    "example.com",
    "A",
    "_",
    "ä",
    "ß",
    "。",
    "%61",
    "%",
    " ",
    "\t",
    "\\",
    "@",
    "[::1]",
    "[",
    "!",
    "~",
    "*",
    "{",
    "\u{ad}",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789",
];
const NEAT_HOSTS: &[&str] = &[
    "a",
    "b1",
    "1",
    "0",
    "255",
    "0x7f",
    "x",
    "xn",
    "xn-",
    "-",
    "a.",
    "c.",
    "1.",
    "example.",
    "2-a",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789",
];
const PORTS: &[&str] = &[
    "",
    "",
    "",
    ":",
    ":80",
    ":443",
    ":8080",
    ":080",
    ":0",
    ":65535",
    ":65536",
    ":99999999999",
    ":8a",
    ":1:2",
    ":+1",
];
const TAILS: &[&str] = &[
    "/", "/", "/", ".", "..", "...", "%2e", "%2E", "%2", "%", "a", "Z", "9", "?", "#", "@", ":",
    ";", "=", "&", "'", "\"", "<", ">", "`", "{", "}", "|", "^", "[", "]", "~", "!", "$", "(", ")",
    "*", "+", ",", "-", "_", "\\", "\t", "\r\n", " ", "\0", "\u{7f}", "é", "\u{feff}", "%C3%A9",
    "%zz",
];
const NEAT_TAILS: &[&str] = &[
    "/", "/", ".", "..", "...", "%2e", "%2E.", "%41", "%", "a", "Z", "9", "?", "@", ":", "=", "&",
    "'", "~", "(", "+", ",",
];

/// URLs of whatever is difficult, most of them wrong or not normal.
fn odd_urls() -> impl Strategy<Value = String> {
    let schemes = [
        "http://", "https://", "HTTP://", "http:", "http:/", "ftp://", " http://",
    ];
    let tail = (select(&["", "/"][..]), pieces(TAILS, 8))
        .prop_map(|(slash, tail)| [slash, &tail].concat());
    (
        select(schemes.to_vec()),
        pieces(HOSTS, 5),
        select(PORTS),
        tail,
    )
        .prop_map(|(scheme, host, port, tail)| [scheme, &host, port, &tail].concat())
}

/// URLs of which about half are normal.
fn neat_urls() -> impl Strategy<Value = String> {
    let schemes = &["http://", "https://"][..];
    let number = select(&["0", "1", "9", "10", "255", "256", "01", "0x1", "a"][..]);
    let hosts = prop_oneof![
        2 => select(&["127.0.0.1", "localhost", "example.com"][..]).prop_map(String::from),
        4 => (pieces(NEAT_HOSTS, 4), select(&["a", "b1", "1x", "0"][..])).prop_map(|(host, end)| host + end),
        1 => prop::collection::vec(number, 1..=5).prop_map(|numbers| numbers.join(".")),
    ];
    let ports = &[
        "", "", "", ":81", ":8080", ":65535", ":65536", ":1", ":80", ":443",
    ][..];
    let tail = prop_oneof![
        1 => Just(String::new()),
        4 => pieces(NEAT_TAILS, 8).prop_map(|tail| format!("/{tail}")),
    ];
    (select(schemes), hosts, select(ports), tail)
        .prop_map(|(scheme, host, port, tail)| [scheme, &host, port, &tail].concat())
}

/// The plain way, after an origin that many of the tests' URLs begin with, and after their own.
fn plain(input: &str) -> Option<Uri> {
    parse_plain("http://h/");
    let parsed = parse_plain(input);
    assert_eq!(parsed, parse_plain(input), "{input:?}");
    parsed
}

#[test]
fn the_plain_way_never_differs_from_url() {
    let accepted = std::cell::Cell::new(0);
    check(50_000, &neat_urls(), |input| {
        let Some(uri) = plain(&input) else {
            return;
        };
        accepted.set(accepted.get() + 1);
        let url = Url::parse(&input).unwrap();
        assert_eq!(uri.to_string(), url.as_str());
        assert_eq!(
            uri.path_and_query().unwrap().as_str(),
            &url[Position::BeforePath..]
        );
        assert_eq!((uri.path(), uri.query()), (url.path(), url.query()));
        assert_eq!((uri.host(), uri.port_u16()), (url.host_str(), url.port()));
    });
    assert!(
        accepted.get() >= 20_000,
        "only {} were accepted",
        accepted.get()
    );
}

#[test]
fn every_byte_is_plain_only_where_url_keeps_it() {
    for byte in 0..=127_u8 {
        for before in [
            "http://",
            "http://h",
            "http://h.",
            "http://h:",
            "http://h:1",
            "http://h/",
            "http://h/a",
            "http://h/a?",
            "http://h/a?b",
        ] {
            for after in ["", "a", "/", "1/", "."] {
                let input = format!("{before}{}{after}", char::from(byte));
                if let Some(uri) = plain(&input) {
                    assert_eq!(
                        uri.to_string(),
                        Url::parse(&input).unwrap().as_str(),
                        "{input:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_target_is_what_url_says_and_stays_so() {
    check(20_000, &prop_oneof![odd_urls(), neat_urls()], |input| {
        let Ok(Location::Absolute(target)) = Location::parse(&input) else {
            return;
        };
        let url = Url::parse(&input).unwrap();
        let expected = without_user_info_and_fragment(&url);
        assert_eq!(text(&target), expected);
        assert!(
            target
                .uri
                .path_and_query()
                .unwrap()
                .as_str()
                .starts_with('/')
        );
        assert_eq!(target.fragment.as_deref(), url.fragment());
        let mut again = target.to_url();
        assert_eq!(again.fragment(), url.fragment());
        again.set_fragment(None);
        assert_eq!(again.as_str(), expected);
        assert_eq!(text(&absolute(&expected)), expected);
        assert_eq!(text(&Target::from_uri(&target.uri).unwrap()), expected);
        let host = &url[Position::BeforeHost..Position::AfterPort];
        assert_eq!(target.uri.authority().unwrap().as_str(), host);
    });
}

#[test]
fn a_ready_made_uri_means_what_its_string_means() {
    check(20_000, &prop_oneof![odd_urls(), neat_urls()], |input| {
        // `http::Uri` drops a fragment, and takes `http:1` for a host and port.
        if input.contains('#') || !input.contains("://") {
            return;
        }
        let Ok(uri) = input.parse::<Uri>() else {
            return;
        };
        let expected = match Location::parse(&input) {
            Ok(Location::Absolute(target)) => Some(target.uri),
            _ => None,
        };
        let target = Target::from_uri(&uri).ok();
        assert_eq!(target.map(|target| target.uri), expected, "{input:?}");
    });
}

#[test]
fn common_urls_take_the_plain_way() {
    for input in [
        "http://127.0.0.1:8080/path",
        "http://localhost",
        "https://example.com",
        "https://my-host.example.com:8443/.well-known/a%20b/c..d?x=%22&y=a+b/?",
        "http://h/users/@me?mail=a@b",
    ] {
        assert!(plain(input).is_some(), "{input}");
    }
    assert_eq!(text(&absolute("http://h")), "http://h/");
}

#[test]
fn odd_urls_do_not_take_the_plain_way() {
    for input in [
        "http://1",
        "http://0x7f.1",
        "http://127.1",
        "http://01.2.3.4",
        "http://1.2.3.256",
        "http://1.2.3.4.",
        "http://h.",
        "http://a..b",
        "http://.a",
        "http://xn--nxasmq6b",
        "http://a.xn--a",
        "http://a_b",
        "http://H",
        "http://h:",
        "http://h:80/",
        "https://h:443/",
        "http://h:08",
        "http://h:0",
        "http://h:65536",
        "http://h:1a",
        "http://h?q",
        "http://h/./",
        "http://h/..",
        "http://h/%2e",
        "http://h/a/.%2E?q",
        "http://h/a#",
        "http://u@h",
        "http://h\\",
        "http://h/\\",
        "http://h/ ",
        " http://h",
        "http://h/\t",
        "http://h/?'",
        "http://h/é",
        "http://",
        "http:///",
        "HTTP://h",
        "ws://h",
        "http://[::1]/",
    ] {
        assert!(plain(input).is_none(), "{input}");
    }
}

#[test]
fn user_info_and_fragment_are_taken_out_of_the_uri() {
    let target = absolute("http://us%40er:p%3Ass%zz@H:80?q#frag ment");
    assert_eq!(text(&target), "http://h/?q");
    assert_eq!(target.fragment.as_deref(), Some("frag%20ment"));
    let user_info = target.user_info.clone().unwrap();
    assert_eq!(
        (&*user_info.username, user_info.password.as_deref()),
        ("us@er", Some("p:ss%zz"))
    );
    let user_info = absolute("http://user@h").user_info.unwrap();
    assert_eq!(
        (&*user_info.username, user_info.password.as_deref()),
        ("user", None)
    );
    assert_eq!(absolute("http://@h").user_info, None);
    assert_eq!(target.to_url().as_str(), "http://h/?q#frag%20ment");
    assert_eq!(
        format!("{target:?} {user_info:?}"),
        "Target(http://h/) UserInfo { .. }"
    );
    let uri = "http://u:p@H:80/a/../b".parse().unwrap();
    let target = Target::from_uri(&uri).unwrap();
    assert_eq!(
        (text(&target), &*target.user_info.unwrap().username),
        ("http://h/b".into(), "u")
    );
}

#[test]
fn only_an_input_without_a_scheme_is_relative() {
    for input in [
        "", " ", "users", "/users", "//h/x", "?a", "#f", "./a:b", "/a:b", "a/b:c", "1:2", "a_b:c",
        "@", "é:x", "..",
    ] {
        let Ok(Location::Relative(kept)) = Location::parse(input) else {
            panic!("{input:?}")
        };
        assert_eq!(&*kept, input);
    }
    assert_eq!(text(&absolute(" https:\\\\h\\x ")), "https://h/x");
}

#[test]
fn errors_name_what_is_wrong() {
    let long = format!("http://h/{}", "a".repeat(MAX_LEN));
    for (input, expected) in [
        ("http://", "the URL has no host"),
        ("http://?q", "the URL has no host"),
        ("http://u:p@/x", "the URL has no host"),
        (
            "http:h",
            "the URL does not have `//` between its scheme and its host",
        ),
        (
            " HTTPS:u:p@h",
            "the URL does not have `//` between its scheme and its host",
        ),
        (
            "http:/h?q",
            "the URL does not have `//` between its scheme and its host",
        ),
        (
            "http:\\/\\h",
            "the URL does not have `//` between its scheme and its host",
        ),
        (
            "https:///h",
            "the URL does not have `//` between its scheme and its host",
        ),
        (
            "http://u:p@h:99999/x?q",
            "the URL does not parse: invalid port number in \"h:99999\"",
        ),
        (
            "http://1.2.3.256",
            "the URL does not parse: invalid IPv4 address in \"1.2.3.256\"",
        ),
        (
            "http://[::1",
            "the URL does not parse: invalid IPv6 address in \"[::1\"",
        ),
        (
            "http://a b/",
            "the URL does not parse: invalid international domain name in \"a b\"",
        ),
        (
            "http://user:pa/ss@h",
            "the URL does not parse: invalid port number",
        ),
        (
            "http://a{b/",
            "the URL's host \"a{b\" cannot be sent over HTTP",
        ),
        ("http://%ff@h/", "the URL's user info is not UTF-8"),
        (
            "ftp://h/x?q",
            "the URL's scheme \"ftp\" is neither http nor https",
        ),
        (
            "a:b/c",
            "the URL's scheme \"a\" is neither http nor https (before a host goes `http://`, before a path with a colon `./`)",
        ),
        (
            "localhost:80/x",
            "the URL's scheme \"localhost\" is neither http nor https (before a host goes `http://`, before a path with a colon `./`)",
        ),
        (
            "user:pass@h/x",
            "the URL's scheme is neither http nor https",
        ),
        (&*long, "the URL is longer than 65534 bytes"),
    ] {
        assert_eq!(message(Location::parse(input)), expected);
    }
    assert_eq!(
        message::<()>(Err(no_base("/users?q#f"))),
        "\"/users\" is relative and no base_url is set"
    );
    assert_eq!(
        message::<()>(Err(no_base("//u:p@h"))),
        "\"…\" is relative and no base_url is set"
    );
    assert_eq!(
        message(Target::from_uri(&"/x?q".parse().unwrap())),
        "\"/x\" is relative and no base_url is set"
    );
    let star = Uri::builder()
        .scheme("http")
        .authority("h")
        .path_and_query("*")
        .build()
        .unwrap();
    assert_eq!(
        message(Target::from_uri(&star)),
        "the URL's path \"*\" does not start with a slash"
    );
}

#[test]
fn control_characters_are_refused_wherever_they_are() {
    let controls = (0..0x20).chain([0x7f]).map(char::from);
    for control in controls {
        for (before, after) in [
            ("", "http://h/"),
            ("ht", "tp://h/"),
            ("http:/", "/h/"),
            ("http://", "h/"),
            ("http://u:hunter2", "@h/"),
            ("http://h", "/"),
            ("http://h:8", "0/"),
            ("http://h/a", "b"),
            ("http://h/.", "./b"),
            ("http://h/?hunter2", ""),
            ("http://h/#", ""),
            ("/é", "b"),
            ("a", ""),
            ("?a", "b"),
            ("", ""),
        ] {
            let input = format!("{before}{control}{after}");
            let expected = format!(
                "the URL has the control character U+{:04X} at byte {}",
                u32::from(control),
                before.len(),
            );
            assert_eq!(message(Location::parse(&input)), expected);
            assert_eq!(message(BaseUrl::parse(&input)), expected);
            assert_eq!(message(base("http://h/v4").join(&input)), expected);
        }
    }
    let encoded = "http://h/a%0d%0ab%00?%7f";
    assert_eq!(text(&absolute(encoded)), encoded);
    // Two bytes each, which are encoded.
    assert_eq!(text(&absolute("http://h/\u{85}")), "http://h/%C2%85");
}

#[test]
fn a_query_is_appended_with_the_right_sign() {
    for (input, query, expected) in [
        ("http://h", "a=1", "http://h/?a=1"),
        ("http://h/p", "", "http://h/p"),
        ("http://h/p?", "a=1", "http://h/p?a=1"),
        ("http://h/p?x", "a=1&b=%20+", "http://h/p?x&a=1&b=%20+"),
        ("http://h/p", "a='é#", "http://h/p?a=%27%C3%A9%23"),
        ("http://h/p?x", "'", "http://h/p?x&%27"),
    ] {
        assert_eq!(
            text(&absolute(input).append_query(query).unwrap()),
            expected
        );
    }
    let target = absolute("http://u:p@h/p#f")
        .append_query("a")
        .unwrap()
        .append_query("'")
        .unwrap();
    assert_eq!(
        (text(&target), target.fragment.as_deref()),
        ("http://h/p?a&%27".into(), Some("f"))
    );
    assert!(target.user_info.is_some());
    let long = "a".repeat(MAX_LEN);
    for query in [&long[..], &long["http://h/p?".len() - 1..]] {
        assert_eq!(
            message(absolute("http://h/p").append_query(query)),
            "the URL is longer than 65534 bytes"
        );
    }
    assert!(
        absolute("http://h/p")
            .append_query(&long["http://h/p?".len()..])
            .is_ok()
    );
}

#[test]
fn relative_strings_are_appended_to_the_base() {
    for (base_url, relative, expected) in [
        ("http://h/v4", "users", "http://h/v4/users"),
        ("http://h/v4", "/users", "http://h/v4/users"),
        ("http://h/v4/", "users", "http://h/v4/users"),
        ("http://h/v4/", "/users/", "http://h/v4/users/"),
        ("http://h", "/users", "http://h/users"),
        ("http://h", "", "http://h/"),
        ("http://h/v4", "", "http://h/v4"),
        ("http://h/v4", "  ", "http://h/v4"),
        ("http://h/v4/", "", "http://h/v4/"),
        ("http://h/v4", "/", "http://h/v4/"),
        ("http://h/v4", "?a=b", "http://h/v4?a=b"),
        ("http://h/v4", "?a='", "http://h/v4?a=%27"),
        ("http://h/v4/", "?a=b", "http://h/v4/?a=b"),
        ("http://h/v4", "a?b=c", "http://h/v4/a?b=c"),
        ("http://h/v4", "a b/é ", "http://h/v4/a%20b/%C3%A9"),
        ("http://h/v4", "a/./b/../c", "http://h/v4/a/c"),
        ("http://h/v4", "./a/%2E%2e/b", "http://h/v4/b"),
        ("http://h/v4", "a\\b", "http://h/v4/a/b"),
        ("http://h/v4", "\\a", "http://h/v4/a"),
        ("http://h/v4", "a/..", "http://h/v4/"),
        ("http://h/v4", ".", "http://h/v4/"),
        ("http://h/v4", "a//../..", "http://h/v4/"),
        ("http://h/v4", "a//b", "http://h/v4/a//b"),
        ("http://h/v4", "./a:b/c", "http://h/v4/a:b/c"),
        ("http://h/v4", "@me", "http://h/v4/@me"),
        ("http://h/v4", "a?../..", "http://h/v4/a?../.."),
        ("http://h/v4", "http://x/", "http://h/v4/http://x/"),
    ] {
        assert_eq!(
            text(&base(base_url).join(relative).unwrap()),
            expected,
            "{relative:?}"
        );
    }
    let base = base("HTTP://u:p@H/v4");
    assert_eq!(base.as_str(), "http://h/v4");
    for relative in ["", "a", "a b"] {
        assert_eq!(base.join(relative).unwrap().user_info, None);
    }
    assert_eq!(base.join("a#f").unwrap().fragment.as_deref(), Some("f"));
    assert_eq!(base.user_info().unwrap().password.as_deref(), Some("p"));
    assert!(!format!("{base:?}").contains("\"p\""));
}

#[test]
fn what_would_leave_the_base_is_refused() {
    for relative in [
        "//x", "//x/y?q", "\\\\x", "/\\x", "\\/x", " //x", "//u:p@x", "//",
    ] {
        let message = message(base("http://h/v4").join(relative));
        assert!(
            message.ends_with("names a host of its own, and would leave base_url \"http://h/v4\""),
            "{message}"
        );
    }
    for relative in [
        "..",
        "../v4x",
        "/..",
        "a/../..",
        "%2e%2E/x",
        ".%2e",
        "a\\..\\..\\b",
        "./..",
        "..?q",
        "../v4/x",
    ] {
        for base_url in ["http://h/v4", "http://h"] {
            let message = message(base(base_url).join(relative));
            assert!(message.contains("leaves the path of base_url"), "{message}");
        }
    }
}

#[test]
fn a_base_is_absolute_and_has_neither_query_nor_fragment() {
    for (input, expected) in [
        ("/v4?secret", "base_url \"/v4\" is relative"),
        (
            "http://u:p@h/v4?secret",
            "base_url \"http://h/v4\" must not have a query",
        ),
        (
            "http://h/@me?",
            "base_url \"http://h/@me\" must not have a query",
        ),
        (
            "http://h/v4#secret",
            "base_url \"http://h/v4\" must not have a fragment",
        ),
        (
            "ftp://h",
            "the URL's scheme \"ftp\" is neither http nor https",
        ),
    ] {
        assert_eq!(message(BaseUrl::parse(input)), expected);
    }
}

#[test]
fn join_never_leaves_the_base() {
    const BASES: &[&str] = &[
        "http://h",
        "https://h:81/v4",
        "http://h/v4/",
        "http://[::1]/a/b",
        "http://u:p@h/v4//",
        "http://h/C:/x",
    ];
    let relative = prop_oneof![
        pieces(TAILS, 10),
        pieces(NEAT_TAILS, 8),
        pieces(&["..", ".", "%2e", "/", "\\", "a", "C:", "\t", " "], 10)
    ];
    check(
        40_000,
        &(select(BASES), relative),
        |(base_url, relative)| {
            let base = base(base_url);
            let Ok(target) = base.join(&relative) else {
                return;
            };
            let expected = base.target.uri.clone();
            assert_eq!(target.uri.authority(), expected.authority());
            assert_eq!(target.uri.scheme(), expected.scheme());
            let below = format!("{}/", directory(expected.path()));
            let path = target.uri.path();
            assert!(
                path == expected.path() || path.starts_with(&below),
                "{path} {base:?}"
            );
            let relative = relative.trim_matches(' ');
            let expected = match relative.chars().next() {
                None | Some('?' | '#') => format!("{}{relative}", base.text),
                Some('/' | '\\') => format!("{}{relative}", directory(&base.text)),
                _ => format!("{}/{relative}", directory(&base.text)),
            };
            let expected = Url::parse(&expected).unwrap();
            assert_eq!(
                text(&target),
                without_user_info_and_fragment(&expected),
                "{relative:?}"
            );
        },
    );
}

#[test]
fn no_error_shows_a_secret() {
    const STARTS: &[&str] = &[
        "http://",
        "ftp://",
        "",
        "//",
        "\\\\",
        "a:",
        "http:\\\\",
        " //",
        " http:/",
        "https:///",
        "http:\\//",
        "1",
    ];
    const USERS: &[&str] = &[
        "user:hunter2@",
        "hunter2@",
        "hunter2:@",
        "hunter2:x@",
        "us_er:hunter2@",
        "us_er:x/hunter2@",
        "us_er:hunter2/x@",
        "us_er:hunter2?x@",
        "user:x#hunter2@",
        "user:hunter2#x@",
        "user:hunter2\\@",
        "%ff:hunter2@",
        "u:a@hunter2@",
        "u:\thunter2@",
        "u:hunter2\x7f@",
    ];
    const HOSTS: &[&str] = &[
        "",
        "h",
        "a b",
        "h:99999",
        "h:hunter",
        "[",
        "1.2.3.256",
        "a{b",
        "h/..",
        "h/../../..",
        "..",
        "/..",
        "//",
    ];
    const ENDS: &[&str] = &[
        "",
        "?hunter2",
        "#hunter2",
        "/?q=hunter2#hunter2",
        "/..?hunter2@",
        "@?hunter2",
    ];
    let inputs = (select(STARTS), select(USERS), select(HOSTS), select(ENDS));
    check(20_000, &inputs, |(start, user, host, end)| {
        let input = [start, user, host, end].concat();
        let base = base("http://root:hunter2@h/v4");
        // `http::Uri` has cut off what follows `#`: no error can know of an `@` in it.
        let uri = input.parse::<Uri>().ok().filter(|_| !input.contains('#'));
        let location = Location::parse(&input);
        if let Ok(Location::Absolute(target)) = &location {
            let debug = format!("{target:?}");
            assert!(
                !debug.contains("hunter2")
                    || target.to_url().path().contains("hunter2")
                    || target.to_url().host_str().unwrap().contains("hunter2"),
                "{input:?}: {debug}"
            );
        }
        let errors = [
            matches!(location, Ok(Location::Relative(_))).then(|| no_base(&input)),
            location.err(),
            BaseUrl::parse(&input).err(),
            base.join(&input).err(),
            uri.and_then(|uri| Target::from_uri(&uri).err()),
        ];
        for error in errors.iter().flatten() {
            let shown = shown_by(error);
            assert!(!shown.contains("hunter2"), "{input:?}: {shown}");
        }
    });
}
