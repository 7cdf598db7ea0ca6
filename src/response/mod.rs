//! What a server answers.

mod payload;

mod answer;

mod collect;

mod status;

pub use answer::Response;
