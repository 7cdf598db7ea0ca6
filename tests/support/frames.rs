//! HTTP/2, frame by frame, for peers that are scripted by hand.

use super::raw::RawConn;

/// What a client says first, in bytes.
pub const PREFACE: usize = 24;

/// Settings that say nothing.
pub const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const GO_AWAY: u8 = 7;

/// Reads frames up to one of that type. `false`: the client has closed before.
pub async fn read_frame(connection: &mut RawConn, of: u8) -> bool {
    loop {
        let head = connection.read(9).await;
        if head.len() < 9 {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        connection.read(length as usize).await;
        if head[3] == of {
            return true;
        }
    }
}

/// The answer to the first request of a connection: 200, and no body.
pub const OK: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x88";

/// The head of an answer, 200, that has a body to come.
pub fn head(stream: u8) -> Vec<u8> {
    vec![0, 0, 1, HEADERS, 4, 0, 0, 0, stream, 0x88]
}

/// A goodbye to all streams after `last`, for a reason.
pub fn goodbye(last: u8, reason: u8) -> Vec<u8> {
    vec![
        0, 0, 8, GO_AWAY, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, reason,
    ]
}
