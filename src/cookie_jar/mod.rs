//! A cookie jar: what is kept, for whom and for how long.

mod date;

mod set_cookie;

mod cookie;

mod admission;

mod contents;

mod jar;

mod file;

pub use cookie::Cookie;
pub use jar::CookieJar;
