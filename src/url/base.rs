//! The base that relative strings are appended to.

use http::Uri;

use super::plain::{count_dots, is_plain_path_and_query};
use super::refusal::{before_query, check_controls, shown};
use super::target::{Location, Target, UserInfo, with_path_and_query};
use crate::error::{Error, Result};

/// The URL that relative strings are appended to.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl {
    pub(super) target: Target,
    pub(super) text: Box<str>,
}

impl BaseUrl {
    /// Reads the base: an absolute URL without query and fragment.
    pub(crate) fn parse(input: &str) -> Result<Self> {
        let Location::Absolute(target) = Location::parse(input)? else {
            let shown = shown(input);
            return Err(Error::url_invalid(format!(
                "base_url {shown:?} is relative"
            )));
        };
        let text = target.uri.to_string().into_boxed_str();
        let surplus = match (target.uri.query(), &target.fragment) {
            (Some(_), _) => "query",
            (None, Some(_)) => "fragment",
            (None, None) => return Ok(Self { target, text }),
        };
        let shown = before_query(&text);
        Err(Error::url_invalid(format!(
            "base_url {shown:?} must not have a {surplus}"
        )))
    }

    /// Appends `relative` to the base's path, with one slash between them.
    ///
    /// `.` and `..` are resolved, but only within `relative`: what would leave the base's path is
    /// an error, and so is what would name another host (`//host`). All of `relative` is a path,
    /// whatever colons it contains: URLs are for [`Location::parse`] to tell apart.
    pub(crate) fn join(&self, relative: &str) -> Result<Target> {
        if !relative.starts_with("//") && is_plain_path_and_query(relative.as_bytes()) {
            return self.append_plain(relative);
        }
        check_controls(relative)?;
        // As `url::Url` does.
        let relative = relative.trim_matches(' ');
        self.check_stays_below(relative)?;
        let text = match relative.as_bytes() {
            [] | [b'?' | b'#', ..] => [&self.text, relative].concat(),
            [b'/' | b'\\', ..] => [directory(&self.text), relative].concat(),
            _ => [directory(&self.text), "/", relative].concat(),
        };
        Target::from_text(&text)
    }

    /// Whether it has the scheme, host and port of a URL that is normalised, as it is itself.
    pub(crate) fn is_of_origin(&self, uri: &Uri) -> bool {
        self.target.is_of_origin(uri)
    }

    /// The credentials of the requests to its origin.
    pub(crate) fn user_info(&self) -> Option<&UserInfo> {
        self.target.user_info.as_ref()
    }

    /// The base, normalised and without its user info.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn append_plain(&self, plain: &str) -> Result<Target> {
        let path = self.target.uri.path();
        let path_and_query = match plain.as_bytes() {
            [] => return Ok(self.target.uri.clone().into()),
            [b'/', ..] => [directory(path), plain].concat(),
            [b'?', ..] => [path, plain].concat(),
            _ => [directory(path), "/", plain].concat(),
        };
        with_path_and_query(&self.target.uri, path_and_query).map(Target::from)
    }

    fn check_stays_below(&self, relative: &str) -> Result<()> {
        if let [b'/' | b'\\', b'/' | b'\\', ..] = relative.as_bytes() {
            return Err(Error::url_invalid(format!(
                "{:?} names a host of its own, and would leave base_url {:?}",
                shown(relative),
                self.text
            )));
        }
        let path = before_query(relative);
        let path = path.strip_prefix(['/', '\\']).unwrap_or(path);
        let mut depth = 0_usize;
        for segment in path.split(['/', '\\']) {
            let below = match count_dots(segment.as_bytes()) {
                1 => Some(depth),
                2 => depth.checked_sub(1),
                _ => Some(depth + 1),
            };
            depth = below.ok_or_else(|| {
                Error::url_invalid(format!(
                    "{:?} leaves the path of base_url {:?}",
                    shown(relative),
                    self.text
                ))
            })?;
        }
        Ok(())
    }
}

/// `text` without its one trailing slash.
pub(super) fn directory(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}
