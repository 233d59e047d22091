//! Sentences about inputs, bounded in number: the first of a kind in full, the rest as a count.

use crate::record::Tally;

/// Sentences of a kind that a report holds in full.
pub(super) const MOST_PROBLEMS: usize = 100;
pub(super) const MOST_REMARKS: usize = 20;

/// Sentences of one kind.
#[derive(Debug)]
pub(super) struct Remarks {
    list: Vec<String>,
    most: usize,
    more: u64,
    /// What the rest is called: `files like it`.
    rest: &'static str,
}

impl Remarks {
    /// Keeps `most` sentences; `rest` completes "and 312 more …".
    pub(super) fn new(most: usize, rest: &'static str) -> Self {
        Self { list: Vec::new(), most, more: 0, rest }
    }

    pub(super) fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.list.len() < self.most { self.list.push(sentence()) } else { self.more += 1 }
    }

    /// The sentences, with one for those that were not kept.
    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more {}", self.more, self.rest));
        }
        self.list
    }
}

/// What to say of a source from which no event came; `None` where one did, or nothing was there.
pub(super) fn without_events(tally: &Tally) -> Option<String> {
    let Tally { source, events, rejected, skipped, held } = tally;
    if *events > 0 || rejected + skipped == 0 {
        return None;
    }
    let records = |count: u64| if count == 1 { "1 record".to_owned() } else { format!("{count} records") };
    let mut kinds: Vec<String> = held.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    if held.others > 0 {
        kinds.push(format!("others {}", held.others));
    }
    let kinds = kinds.join(", ");
    let keys = held.keys.as_deref().unwrap_or("none");
    let of_others = skipped.saturating_sub(held.unknown);
    Some(match (of_others, held.unknown) {
        (0, 0) => format!(
            "nothing in '{source}' could be read as an event: what is in it, in {rejected} {}, went to quarantine",
            if *rejected == 1 { "piece" } else { "pieces" }
        ),
        (others, 0) => {
            let all = if others == 1 { "the only record".to_owned() } else { format!("all {others} records") };
            let are = if others == 1 { "is" } else { "are" };
            format!("{all} of '{source}' {are} of other services ({kinds}): none is Key Vault's")
        }
        (0, unknown) => format!(
            "no log record was found in '{source}': it holds {} with the keys {keys}; give the logs themselves, or an \
             export that keeps the record as text (for instance in event.original, message or _raw)",
            if unknown == 1 { "1 object".to_owned() } else { format!("{unknown} objects") }
        ),
        (others, unknown) => format!(
            "no record of '{source}' is Key Vault's: {} of other services ({kinds}), {unknown} without a log record \
             (the first with the keys {keys})",
            records(others)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Skipped;

    #[test]
    fn a_source_without_events_is_named_with_what_it_held() {
        let held = Skipped { kinds: vec![("Microsoft.Storage".into(), 118)], others: 2, ..Skipped::default() };
        let tally = Tally { source: "x.json".into(), skipped: 120, held, ..Tally::default() };
        assert_eq!(
            without_events(&tally).as_deref(),
            Some(
                "all 120 records of 'x.json' are of other services (Microsoft.Storage 118, others 2): none is Key Vault's"
            )
        );
        let held = Skipped { unknown: 1, keys: Some("'_index'".into()), ..Skipped::default() };
        let tally = Tally { source: "x.json".into(), skipped: 1, held, ..Tally::default() };
        let text = without_events(&tally).unwrap_or_default();
        assert!(text.contains("1 object with the keys '_index'"), "{text}");
        assert_eq!(without_events(&Tally { events: 1, skipped: 3, ..Tally::default() }), None);
        assert_eq!(without_events(&Tally::default()), None);
    }

    #[test]
    fn many_remarks_are_a_few_and_a_count() {
        let mut remarks = Remarks::new(2, "files like it");
        (0..314).for_each(|n| remarks.push(|| n.to_string()));
        assert_eq!(remarks.finish(), ["0", "1", "and 312 more files like it"]);
    }
}
