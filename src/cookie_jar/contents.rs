//! The cookies themselves, by domain, within limits.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::iter::successors;

use cookie::time::OffsetDateTime;
use cookie_store::Cookie;
use url::Url;

/// How many cookies a domain may have (RFC 6265 §6.1).
const MAX_OF_DOMAIN: usize = 50;

/// How many cookies there may be in all (RFC 6265 §6.1).
const MAX: usize = 3000;

/// The cookies, by the domain that they are for.
#[derive(Default)]
pub(super) struct Contents {
    domains: HashMap<String, Vec<Kept>>,
    count: usize,
    /// Counts what was put in or asked for.
    ticks: u64,
}

struct Kept {
    cookie: Cookie<'static>,
    created: u64,
    used: u64,
}

impl Contents {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// All cookies that have not expired, the oldest first.
    pub(super) fn all(&self) -> Vec<&Cookie<'static>> {
        let now = OffsetDateTime::now_utc();
        let kept = self.domains.values().flatten();
        let mut kept: Vec<_> = kept.filter(|kept| !kept.cookie.expires_by(&now)).collect();
        kept.sort_unstable_by_key(|kept| kept.created);
        kept.into_iter().map(|kept| &kept.cookie).collect()
    }

    /// The pairs for a request to `url`, in the order of RFC 6265 §5.4: longer paths first, then
    /// older cookies.
    pub(super) fn pairs_for(&mut self, url: &Url) -> Vec<String> {
        let Some(host) = url.host_str().filter(|_| self.count > 0) else {
            return Vec::new();
        };
        self.ticks += 1;
        let now = OffsetDateTime::now_utc();
        let mut found = Vec::new();
        for domain in and_above(host) {
            let of_domain = self.domains.get_mut(domain).into_iter().flatten();
            let fits = |kept: &&mut Kept| !kept.cookie.expires_by(&now) && kept.cookie.matches(url);
            for kept in of_domain.filter(fits) {
                kept.used = self.ticks;
                let pair = format!("{}={}", kept.cookie.name(), kept.cookie.value());
                found.push((Reverse(kept.cookie.path.len()), kept.created, pair));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, _, pair)| pair).collect()
    }

    /// Puts a cookie in the place of its like. One that has expired only takes its like away.
    pub(super) fn put(&mut self, cookie: Cookie<'static>) {
        self.ticks += 1;
        let now = OffsetDateTime::now_utc();
        let domain = String::from(&cookie.domain);
        let kept = self.domains.entry(domain).or_default();
        let before = kept.len();
        let like = kept.iter().find(|kept| kept.is_like(&cookie));
        let created = like.map_or(self.ticks, |like| like.created);
        kept.retain(|kept| !kept.is_like(&cookie) && !kept.cookie.expires_by(&now));
        if !cookie.expires_by(&now) {
            if kept.len() >= MAX_OF_DOMAIN
                && let Some(oldest) = (0..kept.len()).min_by_key(|at| kept[*at].used)
            {
                kept.swap_remove(oldest);
            }
            kept.push(Kept {
                cookie,
                created,
                used: self.ticks,
            });
        }
        self.count = self.count + kept.len() - before;
        if self.count > MAX {
            self.evict(&now);
        }
    }

    /// Whether a cookie that comes over http would take the place of a `Secure` one, or hide it
    /// (RFC 6265bis §5.7).
    pub(super) fn has_secure_like(&self, cookie: &Cookie<'_>) -> bool {
        let new = String::from(&cookie.domain);
        let related = self
            .domains
            .iter()
            .filter(|(domain, _)| is_at_or_below(domain, &new) || is_at_or_below(&new, domain));
        let mut kept = related.flat_map(|(_, kept)| kept);
        kept.any(|kept| {
            kept.cookie.secure() == Some(true)
                && kept.cookie.name() == cookie.name()
                && is_path_at_or_below(&cookie.path, &kept.cookie.path)
                && !kept.cookie.is_expired()
        })
    }

    /// Makes room: what has expired goes, or else what was not asked for the longest.
    fn evict(&mut self, now: &OffsetDateTime) {
        for kept in self.domains.values_mut() {
            kept.retain(|kept| !kept.cookie.expires_by(now));
        }
        self.count = self.domains.values().map(Vec::len).sum();
        if self.count > MAX {
            let uses = self.domains.values().flatten().map(|kept| kept.used);
            let oldest = uses.min();
            for kept in self.domains.values_mut() {
                kept.retain(|kept| Some(kept.used) != oldest);
            }
        }
        self.domains.retain(|_, kept| !kept.is_empty());
        self.count = self.domains.values().map(Vec::len).sum();
    }
}

impl Kept {
    /// Whether a jar keeps only one of the two (RFC 6265 §5.3, and RFC 6265bis §5.7).
    fn is_like(&self, other: &Cookie<'_>) -> bool {
        self.cookie.name() == other.name()
            && *self.cookie.path == *other.path
            && self.cookie.domain == other.domain
    }
}

/// `a.b.c`, `b.c`, `c`.
fn and_above(host: &str) -> impl Iterator<Item = &str> {
    successors(Some(host), |domain| {
        domain.split_once('.').map(|(_, above)| above)
    })
}

fn is_at_or_below(domain: &str, above: &str) -> bool {
    let below = domain.strip_suffix(above);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// RFC 6265 §5.1.4.
fn is_path_at_or_below(path: &str, above: &str) -> bool {
    let below = path.strip_prefix(above);
    below.is_some_and(|below| below.is_empty() || below.starts_with('/') || above.ends_with('/'))
}
