//! What a broker delivers: content headers, and streams of frames.

use lapin::protocol::basic::parse_properties;
use shared::broker::amqp::{
    framing::Framer,
    properties::{Bounds, Guarded, guard},
};

/// Octets of a content header before its properties: class, weight, and the size of the body.
const BEFORE: usize = 12;

/// The properties of a message: flags, and what stands behind them. What the guard passes on it passes again as
/// it is, and lapin reads it.
pub fn properties(bytes: &[u8]) {
    let header = [&[0, 60, 0, 0][..], &5_u64.to_be_bytes(), bytes].concat();
    let passed = guard(&header, &Bounds::default()).instead.unwrap_or(header);
    assert_eq!(guard(&passed, &Bounds::default()), Guarded::default(), "what is passed on is passed as it is");
    let (rest, _) = parse_properties(&passed[BEFORE..]).expect("lapin reads what is passed on");
    assert!(rest.is_empty(), "lapin reads all of it");
}

/// A stream of frames, after an octet that says how many octets come at a time: that makes no difference, and
/// what is passed on is passed again as it is.
pub fn frames(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else { return };
    let pass = |stream: &[u8], piece: usize| {
        let (mut framer, mut passed) = (Framer::new(Bounds::default()), Vec::new());
        stream.chunks(piece).try_for_each(|piece| framer.take(piece, &mut passed)).ok().map(|()| passed)
    };
    let whole = pass(stream, stream.len().max(1));
    assert_eq!(pass(stream, usize::from(*piece) + 1), whole, "the pieces make no difference");
    if let Some(whole) = whole {
        assert_eq!(pass(&whole, whole.len().max(1)), Some(whole), "what is passed on is passed as it is");
    }
}
