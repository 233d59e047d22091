//! Which findings of one rule and key form which alert. Pure: no database, no clock.
//!
//! Windows no further apart than `quiet_for` form a chain. A closed alert ends its chain: what comes after it is a
//! new alert. A chain belongs to the oldest alert that has a home in it, so ids that people hold live on whatever
//! late data joins or splits; the other alerts at home there are merged into it.

use std::collections::BTreeSet;

use crate::alert::{AlertState, Micros};

/// What chains need to know of a stored finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) finding_id: String,
    pub(super) start: Micros,
    pub(super) end: Micros,
    /// It holds now; a withdrawn finding is in no chain.
    pub(super) live: bool,
    /// The alert that it was part of so far.
    pub(super) alert_id: Option<String>,
}

/// What chains need to know of an alert of the same rule and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) alert_id: String,
    /// Smaller is older.
    pub(super) seq: i64,
    /// The window_end that its id was made of.
    pub(super) origin_end: Micros,
    /// Open, acknowledged or closed.
    pub(super) state: AlertState,
    /// The last window_end when it was closed; none while it is not.
    pub(super) closed_through: Option<Micros>,
}

/// The state of an alert and, if closed, up to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: AlertState,
    pub(super) closed_through: Option<Micros>,
}

/// Findings that form one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Indexes into the links, by window_end.
    pub(super) members: Vec<usize>,
    /// The alert that carries on; none: a new one is due.
    pub(super) survivor: Option<String>,
    /// Alerts that become part of the survivor.
    pub(super) merged: Vec<String>,
    /// What the alert's state is from now on.
    pub(super) standing: Standing,
}

/// The alerts of one rule and key, as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) segments: Vec<Segment>,
    /// Alerts none of whose findings holds any more.
    pub(super) emptied: Vec<String>,
}

/// Works out the alerts of one rule and key from its stored findings and the alerts known so far.
pub(super) fn plan(links: &[Link], known: &[Known], quiet_for: Micros) -> Plan {
    let pieces: Vec<Vec<usize>> =
        chains(links, quiet_for).into_iter().flat_map(|chain| cut(chain, links, known)).collect();
    let homes: Vec<Option<usize>> = known.iter().map(|alert| home(alert, &pieces, links)).collect();
    let segments = pieces
        .iter()
        .enumerate()
        .map(|(at, members)| {
            let mut residents: Vec<&Known> =
                known.iter().zip(&homes).filter(|(_, home)| **home == Some(at)).map(|(alert, _)| alert).collect();
            residents.sort_by_key(|alert| alert.seq);
            Segment {
                survivor: residents.first().map(|alert| alert.alert_id.clone()),
                merged: residents.iter().skip(1).map(|alert| alert.alert_id.clone()).collect(),
                standing: standing(&residents).unwrap_or_else(|| inherited(members, links, known)),
                members: members.clone(),
            }
        })
        .collect();
    let emptied = known.iter().zip(&homes).filter(|(_, home)| home.is_none());
    Plan { segments, emptied: emptied.map(|(alert, _)| alert.alert_id.clone()).collect() }
}

/// Live findings whose windows lie no further apart than `quiet_for`, each chain by window_end.
fn chains(links: &[Link], quiet_for: Micros) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..links.len()).filter(|&i| links[i].live).collect();
    order.sort_by_key(|&i| (links[i].start, links[i].end));
    let mut chains: Vec<Vec<usize>> = Vec::new();
    let mut reach = Micros::MIN;
    for i in order {
        match chains.last_mut() {
            Some(chain) if links[i].start.saturating_sub(reach) <= quiet_for => chain.push(i),
            _ => chains.push(vec![i]),
        }
        reach = reach.max(links[i].end);
    }
    for chain in &mut chains {
        chain.sort_by_key(|&i| links[i].end);
    }
    chains
}

fn belongs(alert: &Known, link: &Link) -> bool {
    link.alert_id.as_deref() == Some(alert.alert_id.as_str()) || link.end == alert.origin_end
}

/// Cuts a chain after the last window of each closed alert in it.
fn cut(chain: Vec<usize>, links: &[Link], known: &[Known]) -> Vec<Vec<usize>> {
    let cuts: BTreeSet<Micros> = known
        .iter()
        .filter_map(|alert| alert.closed_through.map(|end| (alert, end)))
        .filter(|(alert, end)| chain.iter().any(|&i| belongs(alert, &links[i]) && links[i].end <= *end))
        .map(|(_, end)| end)
        .collect();
    let mut pieces = Vec::new();
    let mut rest = chain;
    for end in cuts {
        let after = rest.split_off(rest.partition_point(|&i| links[i].end <= end));
        pieces.push(std::mem::replace(&mut rest, after));
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// The piece where an alert lives on: that of the finding which its id was made of, else of its first finding.
fn home(alert: &Known, pieces: &[Vec<usize>], links: &[Link]) -> Option<usize> {
    let piece_with = |wanted: &dyn Fn(&Link) -> bool| {
        let found = pieces.iter().enumerate().flat_map(|(at, piece)| piece.iter().map(move |&i| (at, i)));
        found.filter(|&(_, i)| wanted(&links[i])).min_by_key(|&(_, i)| links[i].end).map(|(at, _)| at)
    };
    piece_with(&|link| link.end == alert.origin_end)
        .or_else(|| piece_with(&|link| link.alert_id.as_deref() == Some(alert.alert_id.as_str())))
}

/// The oldest alert's state. Only a closed one yields to another that is not: a merge must not hide open work.
fn standing(residents: &[&Known]) -> Option<Standing> {
    let oldest = residents.first()?;
    let heir = match oldest.state {
        AlertState::Closed => residents.iter().find(|alert| alert.state != AlertState::Closed).unwrap_or(oldest),
        _ => oldest,
    };
    let closed_through = match heir.state {
        AlertState::Closed => residents.iter().filter_map(|alert| alert.closed_through).max(),
        _ => None,
    };
    Some(Standing { state: heir.state, closed_through })
}

/// A piece that split off keeps its alert's state; one of new findings, or after a close, is open.
fn inherited(members: &[usize], links: &[Link], known: &[Known]) -> Standing {
    let parent = members.iter().find_map(|&i| {
        let alert = known.iter().find(|alert| links[i].alert_id.as_deref() == Some(alert.alert_id.as_str()))?;
        let within = alert.closed_through.is_none_or(|end| links[i].end <= end);
        within.then_some(alert)
    });
    match parent {
        Some(alert) => Standing { state: alert.state, closed_through: alert.closed_through },
        None => Standing { state: AlertState::Open, closed_through: None },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A finding of the hour that ends at `end`, part of `alert` so far ("" for none).
    fn link(end: Micros, alert: &str) -> Link {
        let alert_id = (!alert.is_empty()).then(|| alert.to_owned());
        Link { finding_id: end.to_string(), start: end - 1, end, live: true, alert_id }
    }

    fn known(id: &str, seq: i64, origin_end: Micros, state: AlertState, closed_through: Option<Micros>) -> Known {
        Known { alert_id: id.to_owned(), seq, origin_end, state, closed_through }
    }

    /// Each alert as "survivor+merged:state:ends", quiet for 1.
    fn shown(links: &[Link], known: &[Known]) -> Vec<String> {
        let plan = plan(links, known, 1);
        let mut lines: Vec<String> = plan
            .segments
            .iter()
            .map(|s| {
                let ends: Vec<String> = s.members.iter().map(|&i| links[i].end.to_string()).collect();
                let merged: String = s.merged.iter().map(|id| format!("+{id}")).collect();
                let id = s.survivor.as_deref().unwrap_or("new");
                format!("{id}{merged}:{}:{}", s.standing.state.as_str(), ends.join(","))
            })
            .collect();
        lines.extend(plan.emptied.iter().map(|id| format!("{id}:emptied")));
        lines
    }

    use AlertState::{Acknowledged, Closed, Open};

    #[test]
    fn windows_up_to_quiet_for_apart_chain_and_those_further_do_not() {
        // 3 begins at 2, one after 1 ends; 6 begins at 5, two after 3 ends.
        assert_eq!(shown(&[link(1, ""), link(3, ""), link(6, "")], &[]), ["new:open:1,3", "new:open:6"]);
    }

    #[test]
    fn a_window_that_spans_others_chains_them_all() {
        let mut long = link(9, "");
        long.start = 0;
        assert_eq!(shown(&[link(2, ""), link(6, ""), long], &[]), ["new:open:2,6,9"]);
    }

    #[test]
    fn an_earlier_finding_joins_and_the_id_stays() {
        let a = known("a", 1, 5, Acknowledged, None);
        assert_eq!(shown(&[link(3, ""), link(5, "a")], &[a]), ["a:acknowledged:3,5"]);
    }

    #[test]
    fn late_data_joins_two_alerts_and_the_older_id_survives() {
        let young = known("y", 2, 1, Acknowledged, None);
        let old = known("o", 1, 5, Open, None);
        assert_eq!(shown(&[link(1, "y"), link(3, ""), link(5, "o")], &[young, old]), ["o+y:open:1,3,5"]);
    }

    #[test]
    fn a_split_leaves_the_id_with_its_origin_and_the_state_with_both() {
        let mut gone = link(3, "a");
        gone.live = false;
        let a = known("a", 1, 5, Acknowledged, None);
        assert_eq!(shown(&[link(1, "a"), gone, link(5, "a")], &[a]), ["new:acknowledged:1", "a:acknowledged:5"]);
    }

    #[test]
    fn an_alert_whose_findings_are_gone_is_emptied() {
        let mut gone = link(1, "a");
        gone.live = false;
        assert_eq!(shown(&[gone, link(9, "")], &[known("a", 1, 1, Open, None)]), ["new:open:9", "a:emptied"]);
    }

    #[test]
    fn a_closed_alert_takes_what_is_not_after_its_end_and_nothing_later() {
        let a = known("a", 1, 1, Closed, Some(5));
        let links = [link(1, "a"), link(3, ""), link(5, "a"), link(6, ""), link(7, "")];
        assert_eq!(shown(&links, &[a]), ["a:closed:1,3,5", "new:open:6,7"]);
    }

    #[test]
    fn a_finding_that_returns_after_the_close_opens_a_new_alert() {
        let a = known("a", 1, 1, Closed, Some(1));
        assert_eq!(shown(&[link(1, "a"), link(2, "a")], &[a]), ["a:closed:1", "new:open:2"]);
    }

    #[test]
    fn each_closing_cuts_for_itself() {
        let all = [known("a", 1, 1, Closed, Some(2)), known("b", 2, 3, Closed, Some(4)), known("c", 3, 5, Open, None)];
        let links = [link(1, "a"), link(2, "a"), link(3, "b"), link(4, "b"), link(5, "c")];
        assert_eq!(shown(&links, &all), ["a:closed:1,2", "b:closed:3,4", "c:open:5"]);
    }

    #[test]
    fn a_merge_never_closes_what_is_open() {
        let closed = known("c", 1, 5, Closed, Some(5));
        let open = known("o", 2, 1, Open, None);
        assert_eq!(shown(&[link(1, "o"), link(3, ""), link(5, "c")], &[closed, open]), ["c+o:open:1,3,5"]);
    }
}
