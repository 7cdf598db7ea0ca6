//! The cookies themselves, by domain, within limits.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::iter::successors;

use cookie::time::OffsetDateTime;
use cookie_store::Cookie;
use url::Url;

/// How many cookies a domain may have (RFC 6265 §6.1).
const MAX_OF_DOMAIN: usize = 50;

/// How many cookies there may be in all (RFC 6265 §6.1 asks for 3000 at the least).
const MAX: usize = 3300;

/// How many are left when there are more: the next sweep is some hundred cookies away.
const LEFT: usize = 3000;

/// How long the cookies of one request may be together, in bytes: servers refuse a longer header.
const MAX_OF_REQUEST: usize = 8 * 1024;

/// The cookies, by the domain that they are for.
#[derive(Default)]
pub(super) struct Contents {
    /// Backwards, so that those below a domain come one after the other: `moc.x`, `moc.x.www`. None is
    /// empty.
    domains: BTreeMap<String, Vec<Kept>>,
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
    /// older cookies; as many as a header can have.
    pub(super) fn pairs_for(&mut self, url: &Url) -> Vec<String> {
        let Some(host) = url.host_str().filter(|_| self.count > 0) else {
            return Vec::new();
        };
        self.ticks += 1;
        let now = OffsetDateTime::now_utc();
        let mut found = Vec::new();
        for domain in and_above(&backwards(host)) {
            let of_domain = self.domains.get_mut(domain).into_iter().flatten();
            let fits = |kept: &&mut Kept| !kept.cookie.expires_by(&now) && kept.cookie.matches(url);
            for kept in of_domain.filter(fits) {
                kept.used = self.ticks;
                let pair = format!("{}={}", kept.cookie.name(), kept.cookie.value());
                found.push((Reverse(kept.cookie.path.len()), kept.created, pair));
            }
        }
        found.sort_unstable();
        let mut length = 0;
        let pairs = found.into_iter().map(|(_, _, pair)| pair);
        // Those that would be too much are left out, and shorter ones after them are not: a host may fill
        // the header of those beside it and above it.
        let fits = pairs.filter(|pair| {
            let longer = length + pair.len() + "; ".len();
            let fits = longer <= MAX_OF_REQUEST;
            length = if fits { longer } else { length };
            fits
        });
        fits.collect()
    }

    /// Puts a cookie in the place of its like. One that has expired only takes its like away.
    pub(super) fn put(&mut self, cookie: Cookie<'static>) {
        self.ticks += 1;
        let now = OffsetDateTime::now_utc();
        let domain = backwards(&String::from(&cookie.domain));
        // Taken out, so that nothing stays of a domain without cookies.
        let mut kept = self.domains.remove(&domain).unwrap_or_default();
        let before = kept.len();
        let like = kept.iter().find(|kept| kept.is_like(&cookie));
        let created = like.map_or(self.ticks, |like| like.created);
        let stays = |kept: &Kept| !kept.is_like(&cookie) && !kept.cookie.expires_by(&now);
        retain(&mut kept, stays);
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
        if !kept.is_empty() {
            self.domains.insert(domain, kept);
        }
        if self.count > MAX {
            self.evict(&now);
        }
    }

    /// Whether a cookie that comes over http would take the place of a `Secure` one, or hide it
    /// (RFC 6265bis §5.7).
    pub(super) fn has_secure_like(&self, cookie: &Cookie<'_>) -> bool {
        let domain = backwards(&String::from(&cookie.domain));
        let mut kept = self.related(&domain);
        kept.any(|kept| {
            kept.cookie.secure() == Some(true)
                && kept.cookie.name() == cookie.name()
                && is_path_at_or_below(&cookie.path, &kept.cookie.path)
                && !kept.cookie.is_expired()
        })
    }

    /// Those for a domain, for one above it and for one below it.
    fn related(&self, domain: &str) -> impl Iterator<Item = &Kept> {
        let above = and_above(domain).filter_map(|domain| self.domains.get(domain));
        let start = format!("{domain}.");
        let rest = self.domains.range(start.clone()..);
        let below = rest.take_while(move |(domain, _)| domain.starts_with(&start));
        above.chain(below.map(|(_, kept)| kept)).flatten()
    }

    /// Makes room: what has expired goes, and then what was not asked for the longest.
    fn evict(&mut self, now: &OffsetDateTime) {
        self.retain(|kept| !kept.cookie.expires_by(now));
        if self.count > LEFT {
            let kept = self.domains.values().flatten();
            let mut uses: Vec<_> = kept.map(Kept::last_use).collect();
            let (_, &mut oldest, _) = uses.select_nth_unstable(self.count - LEFT);
            self.retain(|kept| kept.last_use() >= oldest);
        }
    }

    fn retain(&mut self, stays: impl Fn(&Kept) -> bool) {
        self.domains.retain(|_, kept| {
            retain(kept, &stays);
            !kept.is_empty()
        });
        self.count = self.domains.values().map(Vec::len).sum();
    }
}

/// Leaves no more room than for twice as many as there are.
fn retain(kept: &mut Vec<Kept>, stays: impl Fn(&Kept) -> bool) {
    kept.retain(stays);
    kept.shrink_to(2 * kept.len());
}

impl Kept {
    /// Its place among all, of which each has its own.
    fn last_use(&self) -> (u64, u64) {
        (self.used, self.created)
    }

    /// Whether a jar keeps only one of the two (RFC 6265 §5.3, and RFC 6265bis §5.7).
    fn is_like(&self, other: &Cookie<'_>) -> bool {
        self.cookie.name() == other.name()
            && *self.cookie.path == *other.path
            && self.cookie.domain == other.domain
    }
}

fn backwards(domain: &str) -> String {
    domain.chars().rev().collect()
}

/// Of a domain that is backwards: `moc.x.www`, `moc.x`, `moc`.
fn and_above(domain: &str) -> impl Iterator<Item = &str> {
    successors(Some(domain), |domain| {
        domain.rsplit_once('.').map(|(above, _)| above)
    })
}

/// RFC 6265 §5.1.4.
fn is_path_at_or_below(path: &str, above: &str) -> bool {
    let below = path.strip_prefix(above);
    below.is_some_and(|below| below.is_empty() || below.starts_with('/') || above.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(contents: &mut Contents, set_cookie: &str, host: &str) {
        let url = Url::parse(&format!("http://{host}/")).expect("a URL");
        let cookie = Cookie::parse(set_cookie.to_owned(), &url).expect("a cookie");
        contents.put(cookie);
    }

    #[test]
    fn only_related_hosts_are_looked_at() {
        let mut contents = Contents::default();
        for number in 0..500 {
            for host in ["h*.test", "h*.com", "h*-x.com", "h*x.com"] {
                let host = host.replace('*', &number.to_string());
                put(&mut contents, "a=1", &host);
            }
        }
        for host in ["x.com", "www.x.com", "a.www.x.com", "mail.x.com"] {
            put(&mut contents, "a=1", host);
        }
        let related = |domain| contents.related(&backwards(domain)).count();
        for (domain, count) in [
            ("x.com", 4),
            ("www.x.com", 3),
            ("a.www.x.com", 3),
            ("b.mail.x.com", 2),
            ("y.com", 0),
            ("h7.test", 1),
            ("ww.x.com", 1),
        ] {
            assert_eq!(related(domain), count, "{domain}");
        }
    }

    #[test]
    fn a_full_jar_is_swept_now_and_then() {
        let mut contents = Contents::default();
        let mut sweeps = 0;
        for number in 0..20_000 {
            // The first sweep takes some of these, which are asked for together.
            let host = match number {
                280..330 => "x.com".to_owned(),
                _ => format!("h{number}.test"),
            };
            let before = contents.count;
            put(&mut contents, &format!("c{number}=1"), &host);
            if number == 330 {
                let url = Url::parse("http://x.com/").expect("a URL");
                assert_eq!(contents.pairs_for(&url).len(), 50);
            }
            if contents.count <= before {
                assert_eq!(contents.count, LEFT);
                sweeps += 1;
            }
        }
        assert_eq!(sweeps, (20_000 - LEFT) / (MAX + 1 - LEFT));
        let kept: usize = contents.domains.values().map(Vec::len).sum();
        assert_eq!(contents.count, kept);
    }
}
