//! Which cookies are kept, and where they go (RFC 6265), in a jar and on the wire.
#![cfg(feature = "cookies")]

mod support;

use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::header::{COOKIE, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_session::{
    Cookie, CookieJar, CookieStore, ErrorKind, Response, Result, Session, SessionHolder, Url,
};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};
use support::server::{self, Server, echo, full, respond};
use url::form_urlencoded;

/// What is set (several by `+`), by which URL; what goes to which other URL.
const RULES: &str = r#"
    # Name and value.
    a=1                             | http://x.com/  | http://x.com/ | a=1
    a=1; Path=/; HttpOnly           | http://x.com/  | http://x.com/ | a=1
    a=                              | http://x.com/  | http://x.com/ | a=
    a=b=c                           | http://x.com/  | http://x.com/ | a=b=c
    a="quoted value"                | http://x.com/  | http://x.com/ | a="quoted value"
    a=%20%3B                        | http://x.com/  | http://x.com/ | a=%20%3B
    a = 1 ;Path=/                   | http://x.com/  | http://x.com/ | a=1
    a=1, b=2                        | http://x.com/  | http://x.com/ | a=1, b=2
    a=é                             | http://x.com/  | http://x.com/ | a=é
    =1                              | http://x.com/  | http://x.com/ | -
    a                               | http://x.com/  | http://x.com/ | -
    ; Path=/                        | http://x.com/  | http://x.com/ | -
    a=1; unknown=x; ;; Secure-ish   | http://x.com/  | http://x.com/ | a=1
    a=1 + a=2                       | http://x.com/  | http://x.com/ | a=2
    a=1 + A=2                       | http://x.com/  | http://x.com/ | a=1; A=2
    a=1 + b=2 + a=3                 | http://x.com/  | http://x.com/ | a=3; b=2
    # For one host, unless it says otherwise.
    a=1                             | http://x.com/  | http://x.com:81/ | a=1
    a=1                             | http://x.com/  | https://x.com/ | a=1
    a=1                             | http://X.COM/  | http://x.com/ | a=1
    a=1                             | http://x.com/  | http://y.com/ | -
    a=1                             | http://x.com/  | http://www.x.com/ | -
    a=1                             | http://www.x.com/ | http://x.com/ | -
    a=1; Domain=                    | http://x.com/  | http://www.x.com/ | -
    a=1                             | http://127.0.0.1/ | http://127.0.0.1/ | a=1
    a=1                             | http://[::1]/  | http://[::1]/ | a=1
    a=1                             | http://localhost/ | http://localhost:81/ | a=1
    # A domain of its own or above.
    a=1; Domain=x.com               | http://x.com/  | http://x.com/ | a=1
    a=1; Domain=x.com               | http://x.com/  | http://www.x.com/ | a=1
    a=1; Domain=x.com               | http://x.com/  | http://a.b.x.com/ | a=1
    a=1; Domain=.x.com              | http://x.com/  | http://www.x.com/ | a=1
    a=1; Domain=..x.com             | http://x.com/  | http://x.com/ | -
    a=1; domain=X.COM               | http://x.com/  | http://www.x.com/ | a=1
    a=1; Domain=x.com               | http://www.x.com/ | http://x.com/ | a=1
    a=1; Domain=x.com               | http://www.x.com/ | http://mail.x.com/ | a=1
    a=1; Domain=x.com               | http://x.com/  | http://notx.com/ | -
    a=1; Domain=x.com               | http://x.com/  | http://x.com.evil.org/ | -
    a=1; Domain=www.x.com           | http://x.com/  | http://www.x.com/ | -
    a=1; Domain=y.com               | http://x.com/  | http://y.com/ | -
    a=1; Domain=mail.x.com          | http://www.x.com/ | http://mail.x.com/ | -
    a=1; Domain=y.com               | http://x.com/  | http://x.com/ | -
    a=1; Domain=y.com; Domain=x.com | http://x.com/  | http://www.x.com/ | a=1
    a=1; Domain=0.0.1               | http://127.0.0.1/ | http://127.0.0.1/ | -
    a=1; Domain=127.0.0.1           | http://127.0.0.1/ | http://127.0.0.1/ | a=1
    a=1; Domain=127.0.0.1           | http://127.0.0.1/ | http://a.127.0.0.1.x/ | -
    a=1; Domain=bücher.de           | http://xn--bcher-kva.de/ | http://www.xn--bcher-kva.de/ | a=1
    # Public suffixes.
    a=1; Domain=com                 | http://x.com/  | http://x.com/ | -
    a=1; Domain=com                 | http://x.com/  | http://y.com/ | -
    a=1; Domain=.com                | http://x.com/  | http://y.com/ | -
    a=1; Domain=co.uk               | http://x.co.uk/ | http://y.co.uk/ | -
    a=1; Domain=CO.UK               | http://x.co.uk/ | http://y.co.uk/ | -
    a=1; Domain=x.co.uk             | http://x.co.uk/ | http://www.x.co.uk/ | a=1
    a=1; Domain=github.io           | http://me.github.io/ | http://you.github.io/ | -
    a=1; Domain=me.github.io        | http://me.github.io/ | http://a.me.github.io/ | a=1
    a=1; Domain=github.io           | http://github.io/ | http://github.io/ | a=1
    a=1; Domain=github.io           | http://github.io/ | http://you.github.io/ | -
    a=1; Domain=.github.io          | http://github.io/ | http://you.github.io/ | -
    a=1; Domain=co.uk.              | http://x.co.uk./ | http://y.co.uk./ | -
    a=1; Domain=com.                | http://x.com./ | http://y.com./ | -
    a=1; Domain=.UK.                | http://x.uk./  | http://y.uk./ | -
    a=1; Domain=github.io.          | http://me.github.io./ | http://you.github.io./ | -
    a=1; Domain=x.com.              | http://x.com./ | http://www.x.com./ | a=1
    a=1; Domain=公司.cn             | http://x.xn--55qx5d.cn/ | http://y.xn--55qx5d.cn/ | -
    a=1; Domain=localhost           | http://localhost/ | http://localhost/ | a=1
    a=1; Domain=localhost           | http://a.localhost/ | http://b.localhost/ | -
    a=1; Domain=ck                  | http://x.y.ck/ | http://z.ck/ | -
    a=1; Domain=y.ck                | http://x.y.ck/ | http://z.y.ck/ | -
    a=1; Domain=www.ck              | http://a.www.ck/ | http://b.www.ck/ | a=1
    # Paths.
    a=1                             | http://x.com/d/e?q | http://x.com/d | a=1
    a=1                             | http://x.com/d/e | http://x.com/d/f | a=1
    a=1                             | http://x.com/d/e | http://x.com/ | -
    a=1                             | http://x.com/d/ | http://x.com/d/x/y | a=1
    a=1                             | http://x.com/d | http://x.com/other | a=1
    a=1; Path=/                     | http://x.com/d/e | http://x.com/ | a=1
    a=1; Path=/d                    | http://x.com/  | http://x.com/d | a=1
    a=1; Path=/d                    | http://x.com/  | http://x.com/d/ | a=1
    a=1; Path=/d                    | http://x.com/  | http://x.com/d/e | a=1
    a=1; Path=/d                    | http://x.com/  | http://x.com/de | -
    a=1; Path=/d                    | http://x.com/  | http://x.com/D | -
    a=1; Path=/d/                   | http://x.com/  | http://x.com/d | -
    a=1; Path=/d/                   | http://x.com/  | http://x.com/d/e | a=1
    a=1; Path=d                     | http://x.com/a/b | http://x.com/a/c | a=1
    a=1; Path=                      | http://x.com/a/b | http://x.com/a/c | a=1
    a=1; Path=/ + a=2; Path=/d      | http://x.com/  | http://x.com/d | a=2; a=1
    b=1; Path=/ + a=2; Path=/d + c=3; Path=/d/e | http://x.com/ | http://x.com/d/e | c=3; a=2; b=1
    b=1; Path=/ + a=2; Path=/       | http://x.com/  | http://x.com/ | b=1; a=2
    a=1; Domain=x.com + b=2         | http://www.x.com/ | http://www.x.com/ | a=1; b=2
    a=1; Domain=x.com + a=2         | http://x.com/  | http://x.com/ | a=1; a=2
    # Secure.
    a=1; Secure                     | https://x.com/ | https://x.com/ | a=1
    a=1; Secure                     | https://x.com/ | http://x.com/ | -
    a=1; SECURE=false               | https://x.com/ | http://x.com/ | -
    a=1; Secure                     | http://x.com/  | https://x.com/ | -
    a=1; Secure                     | http://127.0.0.1/ | http://127.0.0.1/ | a=1
    a=1; Secure                     | http://localhost/ | http://localhost/ | a=1
    a=1; Secure                     | http://localhost.x.com/ | http://localhost.x.com/ | -
    # Ends.
    a=1; Max-Age=1000               | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=0                  | http://x.com/  | http://x.com/ | -
    a=1; Max-Age=-1                 | http://x.com/  | http://x.com/ | -
    a=1; Max-Age=                   | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=-                  | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=--1                | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=1s                 | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=; Expires=Wed, 21 Oct 2015 07:28:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Max-Age=0; Max-Age=1000    | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=0; Max-Age=soon    | http://x.com/  | http://x.com/ | -
    a=1; Max-Age=soon               | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=99999999999999999999999 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=Wed, 21-Oct-2015 07:28:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=Wednesday, 21-Oct-15 07:28:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=Wed Oct 21 07:28:00 2015 | http://x.com/ | http://x.com/ | -
    a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=tomorrow           | http://x.com/  | http://x.com/ | a=1
    a=1; Max-Age=1000; Expires=Wed, 21 Oct 2015 07:28:00 GMT | http://x.com/ | http://x.com/ | a=1
    a=1; Max-Age=0; Expires=Fri, 31 Dec 9999 23:59:59 GMT | http://x.com/ | http://x.com/ | -
    a=1 + a=; Max-Age=0             | http://x.com/  | http://x.com/ | -
    a=1 + b=2 + a=; Max-Age=0       | http://x.com/  | http://x.com/ | b=2
    a=1; Path=/d + a=; Path=/; Max-Age=0 | http://x.com/ | http://x.com/d | a=1
    a=1; Domain=x.com + a=; Max-Age=0 | http://x.com/ | http://x.com/ | a=1
    # Dates are read leniently (RFC 6265 §5.1.1).
    a=1; Expires=Thu, 01 Jan 1970 00:00:00 UTC | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 1 Jan 1970 00:00:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 01-Jan-1970 00:00:01 UTC | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 01 Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 01 Jan 1970 00:00:00 +0000 | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 01 Jan 1970 0:00:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 01 Jan 1970 0:0:0 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu Jan 01 1970 00:00:00 GMT+0000 (UTC) | http://x.com/ | http://x.com/ | -
    a=1; Expires=Thu, 01 jan 1970 00:00:00 gmt | http://x.com/ | http://x.com/ | -
    a=1; Expires=1 Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=Mon, 01 January 1990 00:00:00 GMT | http://x.com/ | http://x.com/ | -
    a=1; Expires=00:00:00 1970 Jan 1 | http://x.com/ | http://x.com/ | -
    a=1; Expires=jan 1970 1 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=1/Jan/1970/00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires="Thu, 01 Jan 1970 00:00:00 GMT" | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 70 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 99 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 00 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 0 1970 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 69 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=31 Dec 1969 23:59:59 | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 1601 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=1st Jan 1970ad 00:00:00z | http://x.com/ | http://x.com/ | -
    a=1; Expires=29 Feb 2000 00:00:00 | http://x.com/ | http://x.com/ | -
    a=1; Expires=01 Jan 1970 00:00:00 31 Dec 9999 23:59:59 | http://x.com/ | http://x.com/ | -
    a=1 + a=; Expires=Thu, 1 Jan 1970 00:00:00 UTC | http://x.com/ | http://x.com/ | -
    a=1; Max-Age=1000; Expires=1 Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Max-Age=0; Expires=31 Dec 2999 23:59:59 | http://x.com/ | http://x.com/ | -
    a=1; Expires=1 Jan 1970 00:00:00; Expires=soon | http://x.com/ | http://x.com/ | -
    a=1; Expires=1 Jan 1970 00:00:00; eXPIRES = 31 Dec 2999 23:59:59 | http://x.com/ | http://x.com/ | a=1
    # What is no date is not heeded.
    a=1; Expires= | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=0 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=-1 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=1970 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=Thu, 01 Jan 1970 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Ja 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1600 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 101 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 19700 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=00 Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=32 Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=001 Jan 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=31 Feb 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=29 Feb 1900 00:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1970 24:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1970 00:60:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1970 00:00:60 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1970 00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1970 000:00:00 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 Jan 1970 00:00:000 | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=1970-01-01T00:00:00Z | http://x.com/ | http://x.com/ | a=1
    a=1; Expires=01 é 1970 00:00:00 | http://x.com/ | http://x.com/ | a=1
    # Prefixes.
    __Host-a=1; Secure; Path=/      | https://x.com/ | https://x.com/ | __Host-a=1
    __Host-a=1; Secure; Path=/      | http://x.com/  | https://x.com/ | -
    __Host-a=1; Path=/              | https://x.com/ | https://x.com/ | -
    __Host-a=1; Secure              | https://x.com/ | https://x.com/ | -
    __Host-a=1; Secure; Path=/d     | https://x.com/ | https://x.com/d | -
    __Host-a=1; Secure; Path=/; Domain=x.com | https://x.com/ | https://x.com/ | -
    __host-a=1; Path=/              | https://x.com/ | https://x.com/ | -
    __Secure-a=1; Secure            | https://x.com/ | https://x.com/ | __Secure-a=1
    __Secure-a=1; Secure; Domain=x.com | https://www.x.com/ | https://x.com/ | __Secure-a=1
    __Secure-a=1                    | https://x.com/ | https://x.com/ | -
    __Secure-a=1; Secure            | http://x.com/  | https://x.com/ | -
    # Of no meaning where there are no pages.
    a=1; SameSite=Strict            | http://x.com/  | http://x.com/ | a=1
    a=1; SameSite=None              | http://x.com/  | http://x.com/ | a=1
    a=1; SameSite=Lax; Partitioned  | https://x.com/ | https://x.com/ | a=1
"#;

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// Has the jar keep what an answer would set.
fn set(jar: &CookieJar, set_cookies: &[&str], from: &str) {
    let values = set_cookies
        .iter()
        .map(|text| HeaderValue::from_bytes(text.as_bytes()));
    let values = values
        .map(|value| value.expect("a header value"))
        .collect::<Vec<_>>();
    jar.store(&mut values.iter(), &url(from));
}

/// What goes to a URL, or `-`.
fn sent(jar: &CookieJar, to: &str) -> String {
    let value = jar.cookies_for(&url(to));
    let text = value.map(|value| String::from_utf8(value.as_bytes().to_vec()));
    text.map_or_else(|| "-".to_owned(), |text| text.expect("UTF-8"))
}

#[test]
fn a_jar_keeps_what_it_may_and_sends_it_where_it_belongs() {
    let rows = RULES.lines().map(str::trim);
    let rows = rows.filter(|row| !row.is_empty() && !row.starts_with('#'));
    let (mut count, mut wrong) = (0, String::new());
    for row in rows {
        let parts = row.split('|').map(str::trim).collect::<Vec<_>>();
        let [cookies, from, to, expected] = parts[..] else {
            panic!("{row}");
        };
        let jar = CookieJar::new();
        set(&jar, &cookies.split(" + ").collect::<Vec<_>>(), from);
        let sent = sent(&jar, to);
        if sent != expected {
            writeln!(wrong, "{row}: {sent}").expect("a string takes all");
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count >= 80, "{count}");
}

#[test]
fn no_cookie_that_comes_over_http_takes_the_place_of_a_secure_one() {
    for (secure, from, other) in [
        ("a=1; Secure", "http://x.com/", "a=2"),
        ("a=1; Secure; Domain=x.com", "http://www.x.com/", "a=2"),
        ("a=1; Secure", "http://www.x.com/", "a=2; Domain=x.com"),
        ("a=1; Secure; Path=/", "http://x.com/d/e", "a=2; Path=/d"),
        ("a=1; Secure", "http://x.com/", "a=; Max-Age=0"),
    ] {
        let jar = CookieJar::new();
        set(&jar, &[secure], "https://x.com/");
        set(&jar, &[other], from);
        assert_eq!(jar.cookies().len(), 1, "{secure}, then {other}");
        assert_eq!(
            sent(&jar, "https://x.com/d"),
            "a=1",
            "{secure}, then {other}"
        );
    }
    for (secure, from, other) in [
        ("a=1; Secure", "https://x.com/", "a=2"),
        ("a=1; Secure", "http://x.com/", "b=2"),
        ("a=1; Secure", "http://y.com/", "a=2"),
        ("a=1; Secure; Path=/d", "http://x.com/", "a=2; Path=/"),
        ("a=1", "http://x.com/", "a=2"),
    ] {
        let jar = CookieJar::new();
        set(&jar, &[secure], "https://x.com/");
        set(&jar, &[other], from);
        assert!(sent(&jar, from).ends_with("=2"), "{secure}, then {other}");
    }
}

#[test]
fn what_is_added_by_hand_is_refused_with_the_reason() {
    let jar = CookieJar::new();
    let from = url("https://www.example.com/d/e");
    jar.add("a=1; Max-Age=60; HttpOnly", &from)
        .expect("it is fine");
    jar.add("b=2; Domain=example.com; Path=/; Secure", &from)
        .expect("it is fine");
    let long = format!("a={}", "x".repeat(4096));
    for (wrong, why) in [
        ("", "no name"),
        ("a", "no value"),
        ("a=1\u{0}", "control"),
        ("a=1\r\nX: y", "control"),
        ("a\u{7f}=1", "control"),
        ("a=1; Path=/\n", "control"),
        (&long, "4096"),
        ("a=1; Domain=com", "public suffix"),
        ("a=1; Domain=example.org", "domain"),
        ("__Host-a=1; Secure; Path=/d", "__Host-"),
        ("__Secure-a=1", "__Secure-"),
    ] {
        let error = jar.add(wrong, &from).expect_err(why);
        assert_eq!(error.kind(), ErrorKind::Builder);
        assert!(error.to_string().contains(why), "{wrong:?}: {error}");
    }
    let error = jar.add("a=1; Secure", &url("http://example.com/"));
    assert!(error.expect_err("http").to_string().contains("http"));

    let cookies = jar.cookies();
    let [a, b] = &cookies[..] else {
        panic!("{cookies:?}");
    };
    assert_eq!((a.name(), a.value()), ("a", "1"));
    assert_eq!(
        (a.domain(), a.is_host_only()),
        (Some("www.example.com"), true)
    );
    assert_eq!(
        (a.path(), a.is_secure(), a.is_http_only()),
        (Some("/d"), false, true)
    );
    let left = a
        .expires()
        .expect("it ends")
        .duration_since(SystemTime::now());
    assert!(left.expect("later") <= Duration::from_secs(60));
    assert_eq!((b.domain(), b.is_host_only()), (Some("example.com"), false));
    assert_eq!(
        (b.path(), b.is_secure(), b.expires()),
        (Some("/"), true, None)
    );
    let shown = format!("{jar:?} {:?}", jar.cookies());
    assert!(shown.contains("\"a\"") && !shown.contains('1'), "{shown}");
    jar.clear();
    assert!(jar.cookies().is_empty());
    assert_eq!(sent(&jar, "https://www.example.com/d/"), "-");
}

#[test]
fn a_host_does_not_fill_the_header_of_those_beside_and_above_it() {
    let jar = CookieJar::new();
    set(
        &jar,
        &["session=1; Domain=example.com"],
        "http://example.com/",
    );
    let evil = "http://a.b.example.com/";
    for domain in ["a.b.example.com", "b.example.com", "example.com"] {
        for number in 0..49 {
            let value = "v".repeat(4000);
            let set_cookie = format!("{domain}{number}={value}; Domain={domain}");
            jar.add(&set_cookie, &Url::parse(evil).unwrap()).unwrap();
        }
    }
    for url in [evil, "http://good.example.com/", "http://example.com/"] {
        let sent = sent(&jar, url);
        assert!(sent.len() <= 8 * 1024, "{url}: {} bytes", sent.len());
        assert!(sent.contains("session=1"), "{url}");
    }
}

#[test]
fn a_storm_of_cookies_ends_at_the_limits_and_takes_the_unused_first() {
    let jar = CookieJar::new();
    set(&jar, &["keep=1"], "http://x.com/");
    for number in 0..200 {
        assert!(sent(&jar, "http://x.com/").starts_with("keep=1"));
        set(
            &jar,
            &[&format!("c{number}=1; Path=/other")],
            "http://x.com/",
        );
    }
    assert_eq!(jar.cookies().len(), 50, "of one domain");
    assert!(
        sent(&jar, "http://x.com/").starts_with("keep=1"),
        "it was in use"
    );
    let last = jar.cookies().last().expect("one").name().to_owned();
    assert_eq!(last, "c199");

    let jar = CookieJar::new();
    set(&jar, &["keep=1"], "http://x.com/");
    let fill = |numbers: Range<u32>| {
        for number in numbers {
            if number % 100 == 0 {
                assert_eq!(sent(&jar, "http://x.com/"), "keep=1");
            }
            set(&jar, &["a=1"], &format!("http://h{number}.test/"));
        }
    };
    fill(0..3299);
    assert_eq!(jar.cookies().len(), 3300, "in all");
    assert_eq!(sent(&jar, "http://h7.test/"), "a=1");
    fill(3299..3300);
    assert_eq!(jar.cookies().len(), 3000, "are left");
    fill(3300..3400);
    assert_eq!(jar.cookies().len(), 3100);
    assert_eq!(sent(&jar, "http://x.com/"), "keep=1");
    assert_eq!(sent(&jar, "http://h7.test/"), "a=1");
    for (number, expected) in [(0, "-"), (301, "-"), (302, "a=1"), (3399, "a=1")] {
        let host = format!("http://h{number}.test/");
        assert_eq!(sent(&jar, &host), expected, "{host}");
    }

    // Attributes are bounded as well, and what is unknown is not kept.
    let jar = CookieJar::new();
    let long = "x".repeat(1025);
    set(
        &jar,
        &[&format!("a=1; Path=/{long}; {long}={long}")],
        "http://x.com/",
    );
    assert_eq!(
        jar.cookies()[0].path(),
        Some("/"),
        "as if it were not there"
    );
    set(&jar, &[&format!("b={}", "x".repeat(4095))], "http://x.com/");
    set(&jar, &[&format!("c={}", "x".repeat(4096))], "http://x.com/");
    assert_eq!(jar.cookies().len(), 2, "b fits, c does not");
}

/// How much memory a jar has that is filled so, in bytes.
fn memory_of(fill: impl Fn(&CookieJar)) -> i64 {
    let jar = CookieJar::new();
    allocation_counter::measure(|| fill(&jar)).bytes_current
}

#[test]
fn nothing_is_kept_of_what_is_gone() {
    let hosts = |count| (0..count).map(|number| format!("http://h{number}.test/"));
    for gone in ["a=; Max-Age=0", "a=1; Domain=y.test", "a"] {
        let memory = memory_of(|jar| hosts(20_000).for_each(|host| set(jar, &[gone], &host)));
        assert_eq!(memory, 0, "of {gone}");
    }
    let both = ["a=1", "b=2", "a=; Max-Age=0", "b=; Max-Age=0"];
    let one_by_one = memory_of(|jar| hosts(20_000).for_each(|host| set(jar, &both, &host)));
    let in_turn = memory_of(|jar| {
        hosts(3000).for_each(|host| set(jar, &["a=1"], &host));
        hosts(3000).for_each(|host| set(jar, &["a=; Max-Age=0"], &host));
    });
    for memory in [one_by_one, in_turn] {
        assert!(memory < 1024, "{memory}");
    }
    // Nor is the room of many kept for one.
    let set_all = |jar: &CookieJar, end: &str, host: &str| {
        for number in 1..50 {
            set(jar, &[&format!("c{number}=1; {end}")], host);
        }
    };
    let one_each = memory_of(|jar| hosts(100).for_each(|host| set(jar, &["a=1"], &host)));
    let left_each = memory_of(|jar| {
        for host in hosts(100) {
            set(jar, &["a=1"], &host);
            set_all(jar, "", &host);
            set_all(jar, "Max-Age=0", &host);
        }
    });
    assert!(left_each <= one_each, "{left_each}, not {one_each}");
}

#[test]
fn a_date_is_the_one_that_it_says() {
    for (date, seconds) in [
        ("Thu, 1 Jan 2099 00:00:00 GMT", 4_070_908_800),
        ("Wed, 31-December-2098 23:59:59 UTC", 4_070_908_799),
        ("feb 29 7:08:09 2096 +0200", 3_981_337_689),
        ("01 Jan 69 00:00:00", 3_124_224_000),
    ] {
        let jar = CookieJar::new();
        let text = format!("a=1; Path=/; Expires={date}; Secure");
        set(&jar, &[&text], "https://x.com/");
        let at = jar.cookies()[0].expires().expect(date);
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!(since.expect("later").as_secs(), seconds, "{date}");
    }
    let jar = CookieJar::new();
    let long = format!("a=1; Expires=1 Jan 2099 {}00:00:00", "x ".repeat(600));
    set(&jar, &[&long], "http://x.com/");
    assert_eq!(jar.cookies()[0].expires(), None, "it is too long");
}

fn saved(jar: &CookieJar) -> String {
    let mut saved = Vec::new();
    jar.save(&mut saved).expect("memory takes all");
    String::from_utf8(saved).expect("JSON")
}

#[test]
fn what_is_saved_comes_back_as_it_was() {
    let jar = CookieJar::new();
    set(
        &jar,
        &[
            "host=1; Max-Age=1000",
            "domain=2; Domain=x.com; Max-Age=1000; Secure; HttpOnly; Path=/",
            "__Host-c=3; Secure; Path=/; Expires=Fri, 31 Dec 2100 23:59:59 GMT",
            "d=\"a, b\"; Max-Age=1000; Path=/p",
            "session=4",
            "gone=5; Max-Age=0",
        ],
        "https://www.x.com/d/e",
    );
    let file = saved(&jar);
    assert!(
        !file.contains("session") && !file.contains("gone"),
        "{file}"
    );
    let again = CookieJar::new();
    again.load(file.as_bytes()).expect("it was saved");
    let facts = |jar: &CookieJar| {
        let cookies = jar.cookies().into_iter().map(|cookie: Cookie<'_>| {
            (
                cookie.name().to_owned(),
                cookie.value().to_owned(),
                cookie.domain().map(str::to_owned),
                cookie.is_host_only(),
                cookie.path().map(str::to_owned),
                (cookie.is_secure(), cookie.is_http_only()),
                // In whole seconds.
                cookie.expires().map(|at| {
                    at.duration_since(SystemTime::UNIX_EPOCH)
                        .map(|at| at.as_secs())
                        .ok()
                }),
            )
        });
        cookies
            .filter(|fact| fact.0 != "session")
            .collect::<Vec<_>>()
    };
    assert_eq!(facts(&again), facts(&jar));
    for (to, expected) in [
        ("https://www.x.com/d/", "host=1; domain=2; __Host-c=3"),
        ("https://x.com/d/", "domain=2"),
        ("https://sub.www.x.com/d/", "domain=2"),
        ("http://www.x.com/d/", "host=1"),
        ("https://www.x.com/p", "d=\"a, b\"; domain=2; __Host-c=3"),
    ] {
        assert_eq!(sent(&again, to), expected, "{to}");
    }
    assert_eq!(saved(&again), file);
}

#[test]
fn a_file_that_is_wrong_adds_nothing_that_no_answer_could_set() {
    let jar = CookieJar::new();
    set(&jar, &["keep=1; Max-Age=1000"], "http://x.com/");
    let good = saved(&jar);
    for (from, to) in [
        ("\"HostOnly\":\"x.com\"", "\"Suffix\":\"com\""),
        ("\"HostOnly\":\"x.com\"", "\"Suffix\":\"co.uk.\""),
        ("\"HostOnly\":\"x.com\"", "\"Suffix\":\".com\""),
        ("\"HostOnly\":\"x.com\"", "\"Suffix\":\".\""),
        ("\"HostOnly\":\"x.com\"", "\"Suffix\":\"\""),
        ("{\"HostOnly\":\"x.com\"}", "\"Empty\""),
        ("keep=1", "__Secure-keep=1"),
        ("keep=1", "__Host-keep=1"),
        ("keep=1", "keep=1\\u0000"),
        ("keep=1", "keep=1\\r\\nx: y"),
        ("[\"/\"", "[\"d\""),
    ] {
        assert!(good.contains(from), "{good} has {from}");
        let other = CookieJar::new();
        other
            .load(good.replacen(from, to, 1).as_bytes())
            .expect("it is JSON");
        assert!(other.cookies().is_empty(), "{to}: {:?}", other.cookies());
    }
    let year = good.split("AtUtc\":\"").nth(1).expect("it ends")[..4].to_owned();
    let past = CookieJar::new();
    past.load(good.replace(&format!("\"{year}"), "\"2001").as_bytes())
        .expect("it is JSON");
    assert!(past.cookies().is_empty());
    for wrong in [
        "",
        "{}",
        "[1]",
        &good[..good.len() - 2],
        "[{\"raw_cookie\":\"a=1\"}]",
    ] {
        let other = CookieJar::new();
        let error = other.load(wrong.as_bytes()).expect_err(wrong);
        let kind = error.kind();
        let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
        assert!(kinds.contains(&kind), "{wrong}: {kind:?}");
        assert!(other.cookies().is_empty());
    }
    // What is there stays, and the same cookie is there once.
    set(&jar, &["other=2"], "http://x.com/");
    jar.load(good.as_bytes()).expect("it was saved");
    assert_eq!(sent(&jar, "http://x.com/"), "keep=1; other=2");
}

#[test]
fn a_file_is_its_owners_alone_and_replaced_as_a_whole() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("jar.json");
    std::fs::write(
        &path,
        "something else, and longer than what replaces it: ".repeat(100),
    )?;
    let jar = CookieJar::new();
    set(&jar, &["a=1; Max-Age=1000"], "http://x.com/");
    jar.save_to_path(&path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path)?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = CookieJar::new();
    again.load_from_path(&path)?;
    assert_eq!(sent(&again, "http://x.com/"), "a=1");
    assert_eq!(
        std::fs::read_dir(folder.path())?.count(),
        1,
        "nothing is left over"
    );
    let missing = folder.path().join("none").join("jar.json");
    assert_eq!(
        jar.save_to_path(&missing).expect_err("no folder").kind(),
        io::ErrorKind::NotFound
    );
    let error = again.load_from_path(&missing).expect_err("no file");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_is_set_does_no_harm(
        set_cookies in vec(vec(any::<u8>(), 0..60), 0..8),
        attributes in vec("(Path|Domain|Max-Age|Expires|Secure|SameSite)=?[ -~é]{0,12}", 0..4),
        host in "([a-z]{1,3}\\.){0,3}[a-z]{1,3}|127\\.0\\.0\\.1|\\[::1\\]",
    ) {
        let jar = CookieJar::new();
        let from = url(&format!("https://{host}/d/e"));
        let attributes = attributes.join("; ");
        let of_text = HeaderValue::from_bytes(format!("a=1; {attributes}").as_bytes());
        let values = set_cookies.iter().map(|bytes| HeaderValue::from_bytes(bytes));
        let values = values.chain([of_text]).filter_map(Result::ok).collect::<Vec<_>>();
        jar.store(&mut values.iter(), &from);
        for cookie in jar.cookies() {
            let pair = [cookie.name(), cookie.value()].concat();
            prop_assert!(!pair.contains(|c: char| c.is_ascii_control() && c != '\t' || c == ';'));
            let domain = cookie.domain().expect("a jar's have one");
            prop_assert!(host.ends_with(domain));
            prop_assert!(cookie.path().expect("a jar's have one").starts_with('/'));
        }
        let others = ["https://x.com/", "http://127.0.0.1/", "https://[::1]/d", "data:,x"];
        for other in others.map(url).iter().chain([&from]) {
            let _ = jar.cookies_for(other);
        }
        let again = CookieJar::new();
        again.load(saved(&jar).as_bytes()).expect("it was saved");
        let lasting = jar.cookies().iter().filter(|cookie| cookie.expires().is_some()).count();
        prop_assert!(again.cookies().len() <= lasting);
    }
}

/// Sets what the query's `set` says, redirects to its `to`, and answers as [`echo`].
async fn answer(request: Request<Incoming>) -> http::Response<server::Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut response = echo(request);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        match &*name {
            "set" => {
                response.headers_mut().append(SET_COOKIE, value);
            }
            "to" => {
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert(LOCATION, value);
            }
            other => panic!("what is {other}?"),
        }
    }
    response
}

fn asking(server: &Server, path: &str, wishes: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(wishes).finish();
    server.url(&format!("{path}?{query}"))
}

/// The cookies that the server has seen.
fn seen(response: &Response) -> String {
    let values = response.headers().get_all("x-request-cookie").iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    values.collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn a_session_sends_what_it_was_told_to_keep() -> Result<()> {
    let server = Server::start(answer);
    let jar = CookieJar::new();
    let session = Session::builder().cookie_store(jar.clone()).open().await?;
    let wishes = [
        ("set", "a=1; Path=/"),
        ("set", "b=2; Path=/d; Expires=1 Jan 2099 00:00:00 +0000"),
        ("set", "no; Path=/"),
    ];
    let response = session.get(asking(&server, "/", &wishes)).send().await?;
    assert_eq!(seen(&response), "", "there was none yet");
    let cookies = response.cookies().collect::<Vec<_>>();
    let [a, b] = &cookies[..] else {
        panic!("{cookies:?}");
    };
    assert_eq!(
        (a.name(), a.value(), a.path(), a.domain()),
        ("a", "1", Some("/"), None)
    );
    assert_eq!((b.name(), b.value(), b.max_age()), ("b", "2", None));
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(4_070_908_800);
    assert_eq!((a.expires(), b.expires()), (None, Some(end)));
    let response = session.get(server.url("/d/e")).send().await?;
    assert_eq!(seen(&response), "b=2; a=1");
    assert_eq!(response.cookies().count(), 0);
    let response = session
        .get(server.url_by("localhost", "/d/e"))
        .send()
        .await?;
    assert_eq!(seen(&response), "", "another host");
    assert_eq!(jar.cookies().len(), 2);

    // Others do not share it.
    let other = Session::builder().cookies(true).open().await?;
    let response = other.get(server.url("/d/e")).send().await?;
    assert_eq!(seen(&response), "");
    let none = Session::builder()
        .cookies(true)
        .cookies(false)
        .open()
        .await?;
    none.get(asking(&server, "/", &wishes)).send().await?;
    assert_eq!(seen(&none.get(server.url("/")).send().await?), "");
    // A derived one does, and so does any session with a clone.
    let derived = session.with_default_headers(HeaderMap::new());
    assert_eq!(seen(&derived.get(server.url("/")).send().await?), "a=1");
    let shared = Session::builder()
        .cookie_store(Arc::new(jar))
        .open()
        .await?;
    assert_eq!(seen(&shared.get(server.url("/")).send().await?), "a=1");
    Ok(())
}

#[tokio::test]
async fn a_holders_sessions_and_one_shots_share_its_jar() -> Result<()> {
    let server = Server::start(answer);
    let builder = SessionHolder::builder().cookies(true);
    let holder = builder.base_url(server.url("/")).build()?;
    let url = asking(&server, "/", &[("set", "a=1; Path=/")]);
    holder.get(&url).send().await?;
    assert_eq!(holder.stats().one_shots, 1);
    assert_eq!(
        seen(&holder.get("/").send().await?),
        "a=1",
        "from one to the next"
    );
    holder.start_session().await?;
    assert_eq!(seen(&holder.get("/").send().await?), "a=1");
    holder.close_session().await;
    holder.start_session().await?;
    assert_eq!(seen(&holder.get("/").send().await?), "a=1", "opened again");
    Ok(())
}

#[tokio::test]
async fn cookies_of_a_request_go_first_and_never_into_the_jar() -> Result<()> {
    let server = Server::start(answer);
    let jar = CookieJar::new();
    let session = Session::builder().cookie_store(jar.clone()).open().await?;
    jar.add("jar=1", &url(&server.url("/")))?;
    jar.add("both=1", &url(&server.url("/")))?;
    let here = || session.get(server.url("/"));
    for (request, expected) in [
        (here(), "jar=1; both=1"),
        (here().cookie("own", "2"), "own=2; jar=1; both=1"),
        (here().cookie("both", "2"), "both=2; jar=1"),
        (
            here().cookie("x", "2").cookie("y", "a b"),
            "x=2; y=a b; jar=1; both=1",
        ),
        (here().header(COOKIE, "h=3; both=3"), "h=3; both=3; jar=1"),
        (
            here().header(COOKIE, "h=3").cookie("x", "2"),
            "h=3; x=2; jar=1; both=1",
        ),
        (
            here().header(COOKIE, "h=3").header(COOKIE, "i=4"),
            "h=3; i=4; jar=1; both=1",
        ),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(seen(&request.send().await?), expected, "{shown}");
    }
    let built = here().cookie("own", "2").build()?;
    assert!(built.headers()[COOKIE].is_sensitive());
    assert_eq!(seen(&session.execute(built).await?), "own=2; jar=1; both=1");
    assert_eq!(jar.cookies().len(), 2);

    // Of the session's defaults, the same; and without any store.
    let default = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("default=1; both=2"))]);
    let builder = Session::builder().default_headers(default);
    let session = builder.cookie_store(jar).open().await?;
    let response = session.get(server.url("/")).send().await?;
    assert_eq!(seen(&response), "default=1; both=2; jar=1");
    let response = session
        .get(server.url("/"))
        .cookie("own", "2")
        .send()
        .await?;
    assert_eq!(seen(&response), "own=2; jar=1; both=1");
    let plain = Session::builder().open().await?;
    let request = plain
        .get(server.url("/"))
        .cookie("a", "1")
        .cookie("b", "\"x\", y");
    assert_eq!(seen(&request.send().await?), "a=1; b=\"x\", y");
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_could_be_two_is_refused_before_it_goes_out() -> Result<()> {
    let server = Server::start(answer);
    let session = Session::builder().open().await?;
    for (name, value) in [
        ("", "1"),
        ("a b", "1"),
        ("a=b", "1"),
        ("a;b", "1"),
        ("a,b", "1"),
        ("a\n", "1"),
        ("é", "1"),
        ("a", "1; b=secret"),
        ("a", "1\r\nx: secret"),
        ("a", "secret\u{0}"),
        ("a", "secreté"),
        ("a", " secret"),
        ("a", "secret\t"),
    ] {
        let request = session.get(server.url("/")).cookie(name, value);
        let error = request.send().await.expect_err(value);
        assert_eq!(error.kind(), ErrorKind::Builder, "{name}={value}");
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("cookie") && !shown.contains("secret"),
            "{shown}"
        );
    }
    assert_eq!(server.accepted(), 0);
    Ok(())
}

#[tokio::test]
async fn each_hop_has_its_own_cookies() -> Result<()> {
    let server = Server::start(answer);
    let other = Server::start(answer);
    let jar = CookieJar::new();
    let session = Session::builder().cookie_store(jar.clone()).open().await?;

    // Set on the way, sent on the next hop.
    let to = server.url("/end");
    let login = asking(
        &server,
        "/login",
        &[("set", "token=1; Path=/"), ("to", &to)],
    );
    let response = session.get(&login).cookie("own", "2").send().await?;
    assert_eq!(seen(&response), "own=2; token=1");
    assert_eq!(
        response.history()[0].headers()[SET_COOKIE],
        "token=1; Path=/"
    );

    // Taken away on the way.
    let out = [("set", "token=; Path=/; Max-Age=0"), ("to", &*to)];
    let response = session.get(asking(&server, "/out", &out)).send().await?;
    assert_eq!(seen(&response), "");

    // Another path has others.
    jar.add("a=1; Path=/a", &url(&to))?;
    jar.add("e=2; Path=/end", &url(&to))?;
    let response = session
        .get(asking(&server, "/a", &[("to", &to)]))
        .send()
        .await?;
    assert_eq!(seen(&response), "e=2");

    // Another origin: a request's own stay behind, for good; a jar goes by the host alone.
    jar.clear();
    jar.add("jar=1", &url(&to))?;
    let there = other.url("/end");
    let back = asking(&other, "/", &[("to", &to)]);
    for (location, expected) in [(&there, "jar=1"), (&back, "jar=1"), (&to, "own=2; jar=1")] {
        let url = asking(&server, "/", &[("to", location)]);
        let response = session.get(url).cookie("own", "2").send().await?;
        assert_eq!(seen(&response), expected, "{location}");
    }
    let by_name = server.url_by("localhost", "/end");
    let request = session.get(asking(&server, "/", &[("to", &by_name)]));
    let response = request.cookie("own", "2").send().await?;
    assert_eq!(seen(&response), "", "another host");
    Ok(())
}

/// Remembers what it was asked.
#[derive(Default)]
struct Spy {
    asked: Mutex<Vec<String>>,
}

impl CookieStore for Spy {
    fn cookies_for(&self, url: &Url) -> Option<HeaderValue> {
        self.asked
            .lock()
            .expect("no panic")
            .push(format!("for {}", url.path()));
        Some(HeaderValue::from_static("spy=1"))
    }

    fn store(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let count = set_cookies.count();
        self.asked
            .lock()
            .expect("no panic")
            .push(format!("{count} from {}", url.path()));
    }
}

#[tokio::test]
async fn a_store_of_ones_own_is_asked_at_each_hop_and_told_of_each_answer_that_sets() -> Result<()>
{
    let server = Server::start(answer);
    let spy = Arc::new(Spy::default());
    let session = Session::builder()
        .cookie_store(Arc::clone(&spy))
        .open()
        .await?;
    let to = asking(&server, "/b", &[("set", "a=1"), ("set", "b=2")]);
    let response = session
        .get(asking(&server, "/a", &[("to", &to)]))
        .send()
        .await?;
    assert_eq!(seen(&response), "spy=1");
    let asked = spy.asked.lock().expect("no panic").clone();
    assert_eq!(asked, ["for /a", "for /b", "2 from /b"]);
    Ok(())
}

#[tokio::test]
async fn many_tasks_share_a_jar() -> Result<()> {
    let server = Server::start(async |request: Request<Incoming>| {
        let name = request.uri().path().trim_start_matches('/').to_owned();
        let mut response = respond(StatusCode::OK, full(name.clone()));
        let value = HeaderValue::try_from(format!("{name}=1; Path=/")).expect("a header value");
        response.headers_mut().insert(SET_COOKIE, value);
        response
    });
    let jar = CookieJar::new();
    let session = Session::builder().cookie_store(jar.clone()).open().await?;
    let gets = (0..40).map(|number| session.get(server.url(&format!("/c{number}"))).send());
    for response in futures::future::try_join_all(gets).await? {
        assert_eq!(response.cookies().count(), 1);
    }
    assert_eq!(jar.cookies().len(), 40);
    Ok(())
}
