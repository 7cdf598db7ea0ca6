//! What is asked, and how dials and answers are to fare: drawn before, so that the model knows.

use std::ops::RangeInclusive;

use super::dice::Dice;
use super::settings::Settings;

/// What a request sends along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    Nothing,
    Bytes(usize),
    /// So many parts of that many bytes, with a pause before each.
    Stream {
        parts: usize,
        length: usize,
        pause: u64,
        fails: bool,
    },
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub method: &'static str,
    pub origin: usize,
    pub upload: Upload,
    /// In milliseconds.
    pub timeout: Option<u64>,
    /// Told to the session, whatever the method.
    pub idempotent: bool,
    /// One of so many that the servers hold until all of them are there.
    pub together: Option<usize>,
}

/// How a dial is to fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    AtOnce,
    AfterYields(usize),
    After(u64),
    FailsAfter(u64),
    Never,
    /// It is made, and closed by the peer there and then.
    Slammed,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// Nothing is said.
    Silent,
    /// The connection is closed instead.
    BreaksOff,
    Garbage,
    /// The connection is closed in the middle of the body.
    Truncated,
    /// Nothing more is said in the middle of the body.
    Stalls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
    UntilClose,
    /// 204.
    Nothing,
}

/// An answer. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is drawn for itself, and all go together"
)]
pub struct Reply {
    pub manner: Manner,
    pub framing: Framing,
    pub length: usize,
    pub parts: usize,
    pub delay: u64,
    pub pause: u64,
    /// 103 comes first.
    pub hints: bool,
    /// `Connection: close`, and so it is.
    pub last: bool,
    /// `Keep-Alive: timeout=…, max=…`.
    pub keep_alive: Option<(u64, u64)>,
    /// Before the request's body has been read.
    pub early: bool,
    /// An answer to nobody comes right after it, and the connection is closed.
    pub extra: bool,
}

impl Upload {
    fn draw(dice: &mut Dice) -> Self {
        match dice.number(0..=9) {
            0 => Self::Nothing,
            1..=4 => Self::Bytes(dice.number(1..=600)),
            5 => Self::Bytes(70_000),
            _ => Self::Stream {
                parts: dice.number(0..=3),
                length: dice.pick(&[1, 200, 3000]),
                pause: dice.pick(&[0, 0, 1, 15]),
                fails: dice.chance(8),
            },
        }
    }

    /// How many bytes the server gets, if it gets all.
    pub fn length(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Bytes(length) => length,
            Self::Stream { parts, length, .. } => parts * length,
        }
    }

    pub fn fails(self) -> bool {
        matches!(self, Self::Stream { fails: true, .. })
    }

    pub fn is_stream(self) -> bool {
        matches!(self, Self::Stream { .. })
    }
}

impl Ask {
    pub fn draw(dice: &mut Dice, settings: &Settings) -> Self {
        let method = dice.pick(&["GET", "GET", "GET", "GET", "POST", "POST", "POST", "HEAD"]);
        let is_post = method == "POST";
        Self {
            method,
            // Mostly the first, so that there is a crowd.
            origin: dice.number(0..=settings.origins).saturating_sub(1),
            upload: if is_post {
                Upload::draw(dice)
            } else {
                Upload::Nothing
            },
            timeout: dice.chance(15).then(|| dice.millis(1..=80)),
            idempotent: is_post && dice.chance(10),
            together: None,
        }
    }

    /// One that a sound pool answers, with all the others at once.
    pub fn together(origin: usize, all: usize) -> Self {
        Self {
            method: "GET",
            origin,
            upload: Upload::Nothing,
            timeout: None,
            idempotent: false,
            together: Some(all),
        }
    }

    /// Whether it may be sent once more when its connection turns out to be dead.
    pub fn can_be_replayed(&self) -> bool {
        (self.method != "POST" || self.idempotent) && !self.upload.is_stream()
    }
}

impl Fate {
    pub fn draw(dice: &mut Dice, trouble: u32) -> Self {
        if dice.chance(trouble) {
            return match dice.number(0..=5) {
                0 => Self::Never,
                1 => Self::Slammed,
                2 => Self::FailsAfter(0),
                3 => Self::FailsAfter(dice.millis(1..=30)),
                _ => Self::After(dice.millis(10..=70)),
            };
        }
        match dice.number(0..=5) {
            0 => Self::AfterYields(dice.number(1..=6)),
            1 => Self::After(dice.millis(1..=12)),
            _ => Self::AtOnce,
        }
    }

    /// How long it takes, at most, in milliseconds.
    pub fn takes(self) -> u64 {
        match self {
            Self::AtOnce | Self::AfterYields(_) | Self::Slammed => 0,
            Self::After(millis) | Self::FailsAfter(millis) => millis,
            Self::Never => u64::MAX,
        }
    }
}

impl Reply {
    pub fn draw(dice: &mut Dice, trouble: u32, has_body: bool) -> Self {
        let manner = if dice.chance(trouble) {
            dice.pick(&[
                Manner::Silent,
                Manner::BreaksOff,
                Manner::BreaksOff,
                Manner::Garbage,
                Manner::Truncated,
                Manner::Truncated,
                Manner::Stalls,
            ])
        } else {
            Manner::Well
        };
        let framing = match manner {
            Manner::Truncated | Manner::Stalls => dice.pick(&[Framing::Length, Framing::Chunked]),
            _ => dice.pick(&[
                Framing::Length,
                Framing::Length,
                Framing::Length,
                Framing::Chunked,
                Framing::Chunked,
                Framing::UntilClose,
                Framing::Nothing,
            ]),
        };
        let length = match dice.number(0..=19) {
            0 => 0,
            1 => 70_000,
            2 | 3 => dice.number(1000..=9000),
            _ => dice.number(1..=300),
        };
        let mut reply = Self {
            manner,
            framing,
            length,
            parts: dice.pick(&[1, 1, 2, 4]),
            delay: dice.pick(&[0, 0, 0, 1, 5, 20]),
            pause: dice.pick(&[0, 0, 1, 8]),
            hints: dice.chance(5),
            last: dice.chance(10) || framing == Framing::UntilClose,
            keep_alive: dice
                .chance(15)
                .then(|| (dice.millis(0..=2), dice.millis(0..=2))),
            early: has_body && dice.chance(25),
            extra: false,
        };
        if matches!(manner, Manner::Truncated | Manner::Stalls) {
            reply.length = length.max(2);
        }
        if reply.is_one_packet() && dice.chance(trouble / 4) {
            reply.extra = true;
        }
        reply
    }

    /// What a request that is held with others is answered, once all are there.
    pub fn held() -> Self {
        Self {
            manner: Manner::Well,
            framing: Framing::Length,
            length: 1,
            parts: 1,
            delay: 0,
            pause: 0,
            hints: false,
            last: false,
            keep_alive: None,
            early: false,
            extra: false,
        }
    }

    /// Whether it goes out in one piece, so that nobody can ask anything between its parts.
    fn is_one_packet(&self) -> bool {
        let small = self.length <= 300 && self.parts == 1 && !self.hints;
        small && self.manner == Manner::Well && self.framing == Framing::Length && !self.early
    }

    /// The part of the body that is sent, of how many bytes.
    pub fn sent(&self) -> usize {
        match self.manner {
            Manner::Truncated | Manner::Stalls => self.length / 2,
            _ => self.length,
        }
    }
}

/// How a peer treats a connection that idles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idling {
    Waits,
    ClosesAfter(u64),
    /// An unasked 408, then the end.
    TimesOutAfter(u64),
}

impl Idling {
    pub fn draw(dice: &mut Dice, trouble: u32) -> Self {
        const SOON: RangeInclusive<u64> = 0..=25;
        if !dice.chance(trouble) {
            return Self::Waits;
        }
        match dice.number(0..=5) {
            0 => Self::ClosesAfter(dice.millis(900..=2500)),
            1 => Self::TimesOutAfter(dice.millis(SOON)),
            _ => Self::ClosesAfter(dice.millis(SOON)),
        }
    }
}
