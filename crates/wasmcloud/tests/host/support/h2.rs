//! Frames of HTTP/2 (RFC 9113), for what no HTTP library would send.

/// What a connection begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Nothing follows on this stream.
pub(crate) const END_STREAM: u8 = 1;
/// The head is whole.
pub(crate) const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface, and settings that change nothing.
pub(crate) fn begin() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[])].concat()
}

/// The head of a request for `localhost`.
pub(crate) fn head(stream: u32, method: &str, path: &str, flags: u8) -> Vec<u8> {
    // `:scheme http` has a number of its own (RFC 7541, appendix A); of the others only the names have.
    let mut fields = vec![0x86];
    for (name, value) in [(2, method), (4, path), (1, "localhost")] {
        fields.extend([name, u8::try_from(value.len()).unwrap()]);
        fields.extend(value.bytes());
    }
    frame(1, flags, stream, &fields)
}

/// A whole request.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    head(stream, "GET", path, END_STREAM | END_HEADERS)
}

/// A piece of a body, after which more may follow.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(0, 0, stream, bytes)
}

/// Gives a stream up.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

/// The reasons of the `GOAWAY` frames in what a server sent.
pub(crate) fn farewells(mut bytes: &[u8]) -> Vec<u32> {
    let mut reasons = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length).expect("a whole frame");
        if head[3] == 7 {
            reasons.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = rest;
    }
    reasons
}
