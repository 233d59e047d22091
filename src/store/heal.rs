//! Opening a store whose derived tables are damaged: what can be computed again is made anew, and said.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::error::{StoreError, blocking};
use super::rollup;
use super::table::{Spec, Table};

/// What becomes of a damaged table that is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remains {
    /// They are removed: everything in it comes out of `events`.
    Removed,
    /// They are kept beside it under another name.
    Kept,
}

/// Opens a table whose rows lie elsewhere, too. Where it is damaged it is made anew and empty, with a remark.
pub(super) async fn open(
    store: &Path,
    make: impl Fn() -> Spec,
    remains: Remains,
    remarks: &mut Vec<String>,
) -> Result<Arc<Table>, StoreError> {
    let damage = match Table::open(store, make()).await {
        Ok(table) => return Ok(Arc::new(table)),
        Err(StoreError::Damaged { path, what, .. }) => (path, what),
        Err(error) => return Err(error),
    };
    let name = make().name;
    let (path, what) = damage;
    let kept = set_aside(store, name, remains).await.map_err(|_| StoreError::Damaged {
        path: path.clone(),
        what: what.clone(),
        way_out:
            "the table can be made anew, but not by a user who may not write here: run the same command as one who may"
                .to_owned(),
    })?;
    let kept = kept.map(|kept| format!("; what is left of it is in '{kept}'")).unwrap_or_default();
    remarks.push(format!("'{}' {what}. It is made anew{kept}", path.display()));
    Table::open(store, make()).await.map(Arc::new)
}

/// Computes the roll-ups of a store where something was found damaged, or where one was never filled.
pub(super) async fn rollups(
    events: &Arc<Table>,
    rollups: &rollup::Tables,
    cores: usize,
    remarks: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut unfilled = None;
    for table in rollups {
        if table.latest().await?.version().unwrap_or(0) == 0 && events.latest().await?.version().unwrap_or(0) > 0 {
            unfilled = unfilled.or(Some(table.spec.name));
        }
    }
    if remarks.is_empty() && unfilled.is_none() {
        return Ok(());
    }
    let done = rollup::refresh(events, rollups, cores).await;
    match (unfilled, done) {
        (Some(name), Ok(_)) => {
            remarks.push(format!("the roll-up '{name}' held nothing and was made anew from the events"))
        }
        (Some(name), Err(e)) if e.is_denied() => {
            remarks.push(format!("the roll-up '{name}' holds nothing, and this user may not write it ({e})"));
        }
        (_, done) => drop(done?),
    }
    Ok(())
}

/// Takes a table's directory out of the way in one step, so that nobody meets half of it.
async fn set_aside(store: &Path, name: &'static str, remains: Remains) -> Result<Option<String>, StoreError> {
    let (dir, kept) = (store.join(name), format!("{name}.damaged-{}", uuid::Uuid::new_v4().simple()));
    let aside = store.join(&kept);
    blocking("set the damaged table aside", move || {
        match fs::rename(&dir, &aside) {
            // Somebody else was quicker.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            moved => moved.map_err(|e| StoreError::at("set the damaged table aside", &dir, e))?,
        }
        if remains == Remains::Kept {
            return Ok(Some(kept));
        }
        // What cannot be removed does no harm.
        let _ = fs::remove_dir_all(&aside);
        Ok(None)
    })
    .await
}
