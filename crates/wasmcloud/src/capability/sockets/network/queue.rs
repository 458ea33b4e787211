//! Bytes on their way, as a queue of chunks: large ones are passed on as they are, small ones are put together.

use std::collections::VecDeque;

use bytes::Bytes;

/// Writes below this are put together.
const SMALL: usize = 1024;
/// How much is put together into one chunk.
const TAIL: usize = 4096;

/// A queue of bytes. There are two for each connection, and most connections are idle: an empty one is small and holds nothing.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// `None` while there are none.
    chunks: Option<Box<Chunks>>,
    /// What comes after the chunks, and may grow.
    tail: Vec<u8>,
    /// How much of the tail was read.
    tail_read: u32,
    len: u32,
    held: u32,
}

#[derive(Debug, Default)]
struct Chunks(VecDeque<Chunk>);

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// How long it was: so much memory stays until the last byte is read.
    held: u32,
}

/// What a pipe holds fits, by far.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a queue holds a few MiB at most"
)]
const fn small(bytes: usize) -> u32 {
    bytes as u32
}

impl Queue {
    /// Bytes that were not read yet.
    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of memory behind them: what was read of a chunk is held until all of it was.
    pub(super) const fn held(&self) -> usize {
        self.held as usize
    }

    /// Appends the first `most` bytes of `bytes`, and takes them off it.
    pub(super) fn push(&mut self, bytes: &mut Bytes, most: usize) {
        let most = most.min(bytes.len());
        // A small part of something large would keep all of it in memory.
        if most < SMALL || most < bytes.len() / 2 {
            self.push_copy(bytes.get(..most).unwrap_or_default());
            bytes::Buf::advance(bytes, most);
        } else {
            self.push_chunk(bytes.split_to(most));
        }
    }

    /// Appends a copy.
    pub(super) fn push_copy(&mut self, bytes: &[u8]) {
        if bytes.len() >= SMALL {
            return self.push_chunk(Bytes::copy_from_slice(bytes));
        }
        if self.tail.len() + bytes.len() > TAIL {
            self.close_tail();
        }
        self.tail.extend_from_slice(bytes);
        self.add(bytes.len());
    }

    fn push_chunk(&mut self, bytes: Bytes) {
        self.close_tail();
        let held = small(bytes.len());
        self.add(bytes.len());
        self.append(Chunk { bytes, held });
    }

    fn append(&mut self, chunk: Chunk) {
        self.chunks.get_or_insert_default().0.push_back(chunk);
    }

    fn first(&mut self) -> Option<&mut Chunk> {
        self.chunks.as_mut()?.0.front_mut()
    }

    fn add(&mut self, bytes: usize) {
        self.len += small(bytes);
        self.held += small(bytes);
    }

    /// Makes the tail a chunk like the others.
    fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let held = small(self.tail.len());
        let mut bytes = Bytes::from(std::mem::take(&mut self.tail));
        bytes::Buf::advance(&mut bytes, self.tail_read as usize);
        self.tail_read = 0;
        self.append(Chunk { bytes, held });
    }

    /// Takes bytes from the front, at most `most`: one chunk, or a part of it.
    pub(super) fn pop(&mut self, most: usize) -> Bytes {
        let Some(chunk) = self.first() else {
            return self.pop_tail(most);
        };
        let bytes = chunk.bytes.split_to(most.min(chunk.bytes.len()));
        self.len -= small(bytes.len());
        self.drop_read_chunk();
        bytes
    }

    fn pop_tail(&mut self, most: usize) -> Bytes {
        if self.tail_read == 0 && most >= self.tail.len() {
            let all = small(self.tail.len());
            self.len -= all;
            self.held -= all;
            return Bytes::from(std::mem::take(&mut self.tail));
        }
        let rest = self.tail.get(self.tail_read as usize..).unwrap_or_default();
        let bytes = Bytes::copy_from_slice(rest.get(..most).unwrap_or(rest));
        self.tail_was_read(bytes.len());
        bytes
    }

    /// Copies bytes from the front, as many as there are and fit.
    pub(super) fn pop_into(&mut self, mut into: &mut [u8]) -> usize {
        let mut read = 0;
        while let Some(chunk) = self.first() {
            let n = copy(&chunk.bytes, &mut into);
            if n == 0 {
                return read;
            }
            bytes::Buf::advance(&mut chunk.bytes, n);
            self.len -= small(n);
            self.drop_read_chunk();
            read += n;
        }
        let rest = self.tail.get(self.tail_read as usize..).unwrap_or_default();
        let n = copy(rest, &mut into);
        self.tail_was_read(n);
        read + n
    }

    /// Lets the first chunk go if all of it was read.
    fn drop_read_chunk(&mut self) {
        let Some(Chunks(chunks)) = self.chunks.as_deref_mut() else {
            return;
        };
        let read = chunks.pop_front_if(|chunk| chunk.bytes.is_empty());
        self.held -= read.map_or(0, |chunk| chunk.held);
        if chunks.is_empty() {
            self.chunks = None;
        }
    }

    fn tail_was_read(&mut self, bytes: usize) {
        self.len -= small(bytes);
        self.tail_read += small(bytes);
        if self.tail_read as usize == self.tail.len() {
            self.held -= self.tail_read;
            self.tail_read = 0;
            self.tail = Vec::new();
        }
    }
}

/// Copies what fits, and moves on in what it is copied into.
fn copy(from: &[u8], into: &mut &mut [u8]) -> usize {
    let n = from.len().min(into.len());
    let (front, rest) = std::mem::take(into).split_at_mut(n);
    front.copy_from_slice(from.get(..n).unwrap_or_default());
    *into = rest;
    n
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn queue(parts: &[&[u8]]) -> Queue {
        let mut queue = Queue::default();
        for part in parts {
            queue.push_copy(part);
        }
        queue
    }

    #[test]
    fn large_bytes_pass_through_without_a_copy() {
        let mut queue = Queue::default();
        let sent = Bytes::from(vec![7; 10_000]);
        queue.push(&mut sent.clone(), 10_000);
        let read = queue.pop(20_000);
        assert_eq!(read.as_ptr(), sent.as_ptr());
        assert_eq!((queue.len(), queue.held()), (0, 0));
    }

    #[test]
    fn a_small_part_of_something_large_does_not_keep_all_of_it() {
        let mut queue = Queue::default();
        let sent = Bytes::from(vec![7; 100_000]);
        let mut rest = sent.clone();
        queue.push(&mut rest, 4096);
        assert_eq!(rest.len(), 95_904);
        let read = queue.pop(4096);
        assert_eq!(read.len(), 4096);
        assert_ne!(read.as_ptr(), sent.as_ptr());
    }

    #[test]
    fn small_writes_are_put_together() {
        let mut queue = Queue::default();
        for _ in 0..10_000 {
            queue.push_copy(b"x");
        }
        assert_eq!(queue.len(), 10_000);
        assert_eq!(queue.chunks.as_ref().unwrap().0.len(), 2);
        let mut into = [0; 10_001];
        assert_eq!(queue.pop_into(&mut into), 10_000);
        assert!(into[..10_000].iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn what_was_read_of_a_chunk_is_held_until_all_of_it_was() {
        let mut queue = Queue::default();
        queue.push(&mut Bytes::from(vec![1; 5000]), 5000);
        queue.push_copy(b"tail");
        assert_eq!(queue.pop(4999).len(), 4999);
        assert_eq!((queue.len(), queue.held()), (5, 5004));
        assert_eq!(queue.pop(100).len(), 1);
        assert_eq!((queue.len(), queue.held()), (4, 4));
        assert_eq!(queue.pop(1), "t");
        assert_eq!((queue.len(), queue.held()), (3, 4));
        assert_eq!(queue.pop(9), "ail");
        assert_eq!((queue.len(), queue.held()), (0, 0));
    }

    #[test]
    fn a_tail_that_was_read_in_part_becomes_a_chunk() {
        let mut queue = queue(&[b"hello"]);
        assert_eq!(queue.pop(2), "he");
        queue.push_copy(&[b'!'; 2000]);
        assert_eq!(queue.pop(9), "llo");
        assert_eq!(queue.pop(9000).len(), 2000);
        assert_eq!((queue.len(), queue.held()), (0, 0));
    }

    #[test]
    fn reads_with_a_copy_cross_chunks() {
        let mut queue = queue(&[b"a", &[b'b'; 1024], b"c", b"d"]);
        let mut into = [0; 1026];
        assert_eq!(queue.pop_into(&mut into), 1026);
        assert_eq!((into[0], into[1], into[1025]), (b'a', b'b', b'c'));
        assert_eq!(queue.pop_into(&mut into), 1);
        assert_eq!((into[0], queue.len(), queue.held()), (b'd', 0, 0));
        assert_eq!(queue.pop_into(&mut into), 0);
    }

    #[test]
    fn an_empty_queue_holds_nothing() {
        let mut queue = queue(&[&[1; 1000], &[2; 1024], b"rest"]);
        let mut into = [0; 4096];
        queue.pop_into(&mut into);
        assert!(queue.chunks.is_none() && queue.tail.capacity() == 0);
        queue.push_copy(b"small");
        queue.pop(9);
        assert_eq!(queue.tail.capacity(), 0);
        assert!(size_of::<Queue>() <= 48);
    }

    /// Whatever is written and read, the bytes are those of a plain vector.
    #[test]
    fn a_queue_is_like_a_vector_of_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut queue = Queue::default();
        let mut model = VecDeque::new();
        for _ in 0..20_000 {
            let size =
                [random.usize(..4), random.usize(..200), random.usize(..6000)][random.usize(..3)];
            match random.u8(..5) {
                0 if model.len() < 100_000 => {
                    let bytes: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
                    queue.push_copy(&bytes);
                    model.extend(bytes);
                }
                1 if model.len() < 100_000 => {
                    let bytes: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
                    let most = random.usize(..=size);
                    queue.push(&mut Bytes::from(bytes.clone()), most);
                    model.extend(&bytes[..most]);
                }
                2 => {
                    let read = queue.pop(size);
                    assert!(read.iter().copied().eq(model.drain(..read.len())));
                    assert!(!read.is_empty() || size == 0 || model.is_empty());
                }
                _ => {
                    let mut into = vec![0; size];
                    let read = queue.pop_into(&mut into);
                    assert_eq!(read, size.min(model.len()));
                    assert!(into[..read].iter().copied().eq(model.drain(..read)));
                }
            }
            assert_eq!(queue.len(), model.len());
            assert!(queue.held() >= queue.len());
        }
    }
}
