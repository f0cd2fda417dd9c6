//! Memory in pieces of one size, cut out of areas that huge pages back.
//!
//! A page of 4 KiB costs the kernel as much time as filling it costs us; a huge page (2 MiB) costs
//! a tenth of that for each octet, but only areas that begin and end where such pages do get them.
//! What grows by small pieces in many places is thus cut out of few areas.

use crate::memory::{prefer_huge_pages, prefetch_at};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// Values that the processor is asked for before they are written.
const AHEAD: usize = 4;

/// Octets of a huge page.
const HUGE: usize = 2 << 20;

/// Room for a number of values: a `Vec` that never grows.
///
/// The area that it was cut out of is given back when all of its pieces are dropped.
pub struct Piece<T: Copy> {
    place: NonNull<MaybeUninit<T>>,
    len: usize,
    capacity: usize,
    area: Arc<Area>,
    values: PhantomData<T>,
}

// SAFETY: a piece is the only one that reaches its part of the area, as a `Vec` is of its own.
unsafe impl<T: Copy + Send> Send for Piece<T> {}
// SAFETY: as above; nothing changes behind a shared reference.
unsafe impl<T: Copy + Sync> Sync for Piece<T> {}

impl<T: Copy> Piece<T> {
    /// An area with room for `pieces` times `capacity` values, cut. Where that is a huge page or
    /// more, the system is asked for such.
    pub fn cut(capacity: usize, pieces: usize) -> Vec<Self> {
        let count = capacity.checked_mul(pieces).filter(|n| *n > 0 && size_of::<T>() > 0);
        let Some(count) = count else { return Vec::new() };
        let area = Arc::new(Area::new::<T>(count));
        let first: NonNull<MaybeUninit<T>> = area.place.cast();
        let piece = |n| Self {
            // SAFETY: n < pieces, so this is within the `count` values that the area has room for.
            place: unsafe { first.add(n * capacity) },
            len: 0,
            capacity,
            area: Arc::clone(&area),
            values: PhantomData,
        };
        (0..pieces).map(piece).collect()
    }

    /// Adds a value. Returns false if there is no room for it.
    #[inline]
    pub fn push(&mut self, value: T) -> bool {
        if self.len == self.capacity {
            return false;
        }
        // Pieces are filled in turns with many others, so nobody else foresees what comes next.
        prefetch_at(self.place.as_ptr().wrapping_add(self.len + AHEAD));
        // SAFETY: len < capacity, so the place is in this piece, which nobody else reaches.
        unsafe { self.place.add(self.len).write(MaybeUninit::new(value)) };
        self.len += 1;
        true
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Whether there is room for no more.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.len == self.capacity
    }
}

impl<T: Copy> Deref for Piece<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` values of the piece were written, and the area lives as long.
        unsafe { slice::from_raw_parts(self.place.cast().as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Piece<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; nobody else reaches them while `self` is borrowed.
        unsafe { slice::from_raw_parts_mut(self.place.cast().as_ptr(), self.len) }
    }
}

impl<T: Copy> fmt::Debug for Piece<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.area.layout.size();
        write!(f, "Piece({} of {} values in {all} octets)", self.len, self.capacity)
    }
}

/// Memory that pieces are cut out of.
struct Area {
    place: NonNull<u8>,
    layout: Layout,
}

// SAFETY: an area is memory, which no thread owns. Pieces see to who reaches which part of it.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// Room for `count` values, which is not 0, and neither is their size.
    fn new<T>(count: usize) -> Self {
        let layout = Layout::array::<T>(count).and_then(|l| match l.size() < HUGE - HUGE / 16 {
            true => Ok(l),
            false => Ok(l.align_to(HUGE)?.pad_to_align()),
        });
        let Ok(layout) = layout else { panic!("{count} values are more than can be addressed") };
        // SAFETY: the size is not 0.
        let place = unsafe { alloc(layout) };
        let Some(place) = NonNull::new(place) else { handle_alloc_error(layout) };
        // SAFETY: the octets were just allocated, and nobody else knows of them.
        let octets = unsafe {
            slice::from_raw_parts_mut(place.cast::<MaybeUninit<u8>>().as_ptr(), layout.size())
        };
        prefer_huge_pages(octets);
        Self { place, layout }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and no piece is left that points into it.
        unsafe { dealloc(self.place.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_apart_from_each_other() {
        for (capacity, pieces) in [(1, 1), (3, 7), (512, 128), (40_000, 9)] {
            let mut all = Piece::<[u32; 3]>::cut(capacity, pieces);
            assert_eq!(all.len(), pieces);
            for round in 0..capacity as u32 {
                for (n, piece) in all.iter_mut().enumerate() {
                    assert!(!piece.is_full() && piece.push([n as u32, round, !round]));
                }
            }
            let keep = all.iter_mut().step_by(2).map(|p| p.len()).sum::<usize>();
            assert_eq!(keep, capacity * pieces.div_ceil(2));
            let mut rest: Vec<_> = all.drain(..).rev().step_by(2).collect();
            for piece in &mut rest {
                assert!(piece.is_full() && !piece.push([0; 3]), "there is no more room");
                let first = piece[0][0];
                assert!(piece.iter().zip(0..).all(|(v, round)| *v == [first, round, !round]));
                piece[capacity - 1] = [9; 3];
                piece.truncate(capacity / 2);
                assert_eq!(piece.len(), capacity / 2);
                assert!(piece.push([7; 3]) && piece.last() == Some(&[7; 3]));
            }
        }
    }

    #[test]
    fn pieces_go_to_other_threads() {
        let pieces = Piece::<u64>::cut(1000, 4);
        let filled = std::thread::scope(|scope| {
            let fill = |mut piece: Piece<u64>| {
                (0..1000).for_each(|n| assert!(piece.push(n)));
                piece
            };
            let all: Vec<_> = pieces.into_iter().map(|p| scope.spawn(move || fill(p))).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(filled.iter().all(|p| p.iter().copied().eq(0..1000)));
    }

    #[test]
    fn no_room_is_no_piece() {
        assert!(Piece::<u64>::cut(0, 5).is_empty() && Piece::<u64>::cut(5, 0).is_empty());
        assert!(Piece::<()>::cut(5, 5).is_empty());
        assert!(Piece::<u64>::cut(usize::MAX, 2).is_empty());
    }

    #[test]
    #[should_panic(expected = "more than can be addressed")]
    fn more_than_there_can_be_is_a_panic() {
        drop(Piece::<u64>::cut(usize::MAX / 2, 1));
    }
}
