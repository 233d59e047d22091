//! What one decoder takes at a time: blocks in order, of bounded weight. Weight counts what may come of the bytes and not
//! only the bytes: a line of two bytes may become a reject of three hundred.

use std::ops::Range;
use std::sync::Arc;

use crate::record::Dates;
use crate::record::frame::{Block, Pieces};

/// Weight that one work gathers at the least, from as many small files as it takes: an hourly blob of a few records is not
/// worth a batch of its own.
const WORK_WEIGHT: usize = 5 * 1024 * 1024;

/// The most lines or values of one block; longer ones are cut. About as many as records of half a KiB in a work.
const MOST_PIECES: usize = 8 * 1024;

/// What a block takes beside its bytes, its pieces and its rejects.
const BLOCK_WEIGHT: usize = 512;

/// What a reject takes beside its bytes (its reason and the name of its source), and so what a line or value may take.
const REJECT_WEIGHT: usize = 256;

/// Blocks for one decoder, in order.
#[derive(Default)]
pub(super) struct Work {
    /// Its place among the works.
    pub number: u64,
    /// Blocks with the names of their sources and how these write their dates.
    pub parts: Vec<(Arc<str>, Dates, Block)>,
    weight: usize,
    bytes: usize,
}

impl Work {
    /// The empty work after this one.
    pub(super) fn following(&self) -> Work {
        Work { number: self.number + 1, ..Work::default() }
    }

    /// Takes a block in; true once the work is heavy enough to be handed on.
    pub(super) fn take(&mut self, name: &Arc<str>, dates: Dates, block: Block) -> bool {
        let bytes = block.bytes.len() + block.rejects.iter().map(|reject| reject.bytes.len()).sum::<usize>();
        let pieces = pieces(&block).map_or_else(|| memchr::memchr_iter(b'\n', &block.bytes).count(), <[_]>::len);
        self.bytes += bytes;
        self.weight += BLOCK_WEIGHT + bytes + REJECT_WEIGHT * (pieces + block.rejects.len());
        self.parts.push((name.clone(), dates, block));
        self.weight >= WORK_WEIGHT
    }

    /// Bytes of its records and rejects: about what its rows will take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn pieces(block: &Block) -> Option<&[Range<u32>]> {
    match &block.pieces {
        Pieces::Lines => None,
        Pieces::Values(ranges) => Some(ranges),
        Pieces::Rows { rows, .. } | Pieces::Csv { rows, .. } => Some(rows),
    }
}

/// The block, cut where it holds very many pieces. Blocks of usual records pass as they are.
pub(super) fn cut(block: Block) -> Vec<Block> {
    let ends = match &block.pieces {
        Pieces::Lines => line_ends(&block.bytes),
        _ => piece_ends(pieces(&block).unwrap_or_default()),
    };
    if ends.len() < 2 {
        return vec![block];
    }
    let Block { offset, bytes, pieces, rejects } = block;
    let (mut start, mut first) = (0, 0);
    let mut blocks: Vec<Block> = Vec::with_capacity(ends.len());
    for end in ends {
        let count = MOST_PIECES;
        let pieces = match &pieces {
            Pieces::Lines => Pieces::Lines,
            Pieces::Values(ranges) => Pieces::Values(moved(ranges, first, count, start)),
            Pieces::Rows { columns, rows } => {
                Pieces::Rows { columns: columns.clone(), rows: moved(rows, first, count, start) }
            }
            Pieces::Csv { header, delimiter, rows } => {
                let rows = moved(rows, first, count, start);
                Pieces::Csv { header: header.clone(), delimiter: *delimiter, rows }
            }
        };
        let part = bytes[start as usize..end as usize].to_vec();
        blocks.push(Block { offset: offset + u64::from(start), bytes: part, pieces, rejects: Vec::new() });
        (start, first) = (end, first + count);
    }
    if let Some(last) = blocks.last_mut() {
        last.rejects = rejects;
    }
    blocks
}

/// Where every so many lines end, and the end; nothing but the end for a block of usual lines.
fn line_ends(bytes: &[u8]) -> Vec<u32> {
    let lines = memchr::memchr_iter(b'\n', bytes).skip(MOST_PIECES - 1).step_by(MOST_PIECES);
    let mut ends: Vec<u32> = lines.map(|at| place(at + 1)).collect();
    if ends.last().is_none_or(|last| *last < place(bytes.len())) {
        ends.push(place(bytes.len()));
    }
    ends
}

/// Where every so many pieces end.
fn piece_ends(ranges: &[Range<u32>]) -> Vec<u32> {
    ranges.chunks(MOST_PIECES).filter_map(|chunk| chunk.last().map(|range| range.end)).collect()
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a block has at most 1 GiB")
}

/// Some of the ranges, counted from `start`.
fn moved(ranges: &[Range<u32>], first: usize, count: usize, start: u32) -> Vec<Range<u32>> {
    let chosen = &ranges[first..ranges.len().min(first + count)];
    chosen.iter().map(|range| range.start - start..range.end - start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(block: &Block) -> Vec<(u64, Vec<u8>)> {
        let whole = 0..place(block.bytes.len());
        let ranges = pieces(block).unwrap_or(std::slice::from_ref(&whole));
        let text = |r: &Range<u32>| {
            (block.offset + u64::from(r.start), block.bytes[r.start as usize..r.end as usize].to_vec())
        };
        ranges.iter().map(text).collect()
    }

    #[test]
    fn cut_blocks_hold_the_same_pieces_at_the_same_places() {
        for count in [1, MOST_PIECES, MOST_PIECES + 1, 3 * MOST_PIECES + 7] {
            // Two bytes a value, with a byte between them that is part of none.
            let bytes = b"17,".repeat(count);
            let ranges: Vec<_> = (0..place(count)).map(|n| 3 * n..3 * n + 2).collect();
            for pieces in
                [Pieces::Values(ranges.clone()), Pieces::Csv { header: Arc::default(), delimiter: b',', rows: ranges }]
            {
                let block = Block { offset: 1_000, bytes: bytes.clone(), pieces, rejects: Vec::new() };
                let expected = texts(&block);
                let blocks = cut(block);
                assert_eq!(blocks.len(), count.div_ceil(MOST_PIECES));
                assert_eq!(blocks.iter().flat_map(texts).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn cut_lines_are_the_same_lines() {
        for (bytes, parts) in [
            (b"x\n".repeat(MOST_PIECES), 1),
            (b"x\n".repeat(MOST_PIECES + 1), 2),
            ([b"x\n".repeat(2 * MOST_PIECES), b"no end".to_vec()].concat(), 3),
            (b"no newline ".repeat(MOST_PIECES), 1),
            (Vec::new(), 1),
        ] {
            let blocks = cut(Block { offset: 7, bytes: bytes.clone(), pieces: Pieces::Lines, rejects: Vec::new() });
            assert_eq!(blocks.len(), parts);
            let mut at = 7;
            for block in &blocks {
                assert_eq!(block.offset, at);
                at += block.bytes.len() as u64;
            }
            assert_eq!(blocks.into_iter().flat_map(|block| block.bytes).collect::<Vec<_>>(), bytes);
        }
    }
}
