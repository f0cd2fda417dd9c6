//! A stream of IPFIX messages in pieces of any size: what comes out is what went in, and the same as
//! if the stream had come in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::DecodeError;
use wire::ipfix::Frames;

/// Lengths of the messages, octets left over, and how it ended.
type Cut = (Vec<usize>, usize, Option<DecodeError>);

fn cut<'a>(stream: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> Cut {
    let (mut frames, mut lens, mut at) = (Frames::new(), Vec::new(), 0);
    for mut piece in pieces {
        loop {
            match frames.next(&mut piece) {
                Ok(Some(message)) => {
                    assert_eq!(message, &stream[at..at + message.len()]);
                    at += message.len();
                    lens.push(message.len());
                }
                Ok(None) => break,
                Err(e) => return (lens, 0, Some(e)),
            }
        }
        assert!(piece.is_empty());
    }
    assert_eq!(frames.position(), at as u64);
    (lens, frames.pending(), None)
}

// Input: one octet for the size of pieces, then the stream.
fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = cut(stream, std::iter::once(stream));
    let pieces = cut(stream, stream.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, pieces);
    assert!(whole.0.iter().sum::<usize>() + whole.1 <= stream.len());
});
