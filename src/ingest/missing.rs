//! Inputs whose records say nothing of a matter that detections live on: how a request ended, who called.

use std::sync::Arc;

use crate::record::Tally;

/// Inputs that are remarked on by name; the others are counted.
const NAMED: usize = 8;

/// What the records of inputs say, in the order in which the inputs were read.
pub(super) type Tallies = Vec<(Arc<str>, Tally)>;

/// Adds what a part of an input says to what is known of it.
pub(super) fn note(tallies: &mut Tallies, name: &Arc<str>, tally: Tally) {
    match tallies.last_mut() {
        Some((last, sum)) if last == name => sum.add(tally),
        _ => tallies.push((Arc::clone(name), tally)),
    }
}

/// Gathers the inputs' tallies and remarks on those that lack something altogether. Holds one input at a time.
#[derive(Default)]
pub(super) struct Missing {
    current: Option<(Arc<str>, Tally)>,
    total: Tally,
    remarks: Vec<String>,
    unnamed: u64,
}

impl Missing {
    /// Takes the next parts, in order.
    pub fn take(&mut self, tallies: Tallies) {
        for (name, tally) in tallies {
            self.total.add(tally);
            match &mut self.current {
                Some((current, sum)) if *current == name => sum.add(tally),
                _ => {
                    self.close();
                    self.current = Some((name, tally));
                }
            }
        }
    }

    /// The sum of all inputs, and what is to be said.
    pub fn finish(mut self) -> (Tally, Vec<String>) {
        self.close();
        if self.unnamed > 0 {
            let more = self.unnamed;
            let inputs = if more == 1 { "input lacks" } else { "inputs lack" };
            self.remarks.push(format!("{more} more {inputs} the status or the caller of every request"));
        }
        (self.total, self.remarks)
    }

    /// Remarks on the input that has come to its end.
    fn close(&mut self) {
        let Some((name, tally)) = self.current.take() else { return };
        let status = (tally.without_status > 0 && tally.with_status == 0).then(|| without_status(&name, tally));
        let caller = (tally.without_caller > 0 && tally.with_caller == 0).then(|| without_caller(&name, tally));
        let lines: Vec<String> = status.into_iter().chain(caller).collect();
        if lines.is_empty() {
            return;
        }
        if self.remarks.len() + lines.len() > NAMED {
            self.unnamed += 1;
        } else {
            self.remarks.extend(lines);
        }
    }
}

fn without_status(name: &str, tally: Tally) -> String {
    format!(
        "warning: {} of '{name}' how it ended: there is no status code (httpStatusCode; httpStatusCode_d or HttpStatusCode \
         in exports) and no reason phrase (resultSignature). Detections that ask whether a request succeeded or was \
         refused are blind to it: export it again with these columns",
        none_says(tally.without_status)
    )
}

fn without_caller(name: &str, tally: Tally) -> String {
    format!(
        "warning: {} of '{name}' who called: there is no identity (identity.claim; identity_claim_oid_g, \
         identity_claim_appid_g, identity_claim_upn_s or Identity in exports). Detections that follow a caller are blind \
         to it: export it again with these columns",
        none_says(tally.without_caller)
    )
}

fn none_says(requests: u64) -> String {
    if requests == 1 { "the only request does not say".into() } else { format!("none of {requests} requests says") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(with_status: u64, without_status: u64, with_caller: u64, without_caller: u64) -> Tally {
        Tally { with_status, without_status, with_caller, without_caller }
    }

    #[test]
    fn an_input_is_remarked_on_if_it_lacks_something_altogether() {
        let mut missing = Missing::default();
        let (a, b, c): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "c".into());
        missing.take(vec![(a.clone(), tally(0, 2, 2, 0)), (b.clone(), tally(0, 5, 0, 5))]);
        missing.take(vec![(b, tally(1, 0, 0, 1)), (c, tally(4, 0, 0, 0))]);
        let (total, remarks) = missing.finish();
        assert_eq!(total, tally(5, 7, 2, 6));
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[0].contains("none of 2 requests says of 'a' how it ended"), "{remarks:?}");
        assert!(remarks[1].contains("none of 6 requests says of 'b' who called"), "{remarks:?}");
    }

    #[test]
    fn a_thousand_such_inputs_make_few_remarks() {
        let mut missing = Missing::default();
        for n in 0..1000 {
            missing.take(vec![(n.to_string().into(), tally(0, 1, 1, 0))]);
        }
        let (_, remarks) = missing.finish();
        assert_eq!(remarks.len(), NAMED + 1);
        assert!(remarks[NAMED].starts_with("992 more inputs"), "{}", remarks[NAMED]);
    }
}
