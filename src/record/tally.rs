//! What came of each source, so that a source of which nothing was of use can be named with what it held.

/// Kinds of skipped records that are told apart; the rest is counted together.
const KINDS: usize = 4;

/// The longest name of a kind.
const LONGEST: usize = 60;

/// What came of a source, or of the part of it that one batch holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The name that [`super::decode::Decoder::source`] was given.
    pub source: String,
    /// Events.
    pub events: u64,
    /// Pieces that could not be read.
    pub rejected: u64,
    /// Records that are not Key Vault's.
    pub skipped: u64,
    /// What these were.
    pub held: Skipped,
}

/// Kinds of skipped records: bounded, whatever the input holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Records of other services, by the name of the service or of the log.
    pub kinds: Vec<(String, u64)>,
    /// Records of yet other services.
    pub others: u64,
    /// Objects that are no log record.
    pub unknown: u64,
    /// The first such object's keys, for a message.
    pub keys: Option<String>,
}

impl Skipped {
    /// One more record of a kind.
    pub(super) fn add(&mut self, kind: &str) {
        self.count(kind.get(..LONGEST).unwrap_or(kind), 1);
    }

    fn count(&mut self, kind: &str, count: u64) {
        let room = self.kinds.len() < KINDS && kind.len() <= LONGEST;
        match self.kinds.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(kind)) {
            Some((_, sum)) => *sum += count,
            None if room => self.kinds.push((kind.to_owned(), count)),
            None => self.others += count,
        }
    }

    /// Records of other services.
    pub(super) fn known(&self) -> u64 {
        self.kinds.iter().map(|(_, count)| count).sum::<u64>() + self.others
    }

    fn join(&mut self, other: Skipped) {
        for (kind, count) in other.kinds {
            self.count(&kind, count);
        }
        self.others += other.others;
        self.unknown += other.unknown;
        self.keys = self.keys.take().or(other.keys);
    }
}

impl Tally {
    /// Adds what came of the next part of the same source.
    pub fn join(&mut self, other: Tally) {
        self.events += other.events;
        self.rejected += other.rejected;
        self.skipped += other.skipped;
        self.held.join(other.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_bounded_and_none_is_lost() {
        let mut held = Skipped::default();
        for kind in ["Microsoft.Storage", "MICROSOFT.STORAGE", "a", "b", "c", "d", "e", &"x".repeat(100)] {
            held.add(kind);
        }
        assert_eq!(held.kinds[0], ("Microsoft.Storage".to_owned(), 2));
        assert_eq!((held.kinds.len(), held.others, held.known()), (4, 3, 8));
        let mut both = Tally { skipped: 8, held: held.clone(), ..Tally::default() };
        both.join(Tally { skipped: 8, held, ..Tally::default() });
        assert_eq!((both.held.kinds[0].1, both.held.known(), both.skipped), (4, 16, 16));
    }
}
