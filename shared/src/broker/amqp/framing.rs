//! Finds frames in what a broker sends, and passes them on with nothing in them that lapin cannot read.
//!
//! lapin parses the properties and headers of a delivery before anyone sees it. A text that is not UTF-8 makes it
//! close the connection, a value nested some hundreds deep overflows its stack, and the broker delivers the
//! same message again. Here they are read first, within bounds; what is malformed is left out, and the
//! message is marked, so that it ends like any other that is not a job.

use std::{collections::HashMap, io};

use super::properties::{self, Bounds};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Octets before a frame's payload, and after it.
const BEFORE: usize = 7;
const AFTER: usize = 1;
/// A frame that claims to be larger comes from no broker: RabbitMQ's are 128 KiB unless set otherwise.
const MOST: usize = 16 << 20;

/// Reads frames out of pieces of a stream.
#[derive(Debug)]
pub struct Framer {
    bounds: Bounds,
    pending: Vec<u8>,
    /// Octets of a body that are still to come on a channel, and are not passed on.
    withheld: HashMap<[u8; 2], u64>,
    /// The peer does not speak AMQP 0-9-1: lapin is told by itself.
    is_foreign: bool,
}

impl Framer {
    /// A framer at the start of a connection.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, pending: Vec::new(), withheld: HashMap::new(), is_foreign: false }
    }

    /// Takes in a piece of the stream, and adds what may be passed on of it.
    ///
    /// # Errors
    /// `InvalidData` if a frame claims to be larger than any that a broker sends.
    pub fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.pending.extend_from_slice(piece);
        let mut rest = std::mem::take(&mut self.pending);
        let mut begin = 0;
        while let Some(frame) = self.next(rest.get(begin..).unwrap_or_default())? {
            begin += frame;
            let (from, to) = (begin - frame, begin);
            self.pass(rest.get(from..to).unwrap_or_default(), out);
        }
        rest.drain(..begin);
        self.pending = rest;
        Ok(())
    }

    /// The length of the frame with which this begins, if all of it is there.
    fn next(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some(&kind) = bytes.first() else { return Ok(None) };
        self.is_foreign |= !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT);
        if self.is_foreign {
            return Ok(Some(bytes.len()));
        }
        let Some(size) = bytes.get(3..BEFORE).and_then(|size| size.try_into().ok()).map(u32::from_be_bytes) else {
            return Ok(None);
        };
        let length = BEFORE + size as usize + AFTER;
        if length > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the broker sent a frame of {size} bytes")));
        }
        Ok((bytes.len() >= length).then_some(length))
    }

    fn pass(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let (Some((start, [payload @ .., end])), false) = (frame.split_at_checked(BEFORE), self.is_foreign) else {
            return out.extend_from_slice(frame);
        };
        let channel = [start.get(1), start.get(2)].map(|octet| octet.copied().unwrap_or_default());
        match start.first() {
            Some(&METHOD) => {
                // A body that was broken off is not waited for.
                self.withheld.remove(&channel);
                out.extend_from_slice(start);
                let at = out.len();
                out.extend_from_slice(payload);
                properties::scrub_method(out.get_mut(at..).unwrap_or_default());
                out.push(*end);
            }
            Some(&HEADER) => {
                let read = properties::guard(payload, &self.bounds);
                self.withheld.remove(&channel);
                if read.withholds > 0 {
                    self.withheld.insert(channel, read.withholds);
                }
                let payload = read.instead.as_deref().unwrap_or(payload);
                out.extend_from_slice(&[HEADER, channel[0], channel[1]]);
                out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(payload);
                out.push(*end);
            }
            Some(&BODY) => {
                if let Some(left) = self.withheld.get_mut(&channel) {
                    *left = left.saturating_sub(payload.len() as u64);
                    if *left == 0 {
                        self.withheld.remove(&channel);
                    }
                    return;
                }
                out.extend_from_slice(frame);
            }
            Some(_) | None => out.extend_from_slice(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, 0, 1];
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        frame.push(0xce);
        frame
    }

    fn passed(framer: &mut Framer, stream: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        stream.chunks(piece.max(1)).for_each(|piece| framer.take(piece, &mut out).unwrap());
        out
    }

    #[test]
    fn a_body_that_is_too_large_is_withheld_and_what_follows_it_is_not() {
        let bounds = Bounds { body_bytes: 10, ..Bounds::default() };
        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&12_u64.to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        let stream =
            [frame(HEADER, &header), frame(BODY, &[1; 7]), frame(BODY, &[1; 5]), frame(HEARTBEAT, &[])].concat();
        let out = passed(&mut Framer::new(bounds), &stream, 3);
        assert_eq!(out.get(7..19), Some(&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]), "the body is empty");
        assert!(String::from_utf8_lossy(&out).contains("12 bytes"), "the mark says why");
        assert!(out.ends_with(&frame(HEARTBEAT, &[])) && !out.contains(&1_u8.wrapping_add(200)));
        assert_eq!(out.len(), 7 + out[6] as usize + 1 + 8, "no frame of the body is left");
    }

    #[test]
    fn what_is_no_amqp_passes_as_it_is() {
        assert_eq!(passed(&mut Framer::new(Bounds::default()), b"AMQP\0\0\x09\x01", 2), b"AMQP\0\0\x09\x01");
        let mut huge = vec![METHOD, 0, 0];
        huge.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(Framer::new(Bounds::default()).take(&huge, &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn no_stream_panics_and_the_pieces_that_it_comes_in_do_not_matter(
            kinds in prop::collection::vec((prop::sample::select(vec![1_u8, 2, 3, 8]), prop::collection::vec(any::<u8>(), 0..90)), 0..6),
            piece in 1_usize..50,
        ) {
            let stream: Vec<u8> = kinds.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let whole = passed(&mut Framer::new(Bounds::default()), &stream, stream.len());
            prop_assert_eq!(passed(&mut Framer::new(Bounds::default()), &stream, piece), whole.clone());
            // What has been passed is passed again as it is.
            prop_assert_eq!(passed(&mut Framer::new(Bounds::default()), &whole, piece), whole);
        }
    }
}
